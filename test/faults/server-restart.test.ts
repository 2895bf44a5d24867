/**
 * The servers themselves, both PostgreSQL and both the test's own: restarted in every way while the application writes, the
 * secondary a standby for a while, and either of them put back to an older copy of its files, under a stream that runs.
 * CockroachDB: `kill-cockroach`. The short form kills each of them once, and leaves the older copies to DB_TEST_LONG=1.
 */
import { expect, it, onTestFailed } from 'vitest';
import { sqlstateOf } from '../../src/core/policy.js';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { testSeed } from '../integration/support/random.js';
import { RunningStream } from '../integration/support/stream.js';
import { expectLedger, LEDGER_DDL, LedgerLoad } from './support/ledger.js';
import { asStandby, copyOf, type Ending, ownServer, restarted, restored } from './support/own-server.js';

const LONG = process.env.DB_TEST_LONG === '1';
const HOW: readonly Ending[] = LONG ? ['fast', 'immediate', 'kill -9'] : ['kill -9'];

async function started() {
  const seed = testSeed();
  onTestFailed(() => console.error(`DB_TEST_SEED=${seed}`));
  const [primary, secondary] = await Promise.all([ownServer('primary'), ownServer('secondary')]);
  const name = 'restart';
  const pair = {
    dialect: 'postgres' as const,
    primary: { name, url: await primary.createDatabase(name) },
    secondary: { name, url: await secondary.createDatabase(name) },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  await query(pair.primary.url, LEDGER_DDL);
  const stream = await new RunningStream(pair).streaming();
  const load = new LedgerLoad(pair.primary.url, { seed, sessions: 2, pauseMs: 5, patient: true });
  return {
    pair,
    stream,
    load,
    servers: { primary, secondary },
    /** The application works, and the secondary follows. */
    async works() {
      const before = load.entries;
      await waitFor(() => load.entries > before + 20, { what: 'the application works', timeoutMs: 30_000 });
      await stream.caughtUp();
    },
    said: (what: RegExp) => stream.log.entries.some(({ message }) => what.test(message)),
    /** What is there is what the primary has: an entry whose COMMIT was not answered may be. */
    async equal() {
      const acknowledged = await load.stop();
      await stream.streaming();
      await stream.caughtUp();
      const [row] = await query<{ n: number }>(pair.primary.url, 'SELECT count(*)::int AS n FROM ledger');
      await expectLedger(pair, row?.n ?? 0);
      expect(stream.streamer.snapshot()).toMatchObject({ status: 'streaming', deadLetters: 0, dropped: 0 });
      return { acknowledged, there: row?.n ?? 0 };
    },
    async [Symbol.asyncDispose]() {
      await load[Symbol.asyncDispose]();
      await stream[Symbol.asyncDispose]();
      await primary.close();
      await secondary.close();
    },
  };
}

it(`G2 G3 source and target are restarted (${HOW.join(', ')}), and the target is a standby for a while`, async () => {
  await using running = await started();
  const { log, streamer } = running.stream;
  for (const side of ['primary', 'secondary'] as const) {
    for (const how of HOW) {
      await restarted(running.servers[side], how);
      await running.works();
    }
  }
  const from = log.entries.length;
  const promote = await asStandby(running.servers.secondary);
  await waitFor(
    // By the applier, or at the start of the next session where the last has ended.
    () => log.entries.slice(from).some(({ details }) => sqlstateOf((details as { err?: unknown }).err) === '25006'),
    { what: 'a read-only secondary' },
  );
  await promote();
  await running.works();
  const { acknowledged, there } = await running.equal();
  expect(there).toBeGreaterThanOrEqual(acknowledged);
  // Nothing was in doubt, so nothing was loaded anew.
  expect(streamer.counters.fullSyncs).toBe(0);
}, 120_000);

it('G2 a primary shuts down in an orderly way although the secondary is away, and cannot confirm', async () => {
  await using running = await started();
  const { primary, secondary } = running.servers;
  await running.works();
  await secondary.stop('immediate');
  const { entries } = running.load;
  await waitFor(() => running.load.entries > entries + 20, { what: 'changes that nobody confirms' });
  await primary.stop('fast', 20_000);
  await Promise.all([primary.startAgain(), secondary.startAgain()]);
  await running.works();
  const { acknowledged, there } = await running.equal();
  expect(there).toBeGreaterThanOrEqual(acknowledged);
}, 120_000);

it.runIf(LONG)(
  'G2 secondary and primary are restored from an older copy of their files while the stream runs',
  async () => {
    await using running = await started();
    const { pair, servers, stream } = running;
    const aside = { secondary: await copyOf(servers.secondary), primary: await copyOf(servers.primary) };
    await running.works();
    await restored(servers.secondary, aside.secondary);
    await waitFor(() => running.said(/past the checkpoint .* the secondary was restored from an older copy/), {
      what: 'the older secondary is noticed',
    });
    await running.works();
    expect(stream.streamer.counters.fullSyncs).toBe(1);
    // Far enough that what is written after the restoration does not reach this place at once.
    await query(pair.primary.url, 'SELECT pg_switch_wal()');
    await running.works();
    await restored(servers.primary, aside.primary);
    await waitFor(() => running.said(/before the checkpoint .*: it was restored from an older copy/), {
      what: 'the older primary is noticed',
    });
    await running.equal();
    expect(stream.streamer.counters.fullSyncs).toBe(2);
  },
  120_000,
);
