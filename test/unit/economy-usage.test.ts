/** What a month costs by estimate, its projection, and what follows when a budget will not last. */
import { describe, expect, it } from 'vitest';
import { economyWords } from '../../src/core/economy-words.js';
import type { StreamSnapshot } from '../../src/core/status.js';
import { line, monthEnd, monthOf, project } from '../../src/economy/projection.js';
import { classOf, UNITS, unitsOf, unitsOfRows } from '../../src/economy/request-units.js';
import { type StoredUsage, Usage, type UsageStore } from '../../src/economy/usage.js';
import { FakeClock } from '../harness/fake-clock.js';
import { SNAPSHOT } from '../harness/fixed-status.js';
import { TestLog } from '../integration/support/stream.js';

const HOUR = 3_600_000;

describe('request units', () => {
  it('follow the published rates, what is written three times', () => {
    expect(unitsOf({ cpuMs: 3 })).toBe(1);
    expect(unitsOf({ cpuMs: 0, egressBytes: 1024, readBatches: 2, readBytes: 65_536 })).toBe(3);
    expect(unitsOf({ cpuMs: 0, writeBatches: 1, writtenBytes: 1024 })).toBe(6);
    expect(unitsOfRows(10_000, 2_000_000)).toBeCloseTo(185_500);
    expect(unitsOfRows(10, 20 * 1024)).toBeCloseTo(20 * 18.55);
  });

  it.each([
    ['UPDATE db_redundancy.checkpoint SET lsn = $1', 'metadata-write'],
    ['WITH mine AS (UPDATE db_redundancy.controller SET x = 1) SELECT 1', 'metadata-write'],
    ['SELECT held FROM db_redundancy.checkpoint', 'metadata-read'],
    ['INSERT INTO entries SELECT 1', 'statement'],
    ['BEGIN', 'statement'],
  ] as const)('%s is %s', (text, kind) => expect(classOf(text)).toBe(kind));
});

describe('a projection', () => {
  const nowMs = Date.UTC(2026, 10, 11);

  it('is what was used and its mean rate to the end of the month, without what comes once', () => {
    expect(monthOf(nowMs)).toBe('2026-11');
    expect(monthEnd(Date.UTC(2026, 11, 31, 23))).toBe(Date.UTC(2027, 0, 1));
    const sinceMs = Date.UTC(2026, 10, 1);
    expect(project({ used: 1000, once: 0, sinceMs }, nowMs)).toBeCloseTo(3000);
    expect(project({ used: 1000, once: 500, sinceMs }, nowMs)).toBeCloseTo(2000);
    expect(line({ used: 1000, once: 0, sinceMs }, 2999, nowMs).exceeded).toBe(true);
    expect(line({ used: 1000, once: 0, sinceMs }, 3001, nowMs).exceeded).toBe(false);
  });

  it('is none before an hour was seen', () => {
    expect(project({ used: 1000, once: 0, sinceMs: nowMs - HOUR + 1 }, nowMs)).toBeNull();
  });
});

/** The sums as the secondary would keep them, for what is decided on them; the statements have a test on databases. */
class Sums implements UsageStore {
  readonly months = new Map<string, { amounts: Map<string, number>; sinceMs: number }>();

  async read(month: string): Promise<StoredUsage | null> {
    return this.months.get(month) ?? null;
  }

  async add(month: string, amounts: ReadonlyMap<string, number>, sinceMs: number): Promise<StoredUsage> {
    const known = this.months.get(month) ?? { amounts: new Map<string, number>(), sinceMs };
    for (const [what, amount] of amounts) known.amounts.set(what, (known.amounts.get(what) ?? 0) + amount);
    this.months.set(month, known);
    return known;
  }
}

function usage(
  more: { budgets?: { requestUnits: number; computeHours: number }; sums?: Sums; clock?: FakeClock } = {},
) {
  const clock = more.clock ?? new FakeClock(Date.UTC(2026, 10, 1));
  const log = new TestLog();
  const sums = more.sums ?? new Sums();
  const state = { awake: true, snapshot: structuredClone(SNAPSHOT) as StreamSnapshot };
  // Its counters begin with the process, as the count does.
  Object.assign(state.snapshot.counters, { rowsApplied: 0, bytesReceived: 0 });
  const counted = new Usage({
    ...{ clock, log, store: sums, budgets: more.budgets ?? { requestUnits: 50_000_000, computeHours: 100 } },
    awake: () => state.awake,
    snapshot: () => state.snapshot,
  });
  const stop = new AbortController();
  const running = counted.run(stop.signal);
  return {
    ...{ clock, log, state, sums, usage: counted },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running;
    },
  };
}

describe('words', () => {
  it('say what is used, what it comes to, and what is over its budget', () => {
    const units = { used: 1_234_567, projected: 60_000_000, budget: 50_000_000, exceeded: true, byClass: {} };
    const hours = { used: 2.5, projected: null, budget: 100, exceeded: false, awakeHours: 10 };
    const rest = {
      mode: 'resting',
      since: '2026-11-01T00:00:00Z',
      wokenBy: null,
      rests: 3,
      restedSeconds: 60,
    } as const;
    const words = economyWords({
      rest: { ...rest, lastWakeSeconds: 0.5 },
      neon: { state: 'idle', checkedAt: null, problem: null },
      budget: { month: '2026-11', since: '', requestUnits: units, computeHours: hours, slowed: true },
    });
    expect(words).toEqual([
      'Economy mode: the primary is left alone since 2026-11-01 00:00 UTC, 3 rests, the last wake took 0.5 s',
      "Neon's API: the endpoint is idle",
      'Request units this month: 1,234,567 used, 60,000,000 projected, of 50,000,000: OVER THE BUDGET',
      'Compute-hours this month: 2.5 used, too early for a projection, of 100',
      'Sweep and verify come more seldom, because a budget will not last',
    ]);
    expect(economyWords({ rest: null, neon: null, budget: null })).toEqual([]);
  });
});

describe('the usage of a month', () => {
  it('counts statements, and rows that were applied since it began', async () => {
    await using it_ = usage();
    await it_.clock.advance(10_000);
    for (let i = 0; i < 100; i++) it_.usage.statement('UPDATE db_redundancy.controller SET x = 1');
    it_.state.snapshot.counters.rowsApplied += 1000;
    it_.state.snapshot.counters.bytesReceived += 100_000;
    await it_.clock.advance(10_000);
    const { byClass, used } = it_.usage.view().requestUnits;
    expect(byClass).toMatchObject({
      'metadata-write': Math.round(100 * UNITS['metadata-write']),
      change: 18_550,
      load: 0,
    });
    expect(used).toBeCloseTo(100 * UNITS['metadata-write'] + 18_550);
  });

  it("counts the compute as awake for Neon's five minutes after the last use", async () => {
    await using it_ = usage();
    await it_.clock.advance(HOUR);
    it_.state.awake = false;
    await it_.clock.advance(10 * HOUR);
    const { computeHours } = it_.usage.view();
    expect(computeHours?.awakeHours).toBeCloseTo(1 + 5 / 60, 1);
    expect(computeHours?.used).toBeCloseTo((computeHours?.awakeHours ?? 0) / 4, 5);
  });

  it('goes on after a restart, and begins anew with the month', async () => {
    const sums = new Sums();
    const clock = new FakeClock(Date.UTC(2026, 10, 30, 12));
    {
      await using first = usage({ sums, clock });
      first.usage.statement('BEGIN');
      await clock.advance(HOUR);
    }
    await using second = usage({ sums, clock });
    second.usage.statement('BEGIN');
    await clock.advance(HOUR);
    expect(second.usage.view().requestUnits.used).toBeCloseTo(2 * UNITS.statement);
    expect(second.usage.view().computeHours?.awakeHours).toBeCloseTo(2, 1);
    await clock.advance(12 * HOUR);
    expect(second.usage.view()).toMatchObject({ month: '2026-12', requestUnits: { used: 0 } });
  });

  it('slows sweep and verify down above a budget, says so, and takes it back', async () => {
    const clock = new FakeClock(Date.UTC(2026, 10, 29));
    await using it_ = usage({ clock, budgets: { requestUnits: 1000, computeHours: 1000 } });
    expect(it_.usage.pace).toBe(1);
    await clock.advance(20_000);
    it_.state.snapshot.counters.rowsApplied += 30;
    await it_.clock.advance(HOUR);
    expect(it_.usage.pace).toBe(4);
    expect(it_.usage.view()).toMatchObject({ slowed: true, requestUnits: { exceeded: true } });
    expect(it_.log.entries.map(({ message }) => message).join()).toContain('exceeds DB_MONTHLY_RU_BUDGET');
    // The mean rate falls.
    await clock.advance(20 * HOUR);
    expect(it_.usage.view().requestUnits.used).toBeLessThan(1000);
    expect(it_.usage.pace).toBe(4);
    await clock.advance(24 * HOUR);
    expect(it_.usage.pace).toBe(1);
  });

  it('names the compute-hours where those are short', async () => {
    await using it_ = usage({ budgets: { requestUnits: 1e9, computeHours: 100 } });
    await it_.clock.advance(2 * HOUR);
    // Always awake: 720 hours of a quarter of a unit.
    expect(it_.usage.view().computeHours?.projected).toBeCloseTo(180, 0);
    expect(it_.usage.pace).toBe(4);
    expect(it_.log.entries.map(({ message }) => message).join()).toContain('exceeds DB_MONTHLY_COMPUTE_HOURS');
  });
});
