/** Orders on the command line: by a running controller, and by the command itself when there is none (SPEC section 10). */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { OrderResult } from '../../src/core/failover.js';
import { serveEnvironment } from '../faults/support/serve.js';
import { createDatabasePair, type DatabasePair } from '../harness/cluster.js';
import { spawnCli } from '../harness/process.js';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { type FailoverRig, failoverRig } from './support/failover.js';
import { bothSides } from './support/stream.js';

const TOKEN = 'a-token-of-the-cli-tests';
let pair: DatabasePair;
let rig: FailoverRig;

beforeAll(async () => {
  pair = await createDatabasePair('orders');
  rig = await failoverRig(
    pair,
    `CREATE TABLE notes (id serial PRIMARY KEY, v text, updated_at timestamptz NOT NULL DEFAULT now())`,
    ['notes'],
  );
});
afterAll(async () => {
  await rig[Symbol.asyncDispose]();
  await pair[Symbol.asyncDispose]();
});

const environment = (more: Record<string, string> = {}) =>
  serveEnvironment(pair, {
    DB_HEALTH_CHECK_INTERVAL_MS: '2000',
    // Long enough for a busy machine: a probe that fails makes a crash of what is to be a switchover.
    DB_HEALTH_TIMEOUT_MS: '2000',
    DB_AUTO_FAILOVER: 'false',
    DB_AUTO_FAILBACK: 'false',
    DB_STATE_DIR: rig.stateDir,
    DB_CONTROL_TOKEN: TOKEN,
    ...more,
  });

async function run(args: readonly string[], more: Record<string, string> = {}) {
  await using cli = await spawnCli(args, { env: environment(more) });
  const { code } = await cli.exit;
  return { code, stdout: cli.output('stdout'), stderr: cli.output('stderr') };
}

/** What a dry run must leave as it is: rows of the controller, and of the heartbeat. */
async function everything() {
  const [control, lease, history] = await Promise.all(
    ['control', 'controller', 'history'].map((name) =>
      query(pair.secondary.url, `SELECT t::text FROM db_redundancy.${name} AS t ORDER BY 1`),
    ),
  );
  const heartbeat = await query(pair.primary.url, 'SELECT h::text FROM db_redundancy.heartbeat AS h');
  return { control, lease, history, heartbeat };
}

it('without a controller: dry run, refusal, failover and failback by the command itself', async () => {
  const early = await run(['failover', '--dry-run']);
  expect(early.code).toBe(1);
  expect(early.stderr).toMatch(/has no control row of the stream [\s\S]*db:controller/);
  expect((await run(['pause', '--reason', 'maintenance'])).code).toBe(0);
  const held = await run(['failover', '--dry-run']);
  expect(held.code).toBe(3);
  expect(held.stdout).toMatch(/✗ not-paused: paused/);
  const refused = await run(['failover']);
  expect(refused.code).toBe(3);
  expect(refused.stdout).toMatch(/✗ not-paused: paused/);
  expect(refused.stderr).toMatch(/--force/);
  expect((await run(['resume'])).code).toBe(0);

  const before = await everything();
  const dry = await run(['failover', '--dry-run', '--json']);
  expect(dry.code, dry.stderr).toBe(0);
  const { guards, ...rest } = JSON.parse(dry.stdout) as OrderResult;
  expect(guards.map((guard) => guard.name)).toEqual([
    ...['secondary-writable', 'stream-lag', 'tables-complete', 'tables-current', 'routers-cut-off', 'cool-down'],
    'not-paused',
  ]);
  expect(rest).toMatchObject({ done: false, refused: false, how: 'switchover', state: 'PRIMARY_ACTIVE' });
  const wrongWay = await run(['failback', '--dry-run', '--force']);
  expect(wrongWay.code).toBe(3);
  expect(wrongWay.stdout).toMatch(/The primary is active already/);
  expect((await run(['pause', '--dry-run'])).stdout).toMatch(/failover and failback are on/);
  expect(await everything()).toEqual(before);

  const over = await run(['failover', '--reason', 'a drill']);
  expect(over.code, over.stderr).toBe(0);
  expect(over.stdout).toMatch(
    /failover as a switchover: The secondary is active\. State SECONDARY_ACTIVE, epoch \d+, \d+ ms/,
  );
  await query(rig.app.secondary, `INSERT INTO notes (v) VALUES ('on the secondary')`);
  await expect(query(rig.app.primary, `INSERT INTO notes (v) VALUES ('x')`)).rejects.toMatchObject({ code: '28000' });

  const overTwice = await run(['failover', '--dry-run', '--force']);
  expect(overTwice.code).toBe(3);
  expect(overTwice.stdout).toMatch(/The secondary is active already/);
  const there = await everything();
  const dryBack = await run(['failback', '--dry-run', '--force']);
  expect(dryBack.code, dryBack.stderr).toBe(0);
  expect(dryBack.stdout).toMatch(/✓ tail-merged: not known without a controller/);
  expect(await everything()).toEqual(there);

  const cool = await run(['failback']);
  expect(cool.code).toBe(3);
  expect(cool.stdout).toMatch(/✗ cool-down/);
  const back = await run(['failback', '--force']);
  expect(back.code, back.stderr).toBe(0);
  const { primary, secondary } = await bothSides(pair, 'notes');
  expect(primary).toHaveLength(1);
  expect(secondary).toEqual(primary);

  const history = await run(['history', '--json']);
  const entries = JSON.parse(history.stdout) as { to: string; reason: string; actor: string }[];
  expect(entries.find((entry) => entry.to === 'FENCING_PRIMARY')).toMatchObject({ reason: 'a drill' });
  expect(entries[0]?.actor).toMatch(/^cli:/);
  expect((await run(['history'])).stdout).toMatch(/FENCING_PRIMARY -> SECONDARY_ACTIVE/);
  expect((await run(['conflicts'])).stdout).toBe('No conflicts.');
  expect((await run(['dead-letters', '--json'])).stdout).toBe('[]');
  expect((await run(['history', '--limit', 'x'])).code).toBe(2);
  const status = await run(['status', '--json']);
  expect(JSON.parse(status.stdout)).toMatchObject({ state: 'PRIMARY_ACTIVE', activeDatabase: 'primary' });
}, 120_000);

it('through a running controller, with its token', async () => {
  await using controller = await spawnCli(['controller'], { env: environment({ DB_COOLDOWN_MS: '0' }) });
  const line = await controller.waitForLine(/HTTP surface listens on/);
  const url = `http://127.0.0.1:${/listens on \S+:(\d+)/.exec(line)?.[1]}`;
  const there = { DB_CONTROLLER_URL: url };
  await waitFor(
    async () => ((await (await fetch(`${url}/api/system/db-health`)).json()) as { epoch: number }).epoch > 0,
    { what: 'the controller has read the row' },
  );
  expect((await run(['failover'], { ...there, DB_CONTROL_TOKEN: '' })).code).toBe(2);
  expect((await run(['failover'], { ...there, DB_CONTROL_TOKEN: 'another-token-than-that' })).code).toBe(2);
  const over = await run(['failover', '--json'], there);
  expect(over.code, over.stderr).toBe(0);
  expect(JSON.parse(over.stdout)).toMatchObject({ done: true, how: 'switchover', state: 'SECONDARY_ACTIVE' });
  expect((await (await fetch(`${url}/api/system/db-health`)).json()) as object).toMatchObject({
    status: 'failed_over',
    activeDatabase: 'secondary',
    syncStatus: 'paused',
  });
  await waitFor(async () => (await run(['failback'], there)).code === 0, { what: 'a failback', timeoutMs: 40_000 });
  expect((await run(['failback'], there)).code).toBe(3);
  controller.kill('SIGTERM');
  expect((await controller.exit).code).toBe(0);
}, 120_000);
