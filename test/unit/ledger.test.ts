/** The ledger of positions (G2), lag, and when an idle position is stored. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULT_IDLE_POLICY, Ledger, shouldStoreIdle } from '../../src/pipeline/ledger.js';

describe('Ledger', () => {
  it('starts at the checkpoint with nothing behind', () => {
    const ledger = new Ledger(100n);
    expect(ledger).toMatchObject({ source: 100n, received: 100n, applied: 100n, durable: 100n });
    expect(ledger.lagBytes()).toBe(0);
    expect(ledger.lagSeconds(5000, true)).toBe(0);
  });

  it('never confirms more than what is durable, whatever is heard and applied (G2)', () => {
    const lsn = fc.bigInt({ min: 0n, max: 1000n });
    const steps = fc.array(
      fc.tuple(fc.constantFrom('heard', 'sourceAt', 'idle', 'appliedThrough', 'durableThrough'), lsn),
    );
    fc.assert(
      fc.property(lsn, steps, (start, list) => {
        const ledger = new Ledger(start);
        let durable = start;
        for (const [what, at] of list) {
          const before = { ...ledger };
          if (what === 'sourceAt' || what === 'durableThrough') ledger[what](at);
          else ledger[what](at, 0);
          if (what === 'durableThrough' && at > durable) durable = at;
          expect(ledger.durable).toBe(durable);
          for (const field of ['source', 'received', 'applied', 'durable'] as const)
            expect(ledger[field] >= before[field]).toBe(true);
          expect(ledger.applied >= ledger.durable).toBe(true);
          expect(ledger.lagBytes()).toBe(Math.max(0, Number(ledger.source - ledger.applied)));
        }
      }),
    );
  });

  it('is behind from the beginning of a session whose source is ahead, until it is level', () => {
    const ledger = new Ledger(100n);
    ledger.begins(300n, 1000);
    expect([ledger.lagBytes(), ledger.lagSeconds(5000, true)]).toEqual([200, 4]);
    ledger.idle(200n, 5000);
    expect([ledger.lagBytes(), ledger.lagSeconds(5000, true)]).toEqual([100, 4]);
    ledger.appliedThrough(250n, 3000);
    expect(ledger.lagSeconds(5000, true)).toBe(2);
    ledger.idle(300n, 5000);
    expect([ledger.lagBytes(), ledger.lagSeconds(9000, true)]).toEqual([0, 0]);
  });

  it('takes what a silent source said while work was under way for true once that is done', () => {
    const ledger = new Ledger(100n);
    ledger.idleNext(400n, 7000);
    expect(ledger.applied).toBe(100n);
    ledger.appliedThrough(300n, 6000);
    ledger.becameIdle();
    expect(ledger).toMatchObject({ applied: 400n, durable: 100n, caughtUpAtMs: 7000 });
  });

  it('tells lag in bytes up to the source, whoever named its position', () => {
    const ledger = new Ledger(100n);
    ledger.heard(300n, 0);
    expect(ledger.lagBytes()).toBe(200);
    ledger.sourceAt(1100n);
    expect(ledger).toMatchObject({ received: 300n, source: 1100n });
    ledger.appliedThrough(600n, 0);
    expect(ledger.lagBytes()).toBe(500);
    ledger.idle(2000n, 0);
    expect(ledger.lagBytes()).toBe(0);
  });

  it('tells lag in seconds by the oldest commit that is not applied, on the clock of the source', () => {
    const ledger = new Ledger(0n);
    ledger.clockOffsetMs = -2000;
    ledger.oldestUnappliedAtMs = 10_000;
    expect(ledger.lagSeconds(15_500, true)).toBe(3.5);
    expect(ledger.lagSeconds(11_000, true)).toBe(0);
  });

  it('grows with the silence of a source that is not connected', () => {
    const ledger = new Ledger(0n);
    ledger.idle(1n, 1000);
    expect(ledger.lagSeconds(61_000, true)).toBe(0);
    expect(ledger.lagSeconds(61_000, false)).toBe(60);
  });
});

describe('shouldStoreIdle', () => {
  const policy = { maxBytes: 1000, maxMs: 30_000, minMs: 250 };

  it.each([
    [0n, 0, false],
    [0n, 29_999, false],
    [0n, 30_000, true],
    [999n, 1000, false],
    [1000n, 249, false],
    [1000n, 250, true],
    [1n << 60n, 250, true],
  ])('%d bytes ahead, %d ms since the last: %s', (ahead, sinceMs, expected) => {
    expect(shouldStoreIdle(ahead, sinceMs, policy)).toBe(expected);
  });

  it('bounds by default the WAL that an idle stream keeps on the primary', () => {
    expect(shouldStoreIdle(4n << 20n, 1000, DEFAULT_IDLE_POLICY)).toBe(true);
    expect(shouldStoreIdle(0n, 60_000, DEFAULT_IDLE_POLICY)).toBe(true);
  });
});
