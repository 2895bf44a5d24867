/**
 * G6, G7, G8 with servers that die: the primary is killed with changes that never reached the secondary, the application
 * goes on there, the primary comes back. And what becomes of a controller between two dead databases, cut off from one
 * that lives, or beside another controller. Servers of their own, on PostgreSQL.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EmbeddedServer } from '../../src/demo/embedded.js';
import type { DatabasePair } from '../harness/cluster.js';
import { TcpProxy } from '../harness/proxy.js';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { failoverRig } from '../integration/support/failover.js';
import { bothSides } from '../integration/support/stream.js';

const DDL = `CREATE TABLE parents (id serial PRIMARY KEY, v text, updated_at timestamptz NOT NULL DEFAULT now());
  CREATE TABLE items (id serial PRIMARY KEY, parent int REFERENCES parents, v text, updated_at timestamptz NOT NULL DEFAULT now());
  CREATE TABLE left_behind (id int PRIMARY KEY, v text); INSERT INTO left_behind VALUES (1, 'old');
  INSERT INTO parents (v) VALUES ('p1'), ('p2'); INSERT INTO items (parent, v) VALUES (1, 'a'), (1, 'b'), (2, 'c'), (2, 'd');`;
const TABLES = ['parents', 'items', 'left_behind'];

let servers: { primary: EmbeddedServer; secondary: EmbeddedServer };
let made = 0;

beforeAll(async () => {
  const [primary, secondary] = await Promise.all(
    ['primary', 'secondary'].map((name) =>
      EmbeddedServer.start({ name, settings: { fsync: 'off', wal_level: 'logical' } }),
    ),
  );
  servers = { primary: primary as EmbeddedServer, secondary: secondary as EmbeddedServer };
});
afterAll(async () => {
  await Promise.all([servers.primary.close(), servers.secondary.close()]);
});

/** Databases of their own on the two servers, which are gone with them. */
async function pairOf(): Promise<DatabasePair> {
  for (const server of Object.values(servers)) if (!server.running) await server.startAgain();
  made += 1;
  const name = `crash_${made}`;
  const [primary, secondary] = await Promise.all([
    servers.primary.createDatabase(name),
    servers.secondary.createDatabase(name),
  ]);
  return {
    dialect: 'postgres',
    primary: { name, url: primary },
    secondary: { name, url: secondary },
    [Symbol.asyncDispose]: async () => undefined,
  };
}

const values = (rows: Record<string, unknown>[]) => rows.map((row) => row.v).sort();

describe('G7 G8 the primary dies', () => {
  it('with changes that were not applied: they are merged, or kept as conflicts with both versions', async () => {
    await using pair = await pairOf();
    await using rig = await failoverRig(pair, DDL, TABLES);
    await using running = await rig.control({ settings: { autoFailover: true } }).settled();
    // A table that the stream gave up: no reason to keep the others down, but it is said.
    await query(
      pair.secondary.url,
      `UPDATE db_redundancy.tables SET state = 'paused' WHERE table_name = 'left_behind'`,
    );
    const planned = await running.order('failover', { dryRun: true });
    expect(planned).toMatchObject({ refused: true, how: 'switchover' });
    expect(planned.message).toContain('public.left_behind');
    // The stream does not see what follows: it is the tail.
    await rig.stream.stop();
    await query(rig.app.primary, `UPDATE left_behind SET v = 'new'; INSERT INTO left_behind VALUES (2, 'new')`);
    await query(
      rig.app.primary,
      `INSERT INTO items (parent, v) VALUES (1, 'tail insert'); UPDATE items SET v = 'tail update', updated_at = now() WHERE id = 1;
       UPDATE items SET v = 'lost to a later write', updated_at = now() WHERE id = 2; DELETE FROM items WHERE id = 4`,
    );
    await servers.primary.kill();
    await running.reaches('SECONDARY_ACTIVE');
    await query(
      rig.app.secondary,
      `UPDATE items SET v = 'written later', updated_at = now() WHERE id = 2; DELETE FROM items WHERE id = 3;`,
    );
    // Defaults go on beyond what the primary may have handed out.
    const [inserted] = await query<{ id: number }>(
      rig.app.secondary,
      `INSERT INTO items (parent, v) VALUES (2, 'on the secondary') RETURNING id`,
    );
    expect(inserted?.id).toBeGreaterThan(1000);
    const constraints = () =>
      query(
        pair.secondary.url,
        `SELECT conname FROM pg_constraint WHERE contype = 'f' AND conrelid = 'items'::regclass`,
      );
    await waitFor(async () => (await constraints()).length === 1, { what: 'the foreign key is there' });
    await expect(query(rig.app.secondary, `INSERT INTO items (parent, v) VALUES (99, 'x')`)).rejects.toMatchObject({
      code: '23503',
    });

    await servers.primary.startAgain();
    await running.reaches('READY', 40_000);
    // A client that is no router, and has the right address and password.
    await expect(query(rig.app.primary, `INSERT INTO items (v) VALUES ('split brain')`)).rejects.toMatchObject({
      code: '28000',
    });
    const back = await running.order('failback');
    expect(back, running.describe()).toMatchObject({ done: true, state: 'PRIMARY_ACTIVE' });
    await running.controller.idle();

    const { primary, secondary } = await bothSides(pair, 'items');
    expect(secondary).toEqual(primary);
    expect(values(primary)).toEqual(['on the secondary', 'tail insert', 'tail update', 'written later']);
    const conflicts = await query<Record<string, string>>(pair.secondary.url, 'SELECT * FROM db_redundancy.conflicts');
    expect(conflicts).toHaveLength(1);
    expect(conflicts[0]).toMatchObject({ table_name: 'items', winner: 'secondary' });
    expect(conflicts[0]?.primary_version).toContain('lost to a later write');
    expect(conflicts[0]?.secondary_version).toContain('written later');
    expect(await constraints()).toEqual([]);
    const [next] = await query<{ id: number }>(
      rig.app.primary,
      `INSERT INTO items (parent, v) VALUES (1, 'after failback') RETURNING id`,
    );
    expect(next?.id).toBeGreaterThan(inserted?.id ?? 0);
    const history = await running.controller.history(100);
    expect(history.map((entry) => entry.to)).toEqual(
      expect.arrayContaining([
        'FENCING_PRIMARY',
        'SECONDARY_ACTIVE',
        'RECOVERING',
        'READY',
        'DRAINING',
        'PRIMARY_ACTIVE',
      ]),
    );
    const guards = history.find((entry) => entry.to === 'FENCING_PRIMARY')?.guards ?? [];
    expect(guards.map((guard) => guard.name)).toContain('stream-lag');
    expect(guards.find((guard) => guard.name === 'tables-current')).toMatchObject({
      ok: true,
      value: 'paused, and old on the secondary: public.left_behind',
    });
    expect(await query(rig.app.primary, 'SELECT id, v FROM left_behind ORDER BY id')).toEqual([
      { id: 1, v: 'new' },
      { id: 2, v: 'new' },
    ]);
  }, 120_000);

  it('and both are down: a person is told; when the secondary alone returns, the failover is made', async () => {
    await using pair = await pairOf();
    await using rig = await failoverRig(pair, DDL, TABLES);
    await using running = await rig.control({ settings: { autoFailover: true } }).settled();
    await Promise.all([servers.primary.kill(), servers.secondary.kill()]);
    await running.reaches('MANUAL_REQUIRED');
    expect(running.controller.snapshot().alerts.join()).toMatch(/dashboards/);
    await servers.secondary.startAgain();
    await running.reaches('SECONDARY_ACTIVE', 40_000);
    await query(rig.app.secondary, `INSERT INTO parents (v) VALUES ('on the secondary')`);
    // Dying while it is active, and coming back.
    await servers.secondary.kill();
    await running.reaches('MANUAL_REQUIRED');
    await servers.secondary.startAgain();
    await running.reaches('SECONDARY_ACTIVE', 40_000);
    await servers.primary.startAgain();
    await running.reaches('READY', 40_000);
    expect(values((await bothSides(pair, 'parents')).primary)).toContain('on the secondary');
  }, 120_000);
});

describe('G6 a controller that is cut off', () => {
  it('from a primary to which routers still write: held with the alert, and no failover', async () => {
    await using pair = await pairOf();
    await using rig = await failoverRig(pair, DDL, TABLES);
    await using proxy = await TcpProxy.start(pair.primary.url);
    await using running = await rig
      .control({ settings: { autoFailover: true }, primaryUrl: proxy.url(pair.primary.url) })
      .settled();
    const never = { okAgoMs: null, writeOkAgoMs: null, failedAgoMs: null, busy: 0 };
    let writes = true;
    const router = setInterval(() => {
      running.authority.lease({
        router: '3b241101-e2bb-4255-8caf-4136c566a962',
        name: 'web-1',
        epoch: running.authority.route?.epoch ?? 0,
        idle: true,
        waiting: 0,
        primary: writes ? { ...never, okAgoMs: 1, writeOkAgoMs: 1 } : never,
        secondary: never,
      });
    }, 50);
    try {
      proxy.swallow();
      await running.reaches('PRIMARY_DOWN_HELD');
      expect(running.controller.snapshot().alerts.join()).toContain('web-1');
      expect(running.controller.snapshot().active).toBe('primary');
      const dry = await running.order('failover', { dryRun: true });
      expect(dry).toMatchObject({ refused: true, how: 'crash' });
      expect(dry.guards.find((guard) => guard.name === 'routers-cut-off')).toMatchObject({ ok: false, value: 'web-1' });
      writes = false;
      await running.reaches('SECONDARY_ACTIVE');
    } finally {
      clearInterval(router);
      proxy.resume();
      proxy.cut();
    }
  }, 60_000);
});

describe('two controllers', () => {
  it('one leads, the other takes over when it is gone, and goes on with what was begun', async () => {
    await using pair = await pairOf();
    await using rig = await failoverRig(pair, DDL, TABLES);
    await using first = await rig.control().leading();
    await first.controller.idle();
    await using second = rig.control({ settings: { autoFailover: true } });
    await waitFor(() => second.controller.snapshot().epoch > 0, { what: 'the second has read the row' });
    expect(second.controller.snapshot().leads).toBe(false);
    await expect(second.order('pause')).rejects.toMatchObject({ code: 'not-leading' });
    expect((await first.order('pause')).done).toBe(true);
    await first.stop();
    await second.leading();
    expect(second.controller.snapshot()).toMatchObject({ state: 'PRIMARY_ACTIVE', paused: true });
    expect((await second.order('failover')).refused).toBe(true);
    expect(await second.order('failover', { force: true }), second.describe()).toMatchObject({ done: true });
  }, 60_000);
});
