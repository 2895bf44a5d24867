/**
 * Economy mode through a day: an application that works an hour and a half leaves the primary asleep for the rest of it.
 * Real servers, real router, controller and stream; time is a fake clock, which moves when everything was answered. The
 * proxy before the primary counts who connects and asks, and how long a compute with Neon's rule would have been awake.
 * DB_TEST_LONG=1 takes the whole day, on CockroachDB too.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { createDatabasePair } from '../harness/cluster.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query, withClient } from '../harness/sql.js';
import { type EconomyDay, openEconomyDay } from './support/economy-day.js';

const DDL = `CREATE TABLE entries (id bigserial PRIMARY KEY, session int NOT NULL, note text NOT NULL, updated_at timestamptz NOT NULL DEFAULT now());
  CREATE INDEX ON entries (session)`;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const IDLE_MS = MINUTE;
/** The short form is a third of a day, with a third of its work. */
const LONG = process.env.DB_TEST_LONG === '1';
const DAY_HOURS = LONG ? 24 : 8;
/** Hours at which somebody sits down for half an hour. */
const SESSIONS = LONG ? [9, 13, 19] : [5];
const SESSION_MS = 30 * MINUTE;
const WRITE_EVERY_MS = 10_000;
/** 540 transactions of 19 rows: 10,000 row changes a day. */
const ROWS = 19;
const STEP_MS = 250;
const LONGEST_LAG_MS = 5000;
const DAYS = 30;
const CU = 0.25;

async function settled(day: EconomyDay): Promise<void> {
  for (let step = 0; step < 200 && day.streamer.snapshot().status !== 'streaming'; step++) await day.pass(1000, 1000);
  expect(day.streamer.snapshot().status, day.describe()).toBe('streaming');
}

describeDialects('economy mode', (dialect) => {
  it.skipIf(dialect === 'cockroach' && !LONG)(
    'a day with an hour and a half of work: awake at most two hours, and every write over within 5 s',
    async () => {
      await using pair = await createDatabasePair('economy', dialect);
      await query(pair.primary.url, DDL);
      await using day = await openEconomyDay(pair, { idleMs: IDLE_MS });
      await settled(day);
      await day.pass(30 * MINUTE);
      expect(day.streamer.snapshot().status, day.describe()).toBe('detached');

      const { clock, traffic } = day;
      const began = clock.monotonic();
      const unitsBefore = day.usage.view().requestUnits.used;
      const awakeBefore = traffic.primary.awakeSeconds;
      const at = () => clock.monotonic() - began;
      const lags: number[] = [];
      const idle = { contacts: 0, open: 0, minutes: 0, statements: 0 };
      let written = 0;

      /** Nobody uses the primary until then; the first minutes are those of letting go. */
      const idleUntil = async (ms: number) => {
        await day.pass(Math.min(3 * MINUTE, ms - at()));
        expect(day.streamer.snapshot(), day.describe()).toMatchObject({ status: 'detached', lagSeconds: 0 });
        expect(day.streamer.ready()).toEqual({ ready: true, reason: 'detached' });
        const contacts = () => traffic.primary.ours.connections + traffic.primary.ours.queries;
        const before = { contacts: contacts(), statements: traffic.secondary.ours.queries, atMs: at() };
        traffic.primary.texts = [];
        idle.open += traffic.primary.oursOpen;
        await day.pass(ms - at());
        idle.contacts += contacts() - before.contacts;
        idle.minutes += (at() - before.atMs) / MINUTE;
        idle.statements += traffic.secondary.ours.queries - before.statements;
        expect(traffic.primary.texts).toEqual([]);
      };
      const work = (session: number) =>
        withClient(pair.secondary.url, async (reader) => {
          for (let next = at(); next < session * HOUR + SESSION_MS; next += WRITE_EVERY_MS) {
            await day.pool.query(
              `INSERT INTO entries (session, note) SELECT $1, 'row ' || i FROM generate_series(1, $2::int) AS i`,
              [session, ROWS],
            );
            written += ROWS;
            const committed = clock.monotonic();
            await day.quiet();
            let steppedAt = performance.now();
            for (;;) {
              const { rows } = await reader.query('SELECT count(*)::int AS n FROM entries');
              if (Number((rows[0] as { n: number }).n) >= written) break;
              if (clock.monotonic() - committed > 2 * LONGEST_LAG_MS) throw new Error(`not over: ${day.describe()}`);
              // While servers work, the simulated clock must not outrun the one on the wall.
              await sleep(10);
              if (performance.now() - steppedAt < STEP_MS) continue;
              steppedAt = performance.now();
              await day.pass(STEP_MS, STEP_MS);
            }
            lags.push(clock.monotonic() - committed);
            await day.pass(next + WRITE_EVERY_MS - at(), 5000);
          }
        });

      for (const session of SESSIONS) {
        await idleUntil(session * HOUR);
        await work(session);
      }
      await idleUntil(DAY_HOURS * HOUR);

      const awake = ((traffic.primary.awakeSeconds - awakeBefore) * 24) / DAY_HOURS;
      const monthHours = (awake * DAYS) / 3600;
      const { rest } = day.streamer.snapshot();
      const { computeHours, requestUnits } = day.usage.view();
      const units = ((requestUnits.used - unitsBefore) * 24 * DAYS) / DAY_HOURS;
      console.log(
        `[${dialect}] economy: ${SESSIONS.length} sessions of 30 min in ${DAY_HOURS} h, awake ${(awake / 3600).toFixed(2)} h a day: ${monthHours.toFixed(1)} h, ${(monthHours * CU).toFixed(1)} CU-h a month; ` +
          `${written} row changes, ${lags.length} transactions over after at most ${Math.max(...lags)} ms (simulated); ` +
          `${idle.contacts} contacts in ${(idle.minutes / 60).toFixed(1)} idle hours, ${(idle.statements / idle.minutes).toFixed(2)} statements a minute on the secondary; ${rest?.rests} rests`,
      );
      console.log(
        `[${dialect}] request units a month: ${Math.round(units)}, projected ${Math.round(requestUnits.projected ?? 0)}, so far ${JSON.stringify(requestUnits.byClass)}; ` +
          `compute-hours projected ${computeHours?.projected?.toFixed(1)}`,
      );
      expect(units).toBeLessThan(10_000_000);
      expect(requestUnits.projected).toBeLessThan(10_000_000);
      // Ten thousand rows alone are 5.6 million.
      expect(units).toBeGreaterThan(5_000_000);
      // By its own account, beside the proxy's.
      expect(Math.abs((computeHours?.awakeHours ?? 0) - traffic.primary.awakeSeconds / 3600)).toBeLessThan(0.2);
      const { requestUnits: stored } = await day.storedUsage();
      expect(stored.used).toBeGreaterThan(0.9 * requestUnits.used);
      expect(stored.used).toBeLessThanOrEqual(requestUnits.used);
      expect(idle).toMatchObject({ contacts: 0, open: 0 });
      expect(idle.minutes).toBeGreaterThan((DAY_HOURS - 1) * 60 - SESSIONS.length * 35);
      expect(idle.statements / idle.minutes).toBeLessThanOrEqual(4);
      expect(lags).toHaveLength((SESSIONS.length * SESSION_MS) / WRITE_EVERY_MS);
      expect(Math.max(...lags)).toBeLessThanOrEqual(LONGEST_LAG_MS);
      expect(monthHours).toBeLessThanOrEqual(60);
      const [there] = await query<{ n: string | number }>(pair.secondary.url, 'SELECT count(*) AS n FROM entries');
      expect(Number(there?.n)).toBe(written);
    },
    600_000,
  );

  it('a primary that is gone while it rests: nobody knows, until the queries of the application fail, and then it fails over', async () => {
    await using pair = await createDatabasePair('economy', dialect);
    await query(pair.primary.url, DDL);
    await using day = await openEconomyDay(pair, { idleMs: IDLE_MS });
    await settled(day);
    await day.pool.query('SELECT 1');
    await day.pass(10 * MINUTE);
    expect(day.streamer.snapshot().status, day.describe()).toBe('detached');
    await day.proxies.primary.refuse();
    day.proxies.primary.cut('rst');
    await day.pass(10 * MINUTE);
    expect(day.controller.snapshot()).toMatchObject({ state: 'PRIMARY_ACTIVE', active: 'primary' });
    expect(day.streamer.ready().ready).toBe(true);

    const lost = await day.pool.query('SELECT 1').then(
      () => null,
      (error: unknown) => error,
    );
    expect(lost).toMatchObject({ code: 'ECONNREFUSED' });
    const failedMs = day.clock.monotonic();
    for (let step = 0; step < 60 && day.controller.snapshot().state !== 'SECONDARY_ACTIVE'; step++)
      await day.pass(5000, 5000);
    expect(day.controller.snapshot(), day.describe()).toMatchObject({ state: 'SECONDARY_ACTIVE', active: 'secondary' });
    console.log(
      `[${dialect}] failover ${(day.clock.monotonic() - failedMs) / 1000} s (simulated) after the first query that failed`,
    );
    await day.pool.query(`INSERT INTO entries (session, note) VALUES (1, 'after')`);
    expect(await query(pair.secondary.url, 'SELECT note FROM entries')).toEqual([{ note: 'after' }]);
  }, 300_000);
});

/** What it is compared with, by the same proxy and the same rule. */
describe('without economy mode', () => {
  it('the primary never sleeps', async () => {
    await using pair = await createDatabasePair('attached');
    await query(pair.primary.url, DDL);
    await using day = await openEconomyDay(pair, { idleMs: 0 });
    await settled(day);
    const before = { awake: day.traffic.primary.awakeSeconds, ms: day.clock.monotonic() };
    await day.pass(HOUR);
    const share = (day.traffic.primary.awakeSeconds - before.awake) / ((day.clock.monotonic() - before.ms) / 1000);
    const hours = share * 24 * DAYS;
    console.log(`always attached: ${hours.toFixed(0)} h, ${(hours * CU).toFixed(0)} CU-h a month`);
    expect(share).toBeGreaterThan(0.999);
  }, 300_000);
});
