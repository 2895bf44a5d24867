import pg from 'pg';
import { clientConfig } from '../config/client-config.js';
import { type DatabaseUrl, isLoopback } from '../config/database-url.js';
import { systemClock } from '../core/clock.js';
import { classify } from '../core/policy.js';
import { createRedactor } from '../core/redact.js';
import { check, type PreflightResult } from './result.js';
import { checkVersion, parseServerVersion, type ServerVersion } from './version.js';

export type Side = 'primary' | 'secondary';

/** What a comparison of the two sides needs of each. */
export interface ServerIdentity {
  readonly version: ServerVersion;
  /** The same for two connections exactly when they reach one database of one server; null where that is not told. */
  readonly database: string | null;
  /** Server's clock less this process's monotonic clock, milliseconds. */
  readonly clockOffsetMs: number;
  /** Uncertainty of that: half of the round trip it was measured with. */
  readonly clockErrorMs: number;
}

export interface SideReport {
  readonly results: readonly PreflightResult[];
  /** Null when the server could not be reached or is none that is supported. */
  readonly identity: ServerIdentity | null;
}

const CONNECT_TIMEOUT_MS = 15_000;
const QUERY_TIMEOUT_MS = 30_000;

/**
 * Connects, finds out who answers, and runs the checks of one side. Never throws: an error on the way is a failed
 * check, since the others' results are worth showing.
 */
export async function inspectSide(
  side: Side,
  url: DatabaseUrl,
  checks: (client: pg.ClientBase, version: ServerVersion) => Promise<PreflightResult[]>,
): Promise<SideReport> {
  const results: PreflightResult[] = [tlsResult(side, url)];
  let client: pg.Client | null = null;
  try {
    const settings = { connectionTimeoutMillis: CONNECT_TIMEOUT_MS, application_name: 'db_redundancy_preflight' };
    client = new pg.Client({ ...settings, ...clientConfig(url), query_timeout: QUERY_TIMEOUT_MS });
    // A connection that dies between two queries is reported by the next of them.
    client.on('error', () => undefined);
    await client.connect();
    const { rows } = await client.query<{ version: string }>('SELECT version() AS version');
    const text = rows[0]?.version ?? '';
    results.push(
      check(`${side}-connection`, 'Connection and authentication', { detail: `connected to ${url.display}` }),
    );
    const supported = checkVersion(side, text);
    results.push(supported);
    const version = parseServerVersion(text);
    if (!version || (!supported.ok && supported.severity === 'error')) return { results, identity: null };
    const identity = await identify(client, version);
    results.push(...(await checks(client, version)));
    return { results, identity };
  } catch (error) {
    results.push(failure(side, url, error, results.length > 1));
    return { results, identity: null };
  } finally {
    await client?.end().catch(() => undefined);
  }
}

function failure(side: Side, url: DatabaseUrl, error: unknown, connected: boolean): PreflightResult {
  const redact = createRedactor([url.url, url.password, url.keyPassphrase]);
  const { hint, action } = classify(error);
  return {
    id: connected ? `${side}-checks` : `${side}-connection`,
    title: connected ? 'Checks can be carried out' : 'Connection and authentication',
    ok: false,
    detail: `${url.display}: ${redact(messageOf(error))}`,
    remedy: hint,
    severity: 'error',
    transient: action === 'retry' || action === 'reread-checkpoint',
  };
}

/** An AggregateError of several addresses has no message of its own. */
function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(messageOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}

function tlsResult(side: Side, url: DatabaseUrl): PreflightResult {
  const safe = url.tls === 'verify-full' || url.tls === 'verify-ca' || isLoopback(url.host);
  const detail = url.tls === 'disable' ? 'the connection is not encrypted' : `sslmode is ${url.tls}`;
  const remedy = 'Add sslmode=verify-full to the URL (with sslrootcert=/path/to/ca.pem for a private authority).';
  return check(`${side}-tls`, 'Connection is encrypted and checked', {
    detail: isLoopback(url.host) ? `${detail} (same machine)` : detail,
    problem: safe ? null : { severity: 'warning', remedy },
  });
}

async function identify(client: pg.ClientBase, version: ServerVersion): Promise<ServerIdentity> {
  let database: string | null = null;
  if (version.dialect === 'postgres') {
    // The start time in microseconds tells servers apart, also copies that share a system identifier (branches).
    const { rows } = await client.query<{ identity: string }>(
      `SELECT concat_ws('/', extract(epoch FROM pg_postmaster_start_time()), oid) AS identity
       FROM pg_database WHERE datname = current_database()`,
    );
    database = rows[0]?.identity ?? null;
  }
  return { version, database, ...(await measureClock(client)) };
}

/** The quickest of some samples: its round trip bounds the error. */
async function measureClock(client: pg.ClientBase): Promise<{ clockOffsetMs: number; clockErrorMs: number }> {
  let best = { clockOffsetMs: 0, clockErrorMs: Number.POSITIVE_INFINITY };
  for (let sample = 0; sample < 3; sample += 1) {
    const sent = systemClock.monotonic();
    const { rows } = await client.query<{ ms: number }>(
      'SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS ms',
    );
    const received = systemClock.monotonic();
    const clockErrorMs = (received - sent) / 2;
    if (clockErrorMs < best.clockErrorMs) {
      best = { clockOffsetMs: Number(rows[0]?.ms ?? 0) - (sent + received) / 2, clockErrorMs };
    }
  }
  return best;
}
