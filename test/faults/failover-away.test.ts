/**
 * G7: no controller at all while the secondary is written. It is killed at the moment at which the secondary opens, and
 * another comes much later, to a primary that is well: what was written meanwhile is kept by the secondary's slot or by
 * its history; where that is gone, a full comparison finds it.
 */
import { expect, it } from 'vitest';
import { createDatabasePair, type DatabasePair } from '../harness/cluster.js';
import { spawnCli } from '../harness/process.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { failoverRig } from '../integration/support/failover.js';
import { expectVerified } from '../integration/support/reconcile.js';
import { bothSides } from '../integration/support/stream.js';
import { serveEnvironment } from './support/serve.js';

const TOKEN = 'a-token-of-the-away-test';
const DDL = `CREATE TABLE items (id serial PRIMARY KEY, v text NOT NULL, updated_at timestamptz NOT NULL DEFAULT now());
  CREATE TABLE plain (id int PRIMARY KEY, v text NOT NULL);
  INSERT INTO items (v) SELECT 'before ' || i FROM generate_series(1, 300) AS i;
  INSERT INTO plain SELECT i, 'before ' || i FROM generate_series(1, 300) AS i;`;
const WRITES = `INSERT INTO items (v) SELECT 'away ' || i::text FROM generate_series(1, 500) AS i;
  UPDATE items SET v = 'changed away', updated_at = now() WHERE id % 3 = 0 AND id <= 300; DELETE FROM items WHERE id % 7 = 0 AND id <= 300;
  INSERT INTO plain SELECT i, 'away ' || i::text FROM generate_series(301, 600) AS i;
  UPDATE plain SET v = 'changed away' WHERE id % 3 = 0; DELETE FROM plain WHERE id % 7 = 0`;
const LIST = 'SELECT id::text AS id, v FROM';

/** What the secondary keeps for a controller that is away is taken from it. */
async function forgetHistory(pair: DatabasePair, slot: string): Promise<void> {
  if (pair.dialect === 'postgres') {
    await query(pair.secondary.url, 'SELECT pg_drop_replication_slot($1)', [slot]);
    return;
  }
  const [row] = await query<{ at: string }>(
    pair.secondary.url,
    'SELECT source_position AS at FROM db_redundancy.catchup',
  );
  for (const table of ['items', 'plain'])
    await query(pair.secondary.url, `ALTER TABLE ${table} CONFIGURE ZONE USING gc.ttlseconds = 1`);
  const gone = (table: string) =>
    query(pair.secondary.url, `SELECT * FROM ${table} AS OF SYSTEM TIME '${row?.at}'`).then(
      () => false,
      (error: Error) => /must be after replica GC threshold/.test(error.message),
    );
  await waitFor(async () => (await gone('items')) && (await gone('plain')), {
    what: 'the window passes',
    timeoutMs: 60_000,
  });
}

describeDialects('G7 no controller all through a failover', (dialect) => {
  it.each([
    ['what the secondary keeps', false],
    ['a full comparison, since nothing was kept', true],
  ] as const)(
    'everything written there comes home, from %s',
    async (_from, forgotten) => {
      await using pair = await createDatabasePair('away', dialect);
      await using rig = await failoverRig(pair, DDL, ['items', 'plain']);
      const env = serveEnvironment(pair, {
        DB_HEALTH_CHECK_INTERVAL_MS: '500',
        DB_HEALTH_TIMEOUT_MS: '500',
        DB_AUTO_FAILOVER: 'false',
        DB_FAILBACK_THRESHOLD: '1',
        DB_COOLDOWN_MS: '0',
        DB_CONTROL_TOKEN: TOKEN,
        DB_STATE_DIR: rig.stateDir,
      });
      const base = async (cli: Awaited<ReturnType<typeof spawnCli>>) =>
        `http://127.0.0.1:${/listens on \S+:(\d+)/.exec(await cli.waitForLine(/HTTP surface listens on/))?.[1]}`;
      const epoch = async (url: string) =>
        ((await (await fetch(`${url}/api/system/db-health`)).json()) as { epoch: number }).epoch;
      {
        const dying = { NODE_ENV: 'test', DB_CRASH_AT: 'entered:SECONDARY_ACTIVE/secondary' };
        await using first = await spawnCli(['controller'], { env: { ...env, ...dying } });
        const url = await base(first);
        await waitFor(async () => (await epoch(url)) > 0, { what: 'it has read the row' });
        const headers = { Authorization: `Bearer ${TOKEN}` };
        await fetch(`${url}/api/system/failover`, { method: 'POST', headers }).catch(() => undefined);
        expect(await first.exit).toMatchObject({ signal: 'SIGKILL' });
      }
      const [row] = await query(pair.secondary.url, 'SELECT state, active FROM db_redundancy.control');
      expect(row).toEqual({ state: 'SECONDARY_ACTIVE', active: 'secondary' });
      await query(rig.app.secondary, WRITES);
      const written = {
        items: await query(rig.app.secondary, `${LIST} items ORDER BY items.id`),
        plain: await query(rig.app.secondary, `${LIST} plain ORDER BY plain.id`),
      };
      if (forgotten) await forgetHistory(pair, `${env.DB_REPLICATION_SLOT}_catchup`);

      await using second = await spawnCli(['controller'], { env });
      await waitFor(
        async () =>
          (await query(pair.secondary.url, 'SELECT state FROM db_redundancy.control'))[0]?.state === 'PRIMARY_ACTIVE',
        { what: 'the failback', timeoutMs: 90_000 },
      ).catch((error: unknown) => {
        throw new Error(`${String(error)}\n${second.output().slice(-4000)}`);
      });
      expect(await query(rig.app.primary, `${LIST} items ORDER BY items.id`)).toEqual(written.items);
      expect(await query(rig.app.primary, `${LIST} plain ORDER BY plain.id`)).toEqual(written.plain);
      if (forgotten) expect(second.output()).toMatch(/Changes of the secondary cannot be followed/);
      await rig.stream.streaming();
      await rig.stream.caughtUp();
      for (const table of ['items', 'plain']) {
        const { primary, secondary } = await bothSides(pair, table);
        expect(secondary, table).toEqual(primary);
      }
      await expectVerified(rig.stream);
      expect(await query(pair.secondary.url, 'SELECT * FROM db_redundancy.conflicts')).toEqual([]);
      second.kill('SIGTERM');
      expect((await second.exit).code).toBe(0);
    },
    240_000,
  );
});
