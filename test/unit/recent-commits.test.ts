/** The memory of commits and snapshots of the source: transaction ids wrap at 32 bits. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RecentCommits } from '../../src/snapshot/recent-commits.js';
import { parseSnapshot } from '../../src/source/pg-snapshot.js';

const REMEMBERED = 65_536;

describe('RecentCommits', () => {
  it('knows which commits it saw before a moment', () => {
    const commits = new RecentCommits();
    commits.add(10);
    commits.add(11);
    const moment = commits.position;
    commits.add(12);
    expect(moment).toBe(2);
    expect(commits.anyBefore([], moment)).toBe(false);
    expect(commits.anyBefore([10], moment)).toBe(true);
    expect(commits.anyBefore([99, 11], moment)).toBe(true);
    expect(commits.anyBefore([12, 99], moment)).toBe(false);
    expect(commits.anyBefore([12], commits.position)).toBe(true);
    expect(commits.since(0)).toEqual([10, 11, 12]);
    expect(commits.since(moment)).toEqual([12]);
    expect(commits.since(commits.position)).toEqual([]);
  });

  it('forgets the oldest, one for one, and keeps an id that came again', () => {
    const commits = new RecentCommits();
    commits.add(1);
    commits.add(2);
    commits.add(1);
    for (let xid = 1000; xid < 1000 + REMEMBERED - 1; xid++) commits.add(xid);
    const now = commits.position;
    expect(commits.anyBefore([1], now)).toBe(true);
    expect(commits.anyBefore([2], now)).toBe(false);
    commits.add(7);
    expect(commits.anyBefore([1], now)).toBe(false);
    expect(commits.anyBefore([1000], now)).toBe(true);
    expect(commits.since(0)).toHaveLength(REMEMBERED);
    expect(commits.since(0).slice(-2)).toEqual([1000 + REMEMBERED - 2, 7]);
  });

  it('behaves as a list of the last commits, also across the wrap of ids', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0xffff_fff0, max: 0xffff_fff0 + 40 }), { maxLength: 60 }),
        fc.array(fc.nat({ max: 0x20 })),
        fc.nat({ max: 60 }),
        (added, running, at) => {
          const commits = new RecentCommits();
          const list = added.map((xid) => xid >>> 0);
          for (const xid of list) commits.add(xid);
          const ids = running.map((xid) => (0xffff_fff0 + xid) >>> 0);
          // Where an id came twice, its last time counts.
          const before = ids.some((xid) => list.includes(xid) && list.lastIndexOf(xid) < at);
          expect(commits.anyBefore(ids, at)).toBe(before);
          expect(commits.since(at)).toEqual(list.slice(at));
        },
      ),
    );
  });
});

describe('parseSnapshot', () => {
  it('reads what pg_current_snapshot() prints', () => {
    const snapshot = parseSnapshot('10:20:10,14,15');
    expect(snapshot.running).toEqual([10, 14, 15]);
    const visible = Array.from({ length: 25 }, (_, i) => i).filter((xid) => snapshot.isVisible(xid));
    expect(visible).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 16, 17, 18, 19]);
    expect(parseSnapshot('5:5:').running).toEqual([]);
  });

  it('cuts 64-bit ids to the 32 bits of pgoutput', () => {
    const epoch = 3n << 32n;
    const snapshot = parseSnapshot(`${epoch + 10n}:${epoch + 20n}:${epoch + 10n}`);
    expect(snapshot.running).toEqual([10]);
    expect([9, 10, 19, 20].map((xid) => snapshot.isVisible(xid))).toEqual([true, false, true, false]);
  });

  it('compares across the wrap of ids', () => {
    const wrap = 1n << 32n;
    const snapshot = parseSnapshot(`${wrap - 3n}:${wrap + 5n}:${wrap - 2n},${wrap + 4n}`);
    expect(snapshot.running).toEqual([0xffff_fffe, 4]);
    const xids = [0xffff_fff0, 0xffff_fffd, 0xffff_fffe, 0xffff_ffff, 3, 4, 5, 1000];
    expect(xids.filter((xid) => snapshot.isVisible(xid))).toEqual([0xffff_fff0, 0xffff_fffd, 0xffff_ffff, 3]);
  });

  it('agrees with 64-bit ids wherever these lie within half of the ring', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 1n << 31n, max: 1n << 50n }),
        fc.bigInt({ min: -(2n ** 31n) + 1n, max: 2n ** 31n - 1n }),
        fc.uniqueArray(fc.bigInt({ min: 1n, max: 200n }), { maxLength: 5 }),
        (xmax, distance, back) => {
          const running = back.map((n) => xmax - n);
          const snapshot = parseSnapshot(`${xmax - 200n}:${xmax}:${running.join(',')}`);
          const xid = xmax + distance;
          expect(snapshot.isVisible(Number(BigInt.asUintN(32, xid)))).toBe(xid < xmax && !running.includes(xid));
        },
      ),
    );
  });

  it.each(['', '1:2', 'a:b:', '1:2:3;4', '1:2:3\n'])('refuses %j', (text) => {
    expect(() => parseSnapshot(text)).toThrow(RangeError);
  });
});
