/**
 * The secondary is out of reach, first refusing connections, then half-open (packets vanish), while the primary goes on.
 * The program's own account of its lag is true all the time, and it resumes by itself (G2, G3, G10).
 * DB_TEST_LONG=1: each phase lasts until the lag has been two minutes, and the WAL that the slot retains is reported.
 */
import { expect, it, onTestFailed } from 'vitest';
import { createDatabasePair } from '../harness/cluster.js';
import { TcpProxy } from '../harness/proxy.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { testSeed } from '../integration/support/random.js';
import { expectLedger, LEDGER_DDL, LedgerLoad } from './support/ledger.js';
import { type Lag, Serve, serveEnvironment } from './support/serve.js';

const LONG = process.env.DB_TEST_LONG === '1';
const LONGEST_LAG_SECONDS = LONG ? 120 : 2.5;

describeDialects('G2 G3 the secondary is out of reach', (dialect) => {
  it('tells the truth about the lag, and resumes by itself', async () => {
    const seed = testSeed();
    onTestFailed(() => console.error(`DB_TEST_SEED=${seed}`));
    await using pair = await createDatabasePair('outage', dialect);
    await query(pair.primary.url, LEDGER_DDL);
    await using proxy = await TcpProxy.start(pair.secondary.url);
    await using serve = await Serve.start(
      serveEnvironment({ ...pair, secondary: { ...pair.secondary, url: proxy.url(pair.secondary.url) } }),
    );
    await serve.leading();
    await serve.caughtUp();
    await using load = new LedgerLoad(pair.primary.url, { seed, sessions: 1, pauseMs: 10 });

    await proxy.refuse();
    const refusedAt = performance.now();
    proxy.cut();
    const refused = await lagWhileOut(serve, refusedAt);
    await proxy.accept();
    const refusedFor = await untilNear(serve);

    const swallowedAt = performance.now();
    proxy.swallow();
    const vanished = await lagWhileOut(serve, swallowedAt);
    // The network forgets: it lets new connections through, and those that were there stay dead. The program gives
    // them up; then the server does, which may hold locks for them, as its own keep-alive would make it do.
    const { connections } = proxy;
    proxy.resume();
    const resumedAt = performance.now();
    await waitFor(() => proxy.connections > connections, { what: 'a new connection', timeoutMs: 40_000 });
    const givenUpAfter = Math.round(performance.now() - resumedAt);
    proxy.cut();
    const vanishedFor = await untilNear(serve);

    const entries = await load.stop();
    await serve.caughtUp();
    expect((await serve.lag()).body).toMatchObject({ lagBytes: 0, lagSeconds: 0, deadLetters: 0, dropped: 0 });
    await expectLedger(pair, entries);
    console.log(
      `outage [${dialect}]: refused: lag up to ${refused.lagSeconds} s and ${refused.lagBytes} bytes, ${refused.slot?.retainedBytes} bytes retained, near again ${refusedFor} ms after; vanished: lag up to ${vanished.lagSeconds} s, given up ${givenUpAfter} ms and near again ${vanishedFor} ms after`,
    );
  }, 600_000);
});

/**
 * Watches the endpoint until the lag has grown to the limit. At no time may it claim less than what has passed since the
 * last moment at which anything can have reached the secondary.
 */
async function lagWhileOut(serve: Serve, since: number): Promise<Lag> {
  let last: Lag | undefined;
  return waitFor(
    async () => {
      const passed = (performance.now() - since) / 1000;
      const { code, body } = await serve.lag('?maxSeconds=1');
      // A commit of some milliseconds before may be the oldest one that is not there.
      expect(body.lagSeconds, JSON.stringify(body)).toBeGreaterThan(passed - SLACK_SECONDS);
      expect(code).toBe(body.lagSeconds > 1 ? 503 : 200);
      expect(body.lagBytes).toBeGreaterThanOrEqual(0);
      if (last !== undefined && last.lagSeconds > 1) {
        expect(body.lagSeconds).toBeGreaterThanOrEqual(last.lagSeconds);
        expect(body.lagBytes).toBeGreaterThanOrEqual(last.lagBytes);
      }
      last = body;
      // The slot is looked at every 15 s.
      const retained = !LONG || (body.slot?.retainedBytes ?? 0) > 10_000;
      return body.lagSeconds > LONGEST_LAG_SECONDS && body.lagBytes > 0 && retained && body;
    },
    { what: 'the lag grows', timeoutMs: LONG ? 200_000 : 40_000, fatal: () => true },
  );
}

const SLACK_SECONDS = 0.5;

/** @returns milliseconds until the stream is less than a second behind again. */
async function untilNear(serve: Serve): Promise<number> {
  const began = performance.now();
  await waitFor(async () => (await serve.lag('?maxSeconds=1')).code === 200, {
    what: 'the stream is near again',
    timeoutMs: 90_000,
  });
  return Math.round(performance.now() - began);
}
