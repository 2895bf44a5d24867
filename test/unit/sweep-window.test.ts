/** Where a sweep looks: overlap, running transactions and clocks (SPEC section 6). */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { judgeSwept, sweepWindow } from '../../src/reconcile/sweep-window.js';

const MINUTE = 60_000;

describe('sweepWindow', () => {
  const times = {
    cursorMs: 100 * MINUTE,
    elapsedMs: 5 * MINUTE,
    nowMs: 105 * MINUTE,
    oldestMs: null,
    overlapMs: MINUTE,
  };

  it('looks back to the last sweep, and a little further', () => {
    expect(sweepWindow(times)).toEqual({ fromMs: 99 * MINUTE, nextCursorMs: 105 * MINUTE });
  });

  it('begins the next one before the oldest transaction that is running', () => {
    expect(sweepWindow({ ...times, oldestMs: 30 * MINUTE }).nextCursorMs).toBe(30 * MINUTE);
  });

  it('looks back by the time that has really passed when the clock of the primary has gone back', () => {
    expect(sweepWindow({ ...times, nowMs: 40 * MINUTE }).fromMs).toBe(34 * MINUTE);
  });

  it('begins with the last interval before the first sweep', () => {
    expect(sweepWindow({ ...times, cursorMs: null }).fromMs).toBe(99 * MINUTE);
  });

  /**
   * A history of sweeps, one a minute of true time. The primary's clock jumps by up to an hour now
   * and then, at most once between two sweeps (there and back again is for verify to find); rows are
   * written at random with the time at which their transaction began, and commit up to two hours later. Each must lie in
   * the window of some sweep that begins after its commit.
   */
  it('sees every row in some sweep after its commit, whatever clocks and late commits do', () => {
    const minutes = (max: number) => fc.double({ min: 0, max, noNaN: true });
    const jump = fc.record({ at: minutes(18).map((at) => at + 1), by: fc.integer({ min: -60, max: 60 }) });
    // Most transactions end before the next sweep.
    const row = fc.record({ begins: minutes(18).map((at) => at + 1), takes: fc.oneof(minutes(1), minutes(120)) });
    const history = fc.record({
      jumps: fc.uniqueArray(jump, { maxLength: 4, selector: ({ at }) => Math.floor(at) }),
      rows: fc.array(row, { minLength: 1, maxLength: 30 }),
    });
    fc.assert(
      fc.property(history, ({ jumps, rows }) => {
        const clock = (at: number) =>
          at + jumps.filter((jump) => jump.at <= at).reduce((sum, jump) => sum + jump.by, 0);
        const transactions = rows.map(({ begins, takes }) => ({ begins, ends: begins + takes, shows: clock(begins) }));
        const unseen = new Set(transactions);
        let cursorMs: number | null = null;
        for (let at = 1; at < 150; at++) {
          const running = transactions
            .filter(({ begins, ends }) => begins <= at && at < ends)
            .map(({ shows }) => shows);
          const window = sweepWindow({
            cursorMs,
            elapsedMs: 1,
            nowMs: clock(at),
            oldestMs: running.length > 0 ? Math.min(...running) : null,
            overlapMs: 0,
          });
          for (const row of unseen) if (row.ends <= at && row.shows >= window.fromMs) unseen.delete(row);
          cursorMs = window.nextCursorMs;
        }
        expect([...unseen]).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });
});

describe('judgeSwept', () => {
  it.each([
    ['2026-01-01 00:00:00', undefined, 'missing'],
    ['2026-01-01 00:00:00', '2026-01-01 00:00:00', 'equal'],
    ['2026-01-01 00:00:00.5', '2026-01-01 00:00:00.45', 'older'],
    ['2026-01-01 00:00:00', '2026-01-01 00:00:00.1', 'newer'],
    ['2026-01-01 00:00:00', 'infinity', 'newer'],
    ['2026-01-01 00:00:00', '-infinity', 'older'],
    ['2026-01-01 00:00:00', null, 'older'],
    [null, '2026-01-01 00:00:00', 'older'],
    [null, null, 'equal'],
    ['2026-01-01 00:00:00', '0044-03-15 00:00:00 BC', 'older'],
    ['2026-01-01 00:00:00', '12026-01-01 00:00:00', 'older'],
  ])('%s on the primary, %s on the secondary: %s', (primary, secondary, expected) => {
    expect(judgeSwept(primary, secondary)).toBe(expected);
  });
});
