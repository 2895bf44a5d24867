/** What is decided by wall clocks, when they jump: nothing is taken for newer, nearer or done because of it. */
import { describe, expect, it } from 'vitest';
import { lagWhenLastSeen, noteSample, type WalSample } from '../../src/failover/lag.js';
import { sinceLast, sweepWindow, untilDue } from '../../src/reconcile/sweep-window.js';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const at = (ms: number) => new Date(ms).toISOString();

describe('the guard on the lag, when our clock jumps between two probes', () => {
  /** A probe a minute; the secondary has stood still since the second. */
  function lagAfter(jumpMs: number): number | null {
    let samples: WalSample[] = [];
    for (let probe = 0; probe < 10; probe++) {
      const atMs = 100 * HOUR + probe * MINUTE + (probe >= 5 ? jumpMs : 0);
      samples = noteSample(samples, { atMs, lsn: BigInt(probe) });
    }
    return lagWhenLastSeen(samples, { lsn: 1n, commitAtMs: null });
  }

  it('tells the lag', () => {
    expect(lagAfter(0)).toBe(8 * MINUTE);
  });

  it.each([HOUR / 2, HOUR, 24 * HOUR])('back by %d ms: it is still behind, by no more than a probe less', (jump) => {
    expect(lagAfter(-jump)).toBeGreaterThanOrEqual(7 * MINUTE);
    expect(lagAfter(-jump)).toBeLessThanOrEqual(8 * MINUTE);
  });

  it('forward: it is never nearer than it is', () => {
    expect(lagAfter(HOUR / 2) ?? Number.POSITIVE_INFINITY).toBeGreaterThanOrEqual(8 * MINUTE);
    expect(lagAfter(24 * HOUR) ?? Number.POSITIVE_INFINITY).toBeGreaterThanOrEqual(8 * MINUTE);
  });
});

describe('the sweep, when both clocks are one and go back', () => {
  it('looks at everything that was written since the last one', () => {
    const lastAt = 100 * HOUR;
    // An hour back, and five minutes on.
    const nowMs = lastAt - HOUR + 5 * MINUTE;
    const elapsedMs = sinceLast(at(lastAt), 5 * MINUTE, nowMs);
    const { fromMs } = sweepWindow({ cursorMs: lastAt, elapsedMs, nowMs, oldestMs: null, overlapMs: MINUTE });
    expect(fromMs).toBeLessThanOrEqual(lastAt - HOUR);
  });
});

describe('the scheduled verify', () => {
  it.each([
    ['was a moment ago', 0, 24 * HOUR],
    ['was an hour ago', HOUR, 23 * HOUR],
    ['is overdue', 30 * HOUR, -6 * HOUR],
    ['will be in ten years, by a clock that was wrong', -87_600 * HOUR, 0],
  ])('that %s', (_when, agoMs, expected) => {
    const nowMs = 1_000_000 * HOUR;
    expect(untilDue(at(nowMs - agoMs), 24 * HOUR, nowMs)).toBe(expected);
  });
});
