import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Backoff } from '../../src/core/backoff.js';
import { systemClock } from '../../src/core/clock.js';
import { FakeClock } from '../harness/fake-clock.js';

describe('Backoff', () => {
  it('doubles its bound up to the cap, and starts again after a reset', () => {
    const backoff = new Backoff({ initialMs: 100, maxMs: 1000, random: () => 0.999999 });
    expect([1, 2, 3, 4, 5, 6].map(() => backoff.next())).toEqual([100, 200, 400, 800, 1000, 1000]);
    expect(backoff.attempt).toBe(6);
    backoff.reset();
    expect(backoff.next()).toBe(100);
  });

  it('never leaves 0..maxMs, however many attempts and whatever chance says', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        fc.integer({ min: 1, max: 5000 }),
        fc.integer({ min: 0, max: 1500 }),
        (chance, initialMs, attempts) => {
          const backoff = new Backoff({ initialMs, maxMs: 5000, random: () => chance });
          for (let attempt = 0; attempt < attempts; attempt += 1) backoff.next();
          const wait = backoff.next();
          expect(wait).toBeGreaterThanOrEqual(0);
          expect(wait).toBeLessThanOrEqual(5000);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('refuses options that contradict each other', () => {
    expect(() => new Backoff({ initialMs: 0, maxMs: 10 })).toThrow(RangeError);
    expect(() => new Backoff({ initialMs: 100, maxMs: 10 })).toThrow(RangeError);
  });
});

describe('FakeClock', () => {
  it('fires timers in order of time, also those set by timers', async () => {
    const clock = new FakeClock(1000);
    const seen: string[] = [];
    clock.setTimer(20, () => seen.push(`b@${clock.monotonic()}`));
    clock.setTimer(10, () => {
      seen.push(`a@${clock.monotonic()}`);
      clock.setTimer(5, () => seen.push(`c@${clock.monotonic()}`));
    });
    clock.setTimer(15, () => seen.push('never')).cancel();
    await clock.advance(30);
    expect(seen).toEqual(['a@10', 'c@15', 'b@20']);
    expect(clock.now()).toBe(1030);
    expect(clock.pending).toBe(0);
  });
});

describe.each([
  ['FakeClock', () => new FakeClock()],
  ['systemClock', () => systemClock],
])('sleep of %s', (_name, make) => {
  it('rejects with the reason of the signal, and leaves no timer', async () => {
    const clock = make();
    const abort = new AbortController();
    const sleeping = clock.sleep(60_000, abort.signal);
    abort.abort(new Error('stop'));
    await expect(sleeping).rejects.toThrow('stop');
    await expect(clock.sleep(60_000, abort.signal)).rejects.toThrow('stop');
    if (clock instanceof FakeClock) expect(clock.pending).toBe(0);
  });
});

it('systemClock sleeps and measures', async () => {
  const before = systemClock.monotonic();
  await systemClock.sleep(5);
  expect(systemClock.monotonic() - before).toBeGreaterThanOrEqual(4);
  expect(Math.abs(systemClock.now() - Date.now())).toBeLessThan(1000);
});
