/**
 * Economy mode of the program as it is run: `serve` and a real router, in real time. What a wake takes, what the surfaces
 * say, and a slot that was dropped during too long a rest.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import type { EconomyView } from '../../src/core/economy.js';
import { RouterPool } from '../../src/router/pool.js';
import { Serve, serveEnvironment, slotOf } from '../faults/support/serve.js';
import { createDatabasePair } from '../harness/cluster.js';
import { TOKEN } from '../harness/http-fixture.js';
import { PostgresTraffic } from '../harness/postgres-traffic.js';
import { spawnCli } from '../harness/process.js';
import { TcpProxy } from '../harness/proxy.js';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';

const DDL = 'CREATE TABLE entries (id bigserial PRIMARY KEY, note text NOT NULL)';
const LONGEST_WAKE_MS = 5000;

it('serve lets go of an idle primary, comes back with its first query, and survives the loss of its slot meanwhile', async () => {
  await using pair = await createDatabasePair('economy');
  await query(pair.primary.url, DDL);
  await using proxy = await TcpProxy.start(pair.primary.url);
  const traffic = new PostgresTraffic(proxy, systemClock);
  const stateDir = await mkdtemp(join(tmpdir(), 'db-redundancy-serve-'));
  const seenUrl = proxy.url(pair.primary.url);
  const environment = serveEnvironment(
    { ...pair, primary: { ...pair.primary, url: seenUrl } },
    { DB_IDLE_DETACH_MS: '10000', DB_CONTROL_TOKEN: TOKEN, DB_STATE_DIR: stateDir },
  );
  await using serve = await Serve.start(environment);
  await serve.leading();
  const base = await serve.base();
  const economy = async () => (await (await fetch(`${base}/api/system/economy`)).json()) as EconomyView;
  const contacts = () => traffic.ours.connections + traffic.ours.queries;
  const detached = () =>
    waitFor(async () => (await serve.lag()).body.status === 'detached' && traffic.oursOpen === 0, {
      what: `the stream lets go; ${serve.process.output().slice(-2000)}`,
      timeoutMs: 60_000,
    });
  const rows = async () =>
    (await query<{ note: string }>(pair.secondary.url, 'SELECT note FROM entries ORDER BY id')).map(({ note }) => note);
  const pool = new RouterPool({
    primary: { connectionString: seenUrl, application_name: 'application' },
    secondary: { connectionString: pair.secondary.url, application_name: 'application' },
    controllerUrl: base,
    token: TOKEN,
  });
  try {
    await detached();
    const before = contacts();
    const ready = await fetch(`${base}/readyz`);
    expect([ready.status, await ready.json()]).toEqual([200, { ready: true, reason: 'detached' }]);
    expect(await serve.lag('?maxSeconds=1')).toMatchObject({
      code: 200,
      body: { lagSeconds: 0, slot: { walStatus: 'reserved' } },
    });
    expect(await economy()).toMatchObject({
      rest: { mode: 'resting', rests: 1 },
      neon: null,
      budget: { slowed: false },
    });
    const health = (await (await fetch(`${base}/api/system/db-health`)).json()) as {
      status: string;
      syncStatus: string;
    };
    expect(health).toMatchObject({ status: 'healthy', syncStatus: 'healthy', economy: { rest: { mode: 'resting' } } });
    await using status = await spawnCli(['status'], { env: { ...environment, DB_CONTROLLER_URL: base } });
    expect((await status.exit).code, status.output()).toBe(0);
    expect(status.output('stdout')).toMatch(/Economy mode: the primary is left alone/);
    expect(status.output('stdout')).toMatch(/Request units this month: [\d,]+ used/);
    // Everything that was asked of the program has not made it ask the primary.
    expect(contacts()).toBe(before);

    const sent = performance.now();
    await pool.query(`INSERT INTO entries (note) VALUES ('wakes')`);
    const committed = performance.now();
    await waitFor(async () => (await rows()).includes('wakes'), { what: 'the write is over', timeoutMs: 20_000 });
    const took = performance.now() - committed;
    const { rest } = await economy();
    console.log(
      `economy serve: the first write was over ${Math.round(took)} ms after its commit (${Math.round(committed - sent)} ms); the slot was open ${rest?.lastWakeSeconds} s after it`,
    );
    expect(took).toBeLessThan(LONGEST_WAKE_MS);
    expect(rest).toMatchObject({ mode: 'awake', wokenBy: 'application' });
    expect(await serve.metric('db_redundancy_economy_last_wake_seconds')).toBeLessThan(LONGEST_WAKE_MS / 1000);
    expect(await serve.metric('db_redundancy_economy_mode', 'mode="awake"')).toBe(1);

    await detached();
    await query(pair.primary.url, `SELECT pg_drop_replication_slot('${slotOf(pair.primary)}')`);
    await query(pair.primary.url, `INSERT INTO entries (note) VALUES ('unseen')`);
    await pool.query(`INSERT INTO entries (note) VALUES ('seen')`);
    await waitFor(async () => (await rows()).join() === 'wakes,unseen,seen', {
      what: 'every table was compared',
      timeoutMs: 40_000,
    });
    expect(await serve.metric('db_redundancy_full_syncs_total')).toBe(1);
  } finally {
    await pool.end();
    await rm(stateDir, { recursive: true, force: true });
  }
}, 240_000);
