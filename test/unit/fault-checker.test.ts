/** The checker of the random faults finds what it is there to find: a sound history, and the same with one thing wrong. */
import { describe, expect, it } from 'vitest';
import { type CheckedHistory, checkEqual, checkHistory, checkSides, checkSnapshot } from '../faults/random/checker.js';
import type { Conflicts, DatabaseState, EventRow, Outcome, Transaction } from '../faults/random/history.js';
import { plot, slope } from '../faults/random/soak-plot.js';

const NO_CONFLICTS: Conflicts = { lists: new Map(), events: new Set(), journal: new Set(), tokens: new Set() };

function transaction(
  element: number,
  startMs: number,
  reads: Record<number, number[]>,
  more: Partial<Transaction> = {},
): Transaction {
  const lists = Object.keys(reads).map(Number);
  const read = new Map(lists.map((list) => [list, reads[list] ?? []]));
  const base = { element, writer: 1, no: element, lists, journal: false, deletes: null, startMs, endMs: startMs + 1 };
  return { ...base, outcome: 'acknowledged' as Outcome, reads: read, ...more };
}

const event = (id: number, side = 'primary', atMs = id): EventRow => ({ id, writer: 1, no: id, side, atMs });

/** Three transactions, one after the other, on lists 1 and 2. */
function sound(): { transactions: Transaction[]; final: DatabaseState } {
  const transactions = [
    transaction(1, 0, { 1: [1], 2: [1] }),
    transaction(2, 10, { 1: [1, 2] }, { journal: true }),
    transaction(3, 20, { 1: [1, 2, 3], 2: [1, 3] }),
  ];
  const ids = [1, 2, 3];
  const final = {
    lists: new Map([
      [1, [1, 2, 3]],
      [2, [1, 3]],
    ]),
    events: new Map(ids.map((id) => [id, event(id)])),
    parts: new Map(ids.map((id) => [id, 1])),
    journal: new Map([[2, 1]]),
    tokens: new Map([[7, 1]]),
  };
  return { transactions, final };
}

const check = (history: Partial<CheckedHistory> & { transactions: Transaction[]; final: DatabaseState }) =>
  checkHistory({ conflicts: NO_CONFLICTS, tokens: [7], ...history }).map(({ guarantee }) => guarantee);

describe('the checker of histories', () => {
  it('finds nothing in a sound one', () => {
    const { final, transactions } = sound();
    expect(check(sound())).toEqual([]);
    expect(checkSides(final, 0)).toEqual([]);
    expect(checkSnapshot(final, transactions, new Set())).toEqual([]);
  });

  it.each<[string, (state: ReturnType<typeof sound>) => void, string]>([
    ['a lost append', ({ final }) => (final.lists as Map<number, number[]>).set(2, [1]), 'G7'],
    ['a doubled append', ({ final }) => (final.lists as Map<number, number[]>).set(1, [1, 2, 2, 3]), 'G3'],
    ['appends in another order', ({ final }) => (final.lists as Map<number, number[]>).set(1, [2, 1, 3]), 'G1'],
    [
      'an append that was rolled back',
      ({ transactions }) => Object.assign(transactions[2] as Transaction, { outcome: 'aborted' }),
      'G3',
    ],
    ['a lost row', ({ final }) => (final.events as Map<number, EventRow>).delete(2), 'G7'],
    ['a doubled row without a key', ({ final }) => (final.journal as Map<number, number>).set(2, 2), 'G3'],
    ['a token in two places', ({ final }) => (final.tokens as Map<number, number>).set(7, 2), 'G3'],
    ['a token that is gone', ({ final }) => (final.tokens as Map<number, number>).delete(7), 'G7'],
    [
      'a torn transaction of unknown outcome',
      ({ final, transactions }) => {
        (transactions[2] as Transaction).outcome = 'unknown';
        (final.lists as Map<number, number[]>).set(2, [1]);
      },
      'G1',
    ],
    [
      'a row that was deleted',
      ({ transactions }) => transactions.splice(2, 1, transaction(3, 20, { 1: [1, 2, 3], 2: [1, 3] }, { deletes: 1 })),
      'G7',
    ],
  ])('finds %s', (_, spoil, guarantee) => {
    const history = sound();
    spoil(history);
    expect(check(history)).toContain(guarantee);
  });

  it('accepts what recovery kept in the conflicts, and nothing else', () => {
    const { final, transactions } = sound();
    (final.lists as Map<number, number[]>).set(2, [1]);
    const kept = { ...NO_CONFLICTS, lists: new Map([[2, [[1, 3]]]]) };
    expect(check({ final, transactions, conflicts: kept })).toEqual([]);
    const other = { ...NO_CONFLICTS, lists: new Map([[2, [[3, 1]]]]) };
    expect(check({ final, transactions, conflicts: other })).toContain('G8');
  });

  it('finds writes on two sides at once', () => {
    const { final } = sound();
    (final.events as Map<number, EventRow>).set(2, event(2, 'secondary'));
    expect(checkSides(final, 1)).toHaveLength(1);
    expect(checkSides(final, 2)).toEqual([]);
  });

  it('finds a torn snapshot, one with a gap, and one that shows what was rolled back', () => {
    const torn = sound();
    (torn.final.parts as Map<number, number>).delete(3);
    expect(checkSnapshot(torn.final, torn.transactions, new Set())[0]?.what).toMatch(/torn/);
    const gap = sound();
    (gap.final.lists as Map<number, number[]>).set(1, [1, 3]);
    for (const map of [gap.final.events, gap.final.parts, gap.final.journal]) (map as Map<number, unknown>).delete(2);
    expect(checkSnapshot(gap.final, gap.transactions, new Set())[0]?.what).toMatch(/committed before, is not/);
    const dirty = sound();
    (dirty.transactions[2] as Transaction).outcome = 'aborted';
    expect(checkSnapshot(dirty.final, dirty.transactions, new Set())[0]?.what).toMatch(/rolled back/);
  });
});

describe('the comparison of the sides', () => {
  it.each<[string, (secondary: DatabaseState) => void, string]>([
    ['a row that is not there', (there) => (there.events as Map<number, EventRow>).delete(2), 'G2'],
    ['a row that only the secondary has', (there) => (there.parts as Map<number, number>).set(9, 1), 'G5'],
    ['an older value', (there) => (there.lists as Map<number, number[]>).set(1, [1, 2]), 'G5'],
    ['a row without a key that came twice', (there) => (there.journal as Map<number, number>).set(2, 2), 'G3'],
  ])('finds %s', (_, spoil, guarantee) => {
    const { final } = sound();
    const secondary = sound().final;
    expect(checkEqual(final, secondary)).toEqual([]);
    spoil(secondary);
    expect(checkEqual(final, secondary)).toEqual([expect.objectContaining({ guarantee })]);
  });

  it('takes no notice of a clock that another database counts in other steps', () => {
    const secondary = sound().final;
    (secondary.events as Map<number, EventRow>).set(2, event(2, 'primary', 2.0001));
    expect(checkEqual(sound().final, secondary)).toEqual([]);
  });
});

describe('the soak', () => {
  const side = (mib: number) => ({ mib, files: 20 });
  const samples = [0, 1, 2, 3].map((minutes) => ({
    minutes,
    streamer: side(90 + 2 * minutes),
    controller: side(80),
  }));

  it('tells growth from none', () => {
    expect(slope(samples.map(({ minutes, streamer }) => [minutes, streamer.mib]))).toBeCloseTo(2);
    expect(slope(samples.map(({ controller, minutes }) => [minutes, controller.mib]))).toBe(0);
    expect(slope([])).toBe(0);
  });

  it('draws every curve', () => {
    expect(plot(samples, 'four minutes').match(/<polyline/g)).toHaveLength(4);
  });
});
