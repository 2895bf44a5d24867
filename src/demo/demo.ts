/**
 * `demo`: the whole of it on one machine, within a minute. Two throw-away servers, twelve tables, the real streamer and
 * failover controller between them, an application that writes through the router, a reader that watches, a comparison
 * of every row, a failover and a failback under load, and the comparison once more.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientBase } from 'pg';
import { DEFAULT_TABLES } from '../config/tables.js';
import { ConfigurationError, RedundancyError } from '../core/errors.js';
import type { Streamer } from '../streamer/streamer.js';
import { createApplicationRole } from './application-role.js';
import { compareTables } from './compare-tables.js';
import { showFailover } from './demo-failover.js';
import { type LiveParts, showLive } from './demo-live.js';
import { DemoParts } from './demo-parts.js';
import { createDemoStream, type DemoStream } from './demo-stream.js';
import { type Check, count, DemoView, dollars, seconds } from './demo-view.js';
import { MoneyCheck, totalMoney } from './money-check.js';
import { type Addresses, nextSteps } from './next-steps.js';
import { Probe } from './probe.js';
import { WAYBANK_DDL } from './waybank-schema.js';
import { seedWaybank } from './waybank-seed.js';
import { Workload } from './workload.js';

export interface DemoOptions {
  /** Length of the live workload, above 0. */
  readonly seconds: number;
  /** Go on after the checks, until `signal` is aborted. */
  readonly keep?: boolean;
}

const CONNECTIONS = 4;
const TRANSACTIONS_PER_SECOND = 300;
const POLL_MS = 50;

/**
 * Resolves when all checks have passed and everything is taken down. Rejects with a RedundancyError when a check fails,
 * and with the signal's reason when it is interrupted before its end.
 */
export async function demo(options: DemoOptions, output: NodeJS.WriteStream, signal: AbortSignal): Promise<void> {
  if (!(options.seconds > 0 && options.seconds <= 86_400)) {
    throw new ConfigurationError('--seconds must be a number above 0, at most 86400.', {
      code: 'demo-seconds',
      remedy: 'For example: npm run demo -- --seconds 20',
    });
  }
  const view = new DemoView(output);
  view.title(
    'WayBank Database Redundancy: the demo',
    'Two PostgreSQL servers on this computer: a primary, which an application writes to, and a standby (the secondary),',
    'which is to hold the same data at every moment. Both are thrown away at the end. Ctrl-C stops at any time.',
  );
  const parts = new DemoParts(signal);
  try {
    await run(options, parts, view, signal);
  } finally {
    view.settle();
    if (signal.aborted) view.lines('', 'Stopping: the servers are ended and their files removed.');
    await parts.close();
  }
}

async function run(options: DemoOptions, parts: DemoParts, view: DemoView, signal: AbortSignal): Promise<void> {
  const { background } = parts;
  const { primary, secondary, rows } = await prepare(parts, view);
  const stream = await createDemoStream(primary, secondary, (line) => view.message(line));
  await parts.open(Promise.resolve(stream));
  const [left, right] = [await parts.connect(primary), await parts.connect(secondary)];
  const [appPrimary, appSecondary] = await background.wait(
    createApplicationRole([
      { client: left, url: primary },
      { client: right, url: secondary },
    ]),
  );
  background.start((stop) => stream.streamer.run(stop));
  await load(stream.streamer, rows, parts, view);
  background.start((stop) => stream.controller.run(stop));

  const live: LiveParts = {
    background,
    streamer: stream.streamer,
    view,
    workload: await parts.open(
      Workload.open({
        pool: {
          primary: { connectionString: appPrimary ?? '', application_name: 'demo application' },
          secondary: { connectionString: appSecondary ?? '', application_name: 'demo application' },
          controllerUrl: stream.origin,
        },
        connections: CONNECTIONS,
        perSecond: TRANSACTIONS_PER_SECOND,
      }),
    ),
    probe: await parts.open(Probe.open(primary, secondary)),
    money: await parts.open(MoneyCheck.open(secondary, (await background.wait(totalMoney(left))).total)),
  };
  const addresses: Addresses = { origin: stream.origin, primary, secondary };
  const running = startTasks(live);
  view.step(
    3,
    `Live: an application writes to the primary for ${options.seconds} seconds, and every transaction goes to the standby`,
    '"behind" is what the standby still has to do; "delay" is the time from a commit on the primary until it can be read',
    `on the standby (of the last 100 measured). Money moves between accounts, ${dollars(live.money.expected)} in total: a`,
    'reader of the standby adds it up again and again, and would see another total if a transaction ever came in part.',
    `To look from outside, meanwhile: the dashboard at ${addresses.origin}/`,
  );
  await showLive(live, options.seconds, 1);
  view.settle();

  view.step(4, 'Check: the application stops, and all rows of both databases are compared');
  for (const task of running) await background.wait(task.stop());
  const caughtUp = await background.wait(live.probe.once());
  const tables = await background.wait(compareTables(left, right, DEFAULT_TABLES));
  view.comparison(tables);
  const checks = [
    ...tables.map((table) => ({ passed: table.equal, text: `${table.name} differs` })),
    ...judge(live, caughtUp, view),
  ];
  const failed = checks.filter((check) => !check.passed).map((check) => check.text);
  if (failed.length > 0) {
    throw new RedundancyError(`The demo found a fault: ${failed.join('; ')}.`, {
      code: 'demo-check-failed',
      remedy: 'This should never happen; please report it with everything printed above.',
    });
  }

  view.step(
    5,
    'Failover and back, planned, while the application writes: it uses a pool that follows the active database',
    'The primary is closed, what is left is streamed, and the standby is opened. Then the same the other way: what was',
    'written on the standby meanwhile is copied home first.',
  );
  await failover(live, stream, left, right, view);
  view.lines('', 'All checks passed: nothing was lost in either direction, and both databases hold the same.');
  nextSteps(view, options.keep === true ? addresses : null);
  if (options.keep === true) await keepOn(live, view, signal);
}

async function failover(
  { background, money, probe, workload }: LiveParts,
  { controller }: DemoStream,
  left: ClientBase,
  right: ClientBase,
  view: DemoView,
): Promise<void> {
  const writing = background.start((stop) => workload.run(stop));
  await showFailover({ background, controller, workload, view });
  await background.wait(writing.stop());
  await background.wait(probe.once());
  const tables = await background.wait(compareTables(left, right, DEFAULT_TABLES));
  const totals = await background.wait(Promise.all([left, right].map(totalMoney)));
  const unequal = tables.filter((table) => !table.equal).map((table) => table.name);
  const wrong = totals.filter(({ total }) => total !== money.expected);
  if (unequal.length + wrong.length > 0) {
    throw new RedundancyError(
      `After the failback the databases are not the same: ${[...unequal, ...wrong.map(({ total }) => dollars(total))].join(', ')}.`,
      {
        code: 'demo-check-failed',
        remedy: 'This should never happen; please report it with everything printed above.',
      },
    );
  }
  view.check({
    passed: true,
    text: `All ${tables.length} tables are equal again, and the money is ${dollars(money.expected)} on both sides`,
  });
}

async function prepare(parts: DemoParts, view: DemoView) {
  view.step(1, 'Two PostgreSQL servers start, and the primary gets the twelve tables of the WayBank application');
  const started = performance.now();
  const [primary, secondary] = await parts.background.wait(parts.startServers());
  view.check({ passed: true, text: `Both servers run (${seconds((performance.now() - started) / 1000)})` });
  const client = await parts.connect(primary);
  const filling = performance.now();
  await parts.background.wait(client.query(WAYBANK_DDL));
  const rows = await parts.background.wait(seedWaybank(client));
  const total = [...rows.values()].reduce((sum, each) => sum + each, 0);
  const time = seconds((performance.now() - filling) / 1000);
  view.check({
    passed: true,
    text: `${rows.size} tables with ${count(total)} rows on the primary, nothing on the standby (${time})`,
  });
  return { primary, secondary, rows };
}

async function load(
  streamer: Streamer,
  expected: ReadonlyMap<string, number>,
  { background }: DemoParts,
  view: DemoView,
): Promise<void> {
  view.step(2, 'The tables are created on the standby, and every row is copied');
  const started = performance.now();
  for (;;) {
    const { detail, status, tables } = streamer.snapshot();
    view.loading(tables, expected);
    const paused = tables.find((table) => table.state === 'paused');
    if (status === 'error' || paused) {
      throw new RedundancyError(`The tables could not be copied: ${paused?.reason ?? detail}`, { code: 'demo-load' });
    }
    if (
      status === 'streaming' &&
      tables.length === expected.size &&
      tables.every((table) => table.state === 'streaming')
    ) {
      view.settle();
      const rows = tables.reduce((sum, table) => sum + table.rowsLoaded, 0);
      const time = (performance.now() - started) / 1000;
      view.check({
        passed: true,
        text: `${count(rows)} rows copied in ${seconds(time)} (${count(rows / time)} rows/s)`,
      });
      return;
    }
    await background.wait(sleep(POLL_MS));
  }
}

/** In the order in which they are to be stopped: what writes, before what watches. */
function startTasks({ background, money, probe, workload }: LiveParts) {
  return [workload, probe, money].map((part) => background.start((stop) => part.run(stop)));
}

function judge({ money, probe, streamer, workload }: LiveParts, caughtUpMs: number, view: DemoView): Check[] {
  const { deadLetters, dropped, tables } = streamer.snapshot();
  const { p50, p99, samples } = probe.delays('all');
  const stopped = tables.filter((table) => table.state !== 'streaming');
  const moneyRight = money.wrong === 0 && money.reads > 0 && money.moved > 1;
  const lost = dropped + deadLetters + stopped.length;
  const checks = [
    {
      passed: moneyRight,
      text: moneyRight
        ? `${count(money.reads)} reads of the standby while it was written to: ${dollars(money.expected)} in every one`
        : `${money.wrong} of ${count(money.reads)} reads of the standby saw another total than ${dollars(money.expected)}${money.firstWrong === null ? '' : `, first ${dollars(money.firstWrong)}`}`,
    },
    {
      passed: lost === 0 && workload.committed > 0,
      text:
        lost === 0
          ? `${count(workload.committed)} transactions of the application; the standby refused no row and paused no table`
          : `changes were refused by the standby: ${deadLetters} rows, ${stopped.length} tables`,
    },
  ];
  for (const check of checks) view.check(check);
  view.lines(
    `     From a commit on the primary until it could be read on the standby: ${p50?.toFixed(1)} ms typically, 99% under`,
    `     ${p99?.toFixed(1)} ms (${count(samples)} measurements); after the last transaction it took ${caughtUpMs.toFixed(0)} ms`,
  );
  return checks;
}

/** Until Ctrl-C, which is the way to end it and no failure. */
async function keepOn(live: LiveParts, view: DemoView, signal: AbortSignal): Promise<void> {
  view.lines('', 'The application writes on. Ctrl-C ends everything.');
  startTasks(live);
  try {
    await showLive(live, null, view.inPlace ? 1 : 10);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  if (live.money.wrong > 0) {
    throw new RedundancyError(`A reader of the standby saw a wrong total: ${dollars(live.money.firstWrong ?? '')}.`, {
      code: 'demo-check-failed',
      remedy: 'This should never happen; please report it with everything printed above.',
    });
  }
}
