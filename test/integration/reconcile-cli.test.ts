/** Verify and full sync as an operator orders them: on the command line and over HTTP (SPEC sections 9 and 10). */
import { expect, it } from 'vitest';
import type { StoredVerify } from '../../src/reconcile/results-store.js';
import { createDatabasePair, type DatabasePair } from '../harness/cluster.js';
import { spawnCli } from '../harness/process.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { bothSides } from './support/stream.js';

const TOKEN = 'a-token-of-the-tests';
const DDL = `
CREATE TABLE users (id int PRIMARY KEY, name text, updated_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE items (sku text, no int, price numeric, PRIMARY KEY (sku, no));
INSERT INTO users SELECT i, 'u' || i FROM generate_series(1, 500) i;
INSERT INTO items SELECT 's' || i, i, i / 3.0 FROM generate_series(1, 200) i;
`;

function environment(pair: DatabasePair, more: Record<string, string> = {}): Record<string, string> {
  return {
    DATABASE_URL: pair.primary.url,
    DATABASE_URL_SECONDARY: pair.secondary.url,
    // Some libraries take it for a terminal with colours.
    CI: 'true',
    DB_SYNC_TABLES: '*',
    DB_REPLICATION_SLOT: `dbr_${pair.primary.name}`,
    DB_HTTP_PORT: '0',
    ...more,
  };
}

async function run(args: readonly string[], env: Record<string, string>) {
  await using cli = await spawnCli(args, { env });
  const { code } = await cli.exit;
  return { code, stdout: cli.output('stdout'), stderr: cli.output('stderr') };
}

describeDialects('reconciliation by hand', (dialect) => {
  it('db:verify exits 1 and names the rows while they differ, mends them with --repair, and then exits 0', async () => {
    await using pair = await createDatabasePair('verifycli', dialect);
    await query(pair.primary.url, DDL);
    const env = environment(pair);
    expect((await run(['init-secondary'], env)).code).toBe(0);
    const equal = await run(['verify'], env);
    expect(equal.stdout).toMatch(/✓ public\.users +500 rows in .*equal/);
    expect(equal.code).toBe(0);
    await query(pair.secondary.url, `DELETE FROM users WHERE id = 7`);
    await query(pair.secondary.url, `UPDATE items SET price = price + 1 WHERE no = 9`);
    await query(pair.secondary.url, `INSERT INTO items VALUES ('extra', 1, 1)`);
    const unequal = await run(['verify', '--json'], env);
    expect(unequal.code).toBe(1);
    const report = JSON.parse(unequal.stdout) as { equal: boolean; tables: StoredVerify[] };
    expect(report.equal).toBe(false);
    const users = report.tables.find(({ name }) => name === 'users');
    expect(users).toMatchObject({ missing: 1, extra: 0, different: 0, keys: { missing: [['7']] } });
    const items = report.tables.find(({ name }) => name === 'items');
    expect(items).toMatchObject({
      extra: 1,
      different: 1,
      keys: { extra: [['extra', '1']], different: [['s9', '9']] },
    });
    const mended = await run(['verify', '--repair'], env);
    expect(mended.stdout).toMatch(/1 missing on the secondary, 1 repaired/);
    expect(mended.stdout).toMatch(/Verify completed: 700 rows in 2 tables, 3 differed, 3 repaired/);
    expect(mended.code).toBe(0);
    for (const table of ['users', 'items']) {
      const { primary, secondary } = await bothSides(pair, table);
      expect(secondary).toEqual(primary);
    }
    const { stdout } = await run(['status', '--json'], { ...env, DB_HTTP_PORT: '1' });
    expect(stdout).toMatch(/"verified": "equal at 20/);
    expect(await run(['verify', '--table', 'nothing'], env)).toMatchObject({ code: 2, stderr: /Known tables/ });
    await query(
      pair.secondary.url,
      `INSERT INTO db_redundancy.control (stream, epoch, state, active, phase, actor, reason)
       VALUES ('db_redundancy', 3, 'SECONDARY_ACTIVE', 'secondary', 'open', 'test', 'test')`,
    );
    expect(await run(['verify'], env)).toMatchObject({ code: 3, stderr: /active database/ });
    expect(await run(['sync', '--full'], env)).toMatchObject({ code: 3, stderr: /active database/ });
  }, 120_000);

  it('a running process verifies on its schedule and sweeps, and takes orders over HTTP', async () => {
    await using pair = await createDatabasePair('orders', dialect);
    await query(pair.primary.url, DDL);
    const env = environment(pair, {
      DB_CONTROL_TOKEN: TOKEN,
      DB_SYNC_INTERVAL_MS: '1000',
      DB_VERIFY_INTERVAL_MS: '86400000',
    });
    // Without a controller, which would keep this test from writing to the standby.
    await using serve = await spawnCli(['streamer'], { env });
    const line = await serve.waitForLine(/HTTP surface listens/);
    const base = `http://127.0.0.1:${/:(\d+)"/.exec(line)?.[1]}`;
    await serve.waitForLine(/Verified public\.users: 500 rows are equal/);
    await serve.waitForLine(/\[DB-Redundancy\] Sync completed: 0 records updated/);
    const post = async (path: string, body: object, token = TOKEN) => {
      const headers = { Authorization: `Bearer ${token}` };
      const response = await fetch(`${base}${path}`, { method: 'POST', body: JSON.stringify(body), headers });
      return { status: response.status, body: (await response.json()) as Record<string, unknown> };
    };
    type Table = { name: string; state: string; drift: number; lastVerify: { runId: string; missing: number } };
    const tables = async () =>
      ((await (await fetch(`${base}/api/system/tables`)).json()) as { tables: Table[] }).tables;
    await query(pair.secondary.url, `DELETE FROM items WHERE no < 4`);
    const ordered = await post('/api/system/verify', { table: 'items' });
    expect(ordered).toMatchObject({ status: 202, body: { ordered: ['public.items'] } });
    await waitFor(async () => (await tables()).some((table) => table.lastVerify?.runId === ordered.body.id), {
      what: 'the ordered verify is done',
    });
    expect((await tables()).find(({ name }) => name === 'items')).toMatchObject({
      drift: 3,
      lastVerify: { missing: 3 },
    });
    const metrics = await (await fetch(`${base}/metrics`)).text();
    expect(metrics).toMatch(/db_redundancy_sync_drift\{[^}]*table="items"\} 3/);
    expect(metrics).toMatch(/db_redundancy_verify_differences\{[^}]*table="items"\} 3/);
    expect(await post('/api/system/sync', { full: true })).toMatchObject({ status: 202 });
    const both = () => bothSides(pair, 'items');
    await waitFor(async () => (await both()).secondary.length === 200, { what: 'the full sync has mended it' });
    expect((await both()).secondary).toEqual((await both()).primary);
    expect(await post('/api/system/sync', {})).toMatchObject({ status: 400 });
    expect(await post('/api/system/sync', { tabel: 'items' })).toMatchObject({ status: 400 });
    expect(await post('/api/system/verify', { repair: 'yes' })).toMatchObject({ status: 400 });
    expect(await post('/api/system/verify', { table: 'nothing' })).toMatchObject({ status: 404 });
    expect(await post('/api/system/verify', {}, 'wrong')).toMatchObject({ status: 401 });
    // The command line finds the running process, which does the work.
    const cli = await run(['verify', '--json'], { ...env, DB_CONTROLLER_URL: base });
    expect(cli.code).toBe(0);
    await waitFor(async () => (await tables()).every(({ state }) => state === 'streaming'), { what: 'all stream' });
  }, 120_000);

  it('a full sync that is killed with SIGKILL goes on at its last finished chunk', async () => {
    await using pair = await createDatabasePair('syncresume', dialect);
    await query(
      pair.primary.url,
      `CREATE TABLE big (id int PRIMARY KEY, v text);
       INSERT INTO big SELECT i, repeat('x', 200) FROM generate_series(1, 40000) i; ANALYZE big`,
    );
    const env = environment(pair);
    expect((await run(['init-secondary'], env)).code).toBe(0);
    await query(pair.secondary.url, `UPDATE big SET v = 'planted' WHERE id % 5000 = 17`);
    await query(pair.secondary.url, `INSERT INTO big VALUES (-1, 'extra'), (900000, 'extra')`);
    const progress = async () => {
      const [row] = await query<{ cursor: string | null; rows: string }>(
        pair.secondary.url,
        `SELECT max(cursor_key) AS cursor, coalesce(sum(rows), 0)::text AS rows FROM db_redundancy.load_progress WHERE range_no >= 0`,
      );
      return { cursor: row?.cursor ?? null, rows: Number(row?.rows ?? 0) };
    };
    {
      await using first = await spawnCli(['sync', '--full'], { env });
      await waitFor(async () => (await progress()).rows > 10_000, { what: 'some chunks are done', timeoutMs: 30_000 });
      first.kill('SIGKILL');
      await first.exit;
    }
    const before = await progress();
    expect(before.rows).toBeGreaterThan(10_000);
    expect(before.rows).toBeLessThan(40_000);
    // Behind the cursor, and behind the process's back: the stream brings it, and no chunk is read again for it.
    await query(
      pair.primary.url,
      `UPDATE big SET v = 'while away' WHERE id IN (5, 39999); DELETE FROM big WHERE id = 6`,
    );
    await using second = await spawnCli(['sync', '--full'], { env: { ...env, LOG_LEVEL: 'info' } });
    await waitFor(async () => (await progress()).rows > before.rows || second.ended, { what: 'it goes on' });
    expect((await second.exit).code).toBe(0);
    // Every row was read once, over both processes: none of the finished chunks a second time.
    expect(second.output()).toMatch(/Sync completed: (39999|40000) records compared/);
    const { primary, secondary } = await bothSides(pair, 'big');
    expect(secondary).toEqual(primary);
  }, 120_000);
});
