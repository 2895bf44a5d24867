/**
 * The roles of docs/operations.md are enough: a role of ours that is no superuser, members of the tables' owner on the
 * primary, and a role of the application's own on both sides. Load, stream, failover and failback with them.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createDatabasePair, type DatabasePair, getPrimary, getSecondary } from '../harness/cluster.js';
import { spawnCli } from '../harness/process.js';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';

const SUFFIX = randomBytes(4).toString('hex');
const [OWNER, OURS, APPLICATION] = [`lp_owner_${SUFFIX}`, `lp_ours_${SUFFIX}`, `lp_app_${SUFFIX}`];
const TOKEN = 'least-privilege-token';
const APPLICATION_RIGHTS = `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ${APPLICATION};
  GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO ${APPLICATION}`;

let pair: DatabasePair;
let stateDir: string;
beforeAll(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'db-redundancy-least-'));
  pair = await createDatabasePair('least');
  const { primary, secondary } = pair;
  await query(
    primary.url,
    `CREATE ROLE ${OWNER}; CREATE ROLE ${OURS} LOGIN REPLICATION PASSWORD 'ours'; CREATE ROLE ${APPLICATION} LOGIN PASSWORD 'app';
     GRANT ${OWNER}, pg_signal_backend TO ${OURS}; GRANT CREATE ON DATABASE ${primary.name} TO ${OURS}; GRANT CREATE ON SCHEMA public TO ${OWNER};
     CREATE TABLE t (id serial PRIMARY KEY, v text); ALTER TABLE t OWNER TO ${OWNER}; ${APPLICATION_RIGHTS}`,
  );
  await query(
    secondary.url,
    `CREATE ROLE ${OURS} LOGIN REPLICATION PASSWORD 'ours'; CREATE ROLE ${APPLICATION} LOGIN PASSWORD 'app';
     GRANT pg_signal_backend TO ${OURS}; GRANT CREATE ON DATABASE ${secondary.name} TO ${OURS}; GRANT CREATE ON SCHEMA public TO ${OURS}`,
  );
});
afterAll(async () => {
  await pair?.[Symbol.asyncDispose]();
  await rm(stateDir, { recursive: true, force: true });
  // Roles are the server's.
  for (const server of [await getPrimary(), await getSecondary()])
    for (const role of [OURS, APPLICATION, OWNER]) await query(server.url(), `DROP ROLE IF EXISTS ${role}`);
});

function as(url: string, user: string, password: string): string {
  return Object.assign(new URL(url), { username: user, password }).href;
}

/** ok, or the SQLSTATE. */
function write(url: string): Promise<string> {
  return query(as(url, APPLICATION, 'app'), `INSERT INTO t (v) VALUES ('of the application')`).then(
    () => 'ok',
    (error: { code?: string }) => error.code ?? String(error),
  );
}

it('G6 roles without a superuser carry load, stream, failover and failback', async () => {
  const env = {
    DATABASE_URL: as(pair.primary.url, OURS, 'ours'),
    DATABASE_URL_SECONDARY: as(pair.secondary.url, OURS, 'ours'),
    DB_SYNC_TABLES: 't',
    DB_REPLICATION_SLOT: `dbr_${pair.primary.name}`,
    DB_HTTP_PORT: '0',
    DB_CONTROL_TOKEN: TOKEN,
    DB_STATE_DIR: stateDir,
    DB_HEALTH_CHECK_INTERVAL_MS: '500',
    DB_HEALTH_TIMEOUT_MS: '500',
    DB_FAILBACK_THRESHOLD: '1',
    DB_COOLDOWN_MS: '0',
    DB_AUTO_FAILBACK: 'false',
  };
  await using serve = await spawnCli(['serve'], { env });
  const line = await serve.waitForLine(/HTTP surface listens/);
  const base = `http://127.0.0.1:${/127\.0\.0\.1:(\d+)/.exec(line)?.[1]}/api/system`;
  const read = async (path: string) => (await (await fetch(`${base}/${path}`)).json()) as Record<string, unknown>;
  const state = (wanted: string) =>
    waitFor(async () => (await read('db-health')).state === wanted, { what: wanted, timeoutMs: 30_000 });
  const order = async (verb: string) => {
    const headers = { Authorization: `Bearer ${TOKEN}`, 'Content-Type': 'application/json' };
    const response = await fetch(`${base}/${verb}`, { method: 'POST', headers, body: '{"reason":"test"}' });
    expect(await response.json()).toMatchObject({ done: true });
  };
  await serve.waitForLine(/Table public\.t loaded/);
  await state('PRIMARY_ACTIVE');
  await query(pair.secondary.url, APPLICATION_RIGHTS);
  expect(await write(pair.primary.url)).toBe('ok');
  await order('failover');
  expect([await write(pair.primary.url), await write(pair.secondary.url)]).toEqual([
    expect.stringMatching(/^(42501|28000)$/),
    'ok',
  ]);
  await state('READY');
  await order('failback');
  expect([await write(pair.primary.url), await write(pair.secondary.url)]).toEqual(['ok', '42501']);
  await waitFor(async () => (await query(pair.secondary.url, 'SELECT id FROM t')).length === 3, { what: 'all three' });
  expect(await query(pair.primary.url, 'SELECT v FROM t')).toHaveLength(3);
}, 90_000);
