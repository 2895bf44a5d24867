/** A stream between two fresh databases, in this process, for tests of what it does. */

import { clientConfig } from '../../../src/config/client-config.js';
import { parseDatabaseUrl } from '../../../src/config/database-url.js';
import { type Clock, systemClock } from '../../../src/core/clock.js';
import type { TableName } from '../../../src/core/ident.js';
import type { Log } from '../../../src/core/log.js';
import { parseLsn } from '../../../src/core/lsn.js';
import type { RowsKind } from '../../../src/core/status.js';
import type { ReconcileSchedule } from '../../../src/reconcile/parts.js';
import { SchemaBridge } from '../../../src/streamer/schema-bridge.js';
import { Streamer } from '../../../src/streamer/streamer.js';
import { createDatabasePair, type DatabasePair } from '../../harness/cluster.js';
import type { SecondaryDialect } from '../../harness/secondary-dialects.js';
import { canonicalDump, query } from '../../harness/sql.js';
import { waitFor } from '../../harness/wait.js';

export interface LogEntry {
  readonly level: string;
  readonly details: object;
  readonly message: string;
}

/** Keeps what is logged; prints it when DB_TEST_LOG is set. */
export class TestLog implements Log {
  readonly entries: LogEntry[] = [];
  debug = (details: object, message: string) => this.#add('debug', details, message);
  info = (details: object, message: string) => this.#add('info', details, message);
  warn = (details: object, message: string) => this.#add('warn', details, message);
  error = (details: object, message: string) => this.#add('error', details, message);

  #add(level: string, details: object, message: string): void {
    this.entries.push({ level, details, message });
    if (process.env.DB_TEST_LOG) console.log(Math.round(performance.now()), level, message, details);
  }
}

export interface StreamOptions {
  readonly tables?: readonly TableName[] | '*';
  readonly maxRows?: number;
  readonly onError?: 'pause-table' | 'halt';
  readonly largeTransactions?: 'atomic' | 'chunked';
  /** Sweeps and verifies of its own accord; none by default. */
  readonly reconcile?: ReconcileSchedule;
  /** Between two target transactions; none by default. */
  readonly breathMs?: number;
  /** The system's by default. */
  readonly clock?: Clock;
  readonly onRows?: (kind: RowsKind) => void;
  /** Connection strings to use instead of the pair's own, through a proxy for example. */
  readonly primaryUrl?: string;
  readonly secondaryUrl?: string;
}

/** Slots are the server's, not the database's: each pair has its own. */
export function streamNames(pair: DatabasePair): { stream: string; slot: string; publication: string } {
  return { stream: 'db_redundancy', slot: `dbr_${pair.primary.name}`, publication: 'db_redundancy' };
}

export class RunningStream implements AsyncDisposable {
  readonly log = new TestLog();
  readonly streamer: Streamer;
  readonly #pair: DatabasePair;
  readonly #abort = new AbortController();
  /** Settles when the streamer has stopped. */
  readonly done: Promise<void>;

  constructor(pair: DatabasePair, options: StreamOptions = {}) {
    this.#pair = pair;
    const { clock = systemClock } = options;
    const config = (url: string) => clientConfig(parseDatabaseUrl(url));
    this.streamer = new Streamer({
      primary: config(options.primaryUrl ?? pair.primary.url),
      secondary: config(options.secondaryUrl ?? pair.secondary.url),
      tables: options.tables ?? '*',
      settings: {
        ...streamNames(pair),
        maxRows: options.maxRows ?? 5000,
        onError: options.onError ?? 'pause-table',
        largeTransactions: options.largeTransactions ?? 'atomic',
        loadConcurrency: 2,
      },
      clock,
      log: this.log,
      watchIntervalMs: 300,
      haltedRetryMs: 500,
      ...(options.reconcile ? { reconcile: options.reconcile } : {}),
      ...(options.onRows ? { onRows: options.onRows } : {}),
      ...(options.breathMs === undefined ? {} : { breathMs: () => options.breathMs ?? 0 }),
      schema: (parts) => new SchemaBridge({ ...parts, stream: 'db_redundancy', clock, log: this.log }),
    });
    this.done = this.streamer.run(this.#abort.signal);
    this.done.catch(() => undefined);
  }

  async streaming(timeoutMs = 50_000): Promise<this> {
    await Promise.race([
      waitFor(() => this.streamer.snapshot().status === 'streaming', { what: 'the stream runs', timeoutMs }),
      this.done.then(() => Promise.reject(new Error('The streamer has stopped'))),
    ]);
    return this;
  }

  /** Everything that is committed on the primary now is on the secondary. */
  async caughtUp(timeoutMs = 30_000): Promise<void> {
    const [row] = await query<{ lsn: string }>(
      this.#pair.primary.url,
      'SELECT pg_current_wal_insert_lsn()::text AS lsn',
    );
    const goal = parseLsn(row?.lsn ?? '0/0');
    await waitFor(() => parseLsn(this.streamer.snapshot().appliedLsn ?? '0/0') >= goal, {
      what: `the stream reaches ${row?.lsn}; it is at ${this.streamer.snapshot().appliedLsn}, ${this.streamer.snapshot().detail}`,
      timeoutMs,
    });
  }

  async stop(): Promise<void> {
    this.#abort.abort(new Error('test is done'));
    await this.done;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort(new Error('test is done'));
    await this.done.catch(() => undefined);
  }
}

export interface PairOptions {
  /** Where the stream finds the secondary, once there is one: a role of its own for example. */
  readonly secondaryUrl?: string | ((pair: DatabasePair) => Promise<string>);
  readonly dialect?: SecondaryDialect;
  /** PostgreSQL 18 or 14. */
  readonly primary?: 'newest' | 'oldest';
}

/** A pair of databases with `ddl` run on the primary, and a stream between them that has loaded everything. */
export async function streamingPair(ddl: string, options: Omit<StreamOptions, 'secondaryUrl'> & PairOptions = {}) {
  const pair = await createDatabasePair('stream', options.dialect ?? 'postgres', options.primary ?? 'newest');
  await query(pair.primary.url, ddl);
  const { secondaryUrl: wanted = pair.secondary.url } = options;
  const secondaryUrl = typeof wanted === 'string' ? wanted : await wanted(pair);
  const stream = new RunningStream(pair, { ...options, secondaryUrl });
  await stream.streaming();
  return {
    pair,
    stream,
    primary: (sql: string, params?: readonly unknown[]) => query(pair.primary.url, sql, params),
    secondary: (sql: string, params?: readonly unknown[]) => query(pair.secondary.url, sql, params),
    async [Symbol.asyncDispose]() {
      await stream[Symbol.asyncDispose]();
      await pair[Symbol.asyncDispose]();
    },
  };
}

/** Both sides of a table by value; equal when the table is replicated. */
export async function bothSides(pair: DatabasePair, table: string | TableName) {
  const [primary, secondary] = await Promise.all([
    canonicalDump(pair.primary.url, table),
    canonicalDump(pair.secondary.url, table),
  ]);
  return { primary, secondary };
}
