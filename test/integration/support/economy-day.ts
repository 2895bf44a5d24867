/**
 * A deployment in economy mode on a clock that a test moves: real servers, the real stream, controller, authority, HTTP
 * and router. Time goes on only when everything that was asked has been answered.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRouteAuthority } from '../../../src/authority/authority.js';
import { dropCatchUpSlot } from '../../../src/catchup/postgres-source.js';
import type { Clock } from '../../../src/core/clock.js';
import { ALWAYS_AWAKE } from '../../../src/core/economy.js';
import { Secret } from '../../../src/core/secret.js';
import { Rest } from '../../../src/economy/rest.js';
import { RouterReports } from '../../../src/economy/router-reports.js';
import { Usage } from '../../../src/economy/usage.js';
import { LinkUsageStore } from '../../../src/economy/usage-store.js';
import { createController } from '../../../src/failover/create.js';
import { routeRoutes } from '../../../src/http/route.js';
import { DatabaseRecovery } from '../../../src/recovery/database-recovery.js';
import { RouterPool } from '../../../src/router/pool.js';
import { Router } from '../../../src/router/router.js';
import { SchemaBridge } from '../../../src/streamer/schema-bridge.js';
import { Streamer } from '../../../src/streamer/streamer.js';
import type { DatabasePair } from '../../harness/cluster.js';
import { FakeClock } from '../../harness/fake-clock.js';
import { openHttp, TOKEN } from '../../harness/http-fixture.js';
import { PostgresTraffic } from '../../harness/postgres-traffic.js';
import { TcpProxy } from '../../harness/proxy.js';
import { connectionOf } from '../catchup-support.js';
import { FAST } from './failover.js';
import { streamNames, TestLog } from './stream.js';

/** A probe's deadline must not fall into a step of the clock. */
const LONGEST_STEP_MS = 30_000;
/** Half a second: what does not come then waits for the clock. */
const MOST_TURNS = 400;
const HEALTH = { intervalMs: 30_000, suspectIntervalMs: 30_000 };

export interface DayOptions {
  /** 0: without economy mode. */
  readonly idleMs: number;
  readonly maxMs?: number;
  readonly verifyIntervalMs?: number;
}

export type EconomyDay = Awaited<ReturnType<typeof openEconomyDay>>;

export async function openEconomyDay(
  pair: DatabasePair,
  { idleMs, maxMs = 86_400_000, verifyIntervalMs = 86_400_000 }: DayOptions,
) {
  const clock = new FakeClock(Date.now());
  const log = new TestLog();
  const primary = await TcpProxy.start(pair.primary.url);
  const secondary = await TcpProxy.start(pair.secondary.url);
  const urls = { primary: primary.url(pair.primary.url), secondary: secondary.url(pair.secondary.url) };
  const sides = { primary: connectionOf(urls.primary), secondary: connectionOf(urls.secondary) };
  const traffic = { primary: new PostgresTraffic(primary, clock), secondary: new PostgresTraffic(secondary, clock) };
  const stateDir = await mkdtemp(join(tmpdir(), 'db-redundancy-economy-'));
  const names = streamNames(pair);
  const onStatement = (text: string) => usage.statement(text);
  const rest = idleMs === 0 ? null : new Rest({ clock, log, idleMs, maxMs });
  const streamer = new Streamer({
    ...sides,
    tables: '*',
    settings: { ...names, maxRows: 5000, onError: 'pause-table', largeTransactions: 'atomic', loadConcurrency: 2 },
    ...{ clock, log, reconcile: { sweepIntervalMs: 300_000, verifyIntervalMs } },
    ...(rest ? { rest } : {}),
    onStatement,
    schema: (given) => new SchemaBridge({ ...given, stream: names.stream, clock, log }),
  });
  let reported = 0;
  const reports = new RouterReports(clock, rest ?? ALWAYS_AWAKE, (failure) => built.controller.heardFailure(failure));
  const authority = createRouteAuthority({
    clock,
    onReport: (request) => {
      reported += 1;
      reports.heard(request);
    },
  });
  const catchUp = `catchup_${pair.secondary.name}`;
  const built = createController({
    stream: names.stream,
    ...sides,
    timeoutMs: LONGEST_STEP_MS,
    settings: { ...FAST, health: HEALTH, autoFailover: true },
    drainTimeoutMs: 30_000,
    ...{ stateDir, webhookUrl: null, authority, clock, log },
    createRecovery: () =>
      new DatabaseRecovery({
        ...names,
        ...sides,
        ...{ catchUpSlot: catchUp, catchUpPublication: 'db_redundancy_catchup', clock, log },
      }),
    onReleased: () => streamer.nudge(),
    onStatement,
    ...(rest ? { rest } : {}),
  });
  const { controller } = built;
  const calendar = firstOfTheMonth(clock);
  const newUsage = () =>
    new Usage({
      clock: calendar,
      log,
      store: new LinkUsageStore(streamer.link, names.stream),
      budgets: { requestUnits: 50_000_000, computeHours: 100 },
      awake: () => (rest?.awake ?? true) && controller.snapshot().primary.connected,
      snapshot: () => streamer.snapshot(),
    });
  const usage: Usage = newUsage();
  const http = await openHttp({ controlToken: new Secret(TOKEN), routes: [routeRoutes(authority)] });
  const router = new Router(
    {
      primary: { connectionString: urls.primary, application_name: 'application', max: 4, idleTimeoutMillis: 20 },
      secondary: { connectionString: urls.secondary, application_name: 'application', max: 4, idleTimeoutMillis: 20 },
      controllerUrl: http.base,
      token: TOKEN,
    },
    { clock, background: clock },
  );
  const pool = new RouterPool({ primary: {}, router });
  const abort = new AbortController();
  const running = Promise.allSettled([
    streamer.run(abort.signal),
    controller.run(abort.signal),
    usage.run(abort.signal),
  ]);

  /** Until everything that was asked on either side has been answered, and nothing moves for a moment. */
  const quiet = async (): Promise<void> => {
    const moved = () => traffic.primary.changes + traffic.secondary.changes + reported;
    for (let calm = 0, last = -1, turns = 0; calm < 2 && turns < MOST_TURNS; turns++) {
      await sleep(1);
      const now = moved();
      calm = now === last && traffic.primary.unanswered + traffic.secondary.unanswered === 0 ? calm + 1 : 0;
      last = now;
    }
  };
  return {
    ...{ clock, log, rest, streamer, controller, pool, router, usage, traffic, proxies: { primary, secondary }, quiet },
    /** What a process that starts now would know of the month. */
    async storedUsage() {
      const stored = newUsage();
      await stored.load();
      return stored.view();
    },
    /** Lets time go by, in steps after each of which everything comes to its end. */
    async pass(ms: number, stepMs = LONGEST_STEP_MS): Promise<void> {
      for (let left = ms; left > 0; left -= stepMs) {
        await clock.advance(Math.min(left, stepMs));
        await quiet();
        traffic.primary.tick();
      }
    },
    describe(): string {
      const lines = log.entries.slice(-30).map(({ details, level, message }) => {
        const { err } = details as { err?: Error };
        return `${level} ${message}${err ? ` | ${err.message}` : ''}`;
      });
      const { detail, status } = streamer.snapshot();
      return `stream ${status} ${detail}, ${JSON.stringify(controller.snapshot())}\n${lines.join('\n')}`;
    },
    async [Symbol.asyncDispose]() {
      abort.abort(new Error('the test is done'));
      rest?.close();
      const ended = Promise.all([pool.end(), running]).then(() => built.close());
      // Whoever waits by the clock in order to leave.
      while (!(await Promise.race([ended.then(() => true), sleep(20).then(() => false)]))) await clock.advance(5000);
      router.close();
      await http[Symbol.asyncDispose]();
      await Promise.all([primary.close(), secondary.close()]);
      await rm(stateDir, { recursive: true, force: true });
      if (pair.dialect === 'postgres')
        await dropCatchUpSlot(connectionOf(pair.secondary.url), catchUp).catch(() => undefined);
    },
  };
}

/** The same time, on a calendar on which the month has just begun: projections look to its end. */
function firstOfTheMonth(clock: FakeClock): Clock {
  const from = clock.now();
  const at = new Date(from);
  const first = Date.UTC(at.getUTCFullYear(), at.getUTCMonth(), 1);
  return {
    now: () => first + clock.now() - from,
    monotonic: () => clock.monotonic(),
    sleep: (ms, signal) => clock.sleep(ms, signal),
    setTimer: (ms, callback) => clock.setTimer(ms, callback),
  };
}
