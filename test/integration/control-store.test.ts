/** The control row: moved by the holder of the lease only, once per epoch; its mirror and file; and which of them wins. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import { type Change, ControlStore } from '../../src/failover/control-store.js';
import { Database } from '../../src/failover/database.js';
import { probePrimary, probeSecondary, releaseLease } from '../../src/failover/probes.js';
import { StateFile } from '../../src/failover/state-file.js';
import { migrate } from '../../src/meta/migrate.js';
import { createDatabasePair } from '../harness/cluster.js';
import { describeDialects, type SecondaryDialect } from '../harness/secondary-dialects.js';
import { query, withClient } from '../harness/sql.js';
import { connectionOf } from './catchup-support.js';
import { TestLog } from './support/stream.js';

const STREAM = 's';
const LEASE_MS = 60_000;
const DEADLINE_MS = 10_000;
const PAUSED: Change = {
  state: 'PRIMARY_ACTIVE',
  active: 'primary',
  phase: 'open',
  graceMs: 0,
  paused: true,
  actor: 'test',
  reason: `it's "why"`,
  detail: { cooldownFrom: null, failoverEpoch: null, how: null },
  durationMs: 12.6,
  guards: [],
};

async function stores(dialect: SecondaryDialect) {
  const pair = await createDatabasePair('control', dialect);
  const log = new TestLog();
  const folder = await mkdtemp(join(tmpdir(), 'db-redundancy-control-'));
  await withClient(pair.primary.url, (client) => migrate(client, 'primary', systemClock, log));
  await withClient(pair.secondary.url, (client) => migrate(client, 'secondary', systemClock, log));
  const databases: Database[] = [];
  const connect = (side: 'primary' | 'secondary') => {
    const database = new Database({
      side,
      purpose: 'test',
      clock: systemClock,
      config: connectionOf(pair[side].url),
    });
    databases.push(database);
    return database;
  };
  const [primary, secondary] = [connect('primary'), connect('secondary')];
  return {
    pair,
    folder,
    log,
    primary,
    store: (holder: string, place = 'here') =>
      new ControlStore({
        ...{ stream: STREAM, holder, primary, secondary, clock: systemClock, log, deadlineMs: DEADLINE_MS },
        file: new StateFile(folder, STREAM, place),
      }),
    beat: (holder: string) =>
      probeSecondary(secondary, systemClock, { stream: STREAM, holder, leaseMs: LEASE_MS, seen: null }, DEADLINE_MS),
    release: (holder: string) => releaseLease(secondary, { stream: STREAM, holder }, DEADLINE_MS),
    async [Symbol.asyncDispose]() {
      await Promise.all(databases.map((database) => database.close()));
      await rm(folder, { recursive: true, force: true });
      await pair[Symbol.asyncDispose]();
    },
  };
}

describeDialects('the control row', (dialect) => {
  it('is moved by whoever holds the lease, once per epoch, with its history', async () => {
    await using it_ = await stores(dialect);
    const [a, b] = [it_.store('a'), it_.store('b')];
    expect((await it_.beat('a')).leads).toBe(true);
    const other = await it_.beat('b');
    expect(other).toMatchObject({ leads: false, leaseUntil: 0, holder: 'a' });
    expect(other.othersLeaseMs).toBeGreaterThan(LEASE_MS / 2);
    const first = await a.adopt();
    expect(first).toMatchObject({ epoch: 1, state: 'PRIMARY_ACTIVE', active: 'primary', phase: 'open' });
    expect(await b.adopt()).toMatchObject({ epoch: 1, detail: { id: first.detail.id } });

    await expect(b.advance(first, PAUSED)).rejects.toMatchObject({ code: 'overtaken' });
    // Twice at once from the same epoch: one is too late.
    const both = await Promise.allSettled([a.advance(first, PAUSED), a.advance(first, PAUSED)]);
    expect(both.map((each) => each.status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(await a.read()).toMatchObject({ epoch: 2, paused: true, reason: PAUSED.reason });
    expect((await it_.beat('a')).row?.epoch).toBe(2);
    const history = await query(
      it_.pair.secondary.url,
      'SELECT epoch::text, from_state, duration_ms::text, actor FROM db_redundancy.history',
    );
    expect(history).toEqual([{ epoch: '2', from_state: 'PRIMARY_ACTIVE', duration_ms: '13', actor: 'test' }]);

    await it_.release('a');
    expect((await it_.beat('b')).leads).toBe(true);
    expect((await it_.beat('a')).leads).toBe(false);
  });

  it('is mirrored on the primary and in a file, and the highest epoch wins', async () => {
    await using it_ = await stores(dialect);
    const a = it_.store('a');
    await it_.beat('a');
    const second = await a.advance(await a.adopt(), PAUSED);
    await a.settled();
    const mirror = () => query(it_.pair.primary.url, 'SELECT epoch::text, paused FROM db_redundancy.control');
    expect(await mirror()).toEqual([{ epoch: '2', paused: true }]);
    expect((await readdir(it_.folder)).filter((name) => name.endsWith('.next'))).toEqual([]);

    // The secondary is restored from an older copy.
    await query(it_.pair.secondary.url, 'UPDATE db_redundancy.control SET epoch = 1, paused = false');
    expect(await it_.store('b').adopt()).toEqual(second);
    expect(await a.read()).toEqual(second);
    // An older mirror is not news.
    await query(it_.pair.primary.url, `UPDATE db_redundancy.control SET epoch = 1, state = 'SECONDARY_ACTIVE'`);
    expect((await it_.store('c', 'elsewhere').adopt()).epoch).toBe(2);
    // A file that was cut off, and another deployment's mirror, are not either.
    const [file] = await readdir(it_.folder);
    await writeFile(join(it_.folder, file as string), '{"epoch": 99');
    await query(it_.pair.primary.url, `UPDATE db_redundancy.control SET epoch = 50, detail = '{"id":"another"}'`);
    expect((await it_.store('d').adopt()).epoch).toBe(2);
  });

  it('comes with the probes, which write', async () => {
    await using it_ = await stores(dialect);
    const probe = () => probePrimary(it_.primary, systemClock, { stream: STREAM, holder: 'a' }, 2000);
    expect((await probe()).lsn).toBeGreaterThan(0n);
    await query(
      it_.pair.primary.url,
      `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'read-only' USING ERRCODE = '25006'; END $$;
       CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON db_redundancy.heartbeat EXECUTE FUNCTION refuse()`,
    );
    await expect(probe()).rejects.toMatchObject({ code: '25006' });
    // One that hangs rejects at the deadline, and the next is not held up by it.
    await withClient(it_.pair.primary.url, async (client) => {
      await client.query('DROP TRIGGER refuse ON db_redundancy.heartbeat');
      await client.query('BEGIN; LOCK TABLE db_redundancy.heartbeat');
      const begun = performance.now();
      await expect(probePrimary(it_.primary, systemClock, { stream: STREAM, holder: 'a' }, 300)).rejects.toThrow(
        'within 300 ms',
      );
      expect(performance.now() - begun).toBeLessThan(2000);
      await client.query('ROLLBACK');
    });
    expect((await probe()).latencyMs).toBeLessThan(2000);
  });
});
