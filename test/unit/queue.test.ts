/** The bounded buffer: batching limits, back-pressure, waiting. */
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import type { Entry, TransactionPart } from '../../src/pipeline/entries.js';
import { EntryQueue } from '../../src/pipeline/queue.js';
import { relationOf } from './table-fixture.js';

const users = relationOf({ columns: ['id'], key: ['id'] });

function transaction(commitLsn: number, rows = 1, bytes = 10, part: Partial<TransactionPart> = {}): TransactionPart {
  const at = BigInt(commitLsn);
  return {
    kind: 'transaction',
    xid: commitLsn,
    commitLsn: at,
    commitAtMs: 0,
    first: true,
    commit: { commitLsn: at, endLsn: at + 1n, commitAtMs: 0, xid: commitLsn },
    changes: Array.from({ length: rows }, (_, i) => ({ kind: 'insert', relation: users, row: [String(i)] })),
    bytes,
    echo: false,
    ...part,
  };
}

const watermark = (lsn: number): Entry => ({ kind: 'watermark', lsn: BigInt(lsn), content: '', bytes: 5 });

function queueOf(...entries: Entry[]) {
  const flow = { pause: vi.fn(), resume: vi.fn() };
  const queue = new EntryQueue({ highBytes: 100, lowBytes: 40 }, flow);
  for (const entry of entries) queue.push(entry);
  return { queue, flow };
}

const LIMITS = { maxRows: 10, maxBytes: 1000 };

async function isFull(queue: EntryQueue, limits: typeof LIMITS): Promise<boolean> {
  let full = false;
  void queue.full(limits).then(() => {
    full = true;
  });
  await setImmediate();
  return full;
}

const lsns = (entries: readonly Entry[]) =>
  entries.map((entry) => Number(entry.kind === 'transaction' ? entry.commitLsn : entry.lsn));

describe('batches', () => {
  it('take whole transactions up to the rows', () => {
    const { queue } = queueOf(transaction(1, 4), transaction(2, 6), transaction(3, 1));
    expect(lsns(queue.takeTransactions(LIMITS))).toEqual([1, 2]);
    expect(lsns(queue.takeTransactions(LIMITS))).toEqual([3]);
    expect(queue.takeTransactions(LIMITS)).toEqual([]);
  });

  it('take whole transactions up to the bytes', () => {
    const { queue } = queueOf(transaction(1, 1, 600), transaction(2, 1, 400), transaction(3, 1, 1));
    expect(lsns(queue.takeTransactions(LIMITS))).toEqual([1, 2]);
  });

  it('take one transaction beyond the limits, alone', () => {
    const { queue } = queueOf(transaction(1, 50, 5000), transaction(2, 0, 0), transaction(3));
    expect(lsns(queue.takeTransactions(LIMITS))).toEqual([1]);
    expect(lsns(queue.takeTransactions(LIMITS))).toEqual([2, 3]);
  });

  it('end before a watermark and before a large transaction', () => {
    const large = transaction(3, 1, 10, { commit: null });
    const last = transaction(3, 1, 10, { first: false });
    const { queue } = queueOf(transaction(1), watermark(2), large, last, transaction(4));
    expect(lsns(queue.takeTransactions(LIMITS))).toEqual([1]);
    expect(queue.takeTransactions(LIMITS)).toEqual([]);
    expect(queue.shift()?.kind).toBe('watermark');
    expect(queue.takeTransactions(LIMITS)).toEqual([]);
    expect([queue.shift(), queue.takeTransactions(LIMITS), queue.shift()]).toEqual([large, [], last]);
    expect(lsns(queue.takeTransactions(LIMITS))).toEqual([4]);
  });

  it('hold everything once and in order, within the limits (G1, G4)', () => {
    const sizes = fc.array(fc.record({ rows: fc.nat({ max: 15 }), bytes: fc.nat({ max: 1500 }) }), { maxLength: 60 });
    fc.assert(
      fc.property(sizes, (list) => {
        const { queue } = queueOf(...list.map(({ rows, bytes }, i) => transaction(i, rows, bytes)));
        const taken: TransactionPart[] = [];
        while (queue.length > 0) {
          const batch = queue.takeTransactions(LIMITS);
          expect(batch.length).toBeGreaterThan(0);
          if (batch.length > 1) {
            expect(batch.reduce((sum, part) => sum + part.changes.length, 0)).toBeLessThanOrEqual(LIMITS.maxRows);
            expect(batch.reduce((sum, part) => sum + part.bytes, 0)).toBeLessThanOrEqual(LIMITS.maxBytes);
          }
          taken.push(...batch);
        }
        expect(lsns(taken)).toEqual(list.map((_, i) => i));
        expect(queue.bytes).toBe(0);
      }),
    );
  });

  it('stay in order over many thousand entries', () => {
    const { queue } = queueOf();
    const seen: number[] = [];
    for (let i = 0; i < 5000; i++) {
      queue.push(transaction(i, 0, 1));
      if (i % 3 !== 0) seen.push(Number((queue.shift() as TransactionPart).commitLsn));
      expect(queue.length).toBe(i + 1 - seen.length);
    }
    while (queue.length > 0) seen.push(Number((queue.shift() as TransactionPart).commitLsn));
    expect(seen).toEqual(Array.from({ length: 5000 }, (_, i) => i));
    expect(queue.shift()).toBeUndefined();
    expect(queue.peek()).toBeUndefined();
  });
});

describe('back-pressure (G4)', () => {
  it('pauses above the high mark once, resumes at the low mark once', () => {
    const { queue, flow } = queueOf(transaction(1, 1, 60), transaction(2, 1, 40));
    expect(flow.pause).not.toHaveBeenCalled();
    queue.push(transaction(3, 1, 1));
    queue.push(transaction(4, 1, 39));
    expect(flow.pause).toHaveBeenCalledTimes(1);
    queue.shift();
    expect(flow.resume).not.toHaveBeenCalled();
    queue.shift();
    expect(queue.bytes).toBe(40);
    expect(flow.resume).toHaveBeenCalledTimes(1);
    queue.shift();
    queue.shift();
    expect(flow.resume).toHaveBeenCalledTimes(1);
    queue.push(transaction(5, 1, 101));
    expect(flow.pause).toHaveBeenCalledTimes(2);
  });

  it('lets an entry larger than the high mark through', () => {
    const { queue, flow } = queueOf(transaction(1, 1, 50_000));
    expect(flow.pause).toHaveBeenCalledTimes(1);
    queue.takeTransactions(LIMITS);
    expect(flow.resume).toHaveBeenCalledTimes(1);
  });
});

describe('dropBefore', () => {
  it('drops what the secondary has, and keeps what starts at its position', () => {
    const { queue } = queueOf(transaction(1), transaction(2, 1, 10, { commit: null }), transaction(2), transaction(3));
    queue.dropBefore(3n);
    expect(lsns(queue.takeTransactions(LIMITS))).toEqual([3]);
    expect(queue.bytes).toBe(0);
  });

  it('drops what lies behind a watermark as well (G3)', () => {
    const { queue } = queueOf(transaction(1), watermark(2), transaction(3), watermark(4), transaction(5));
    queue.dropBefore(5n);
    const left: Entry[] = [];
    for (let entry = queue.shift(); entry; entry = queue.shift()) left.push(entry);
    expect(lsns(left.filter((entry) => entry.kind === 'transaction'))).toEqual([5]);
  });
});

describe('waiting', () => {
  const never = new AbortController().signal;
  const LONG_MS = 60_000;

  it('ends at once when there is something, after close, and after abort', async () => {
    await queueOf(transaction(1)).queue.wait(never, LONG_MS);
    await queueOf().queue.wait(AbortSignal.abort(), LONG_MS);
    const { queue } = queueOf();
    queue.close();
    await queue.wait(never, LONG_MS);
  });

  it('ends when an entry comes', async () => {
    const { queue } = queueOf();
    const waiting = queue.wait(never, LONG_MS);
    queue.push(watermark(1));
    await waiting;
    expect(queue.length).toBe(1);
  });

  it('ends at close, abort and timeout, and leaves nothing behind', async () => {
    const { queue } = queueOf();
    const abort = new AbortController();
    const remove = vi.spyOn(abort.signal, 'removeEventListener');
    const first = queue.wait(abort.signal, LONG_MS);
    abort.abort();
    await first;
    expect(remove).toHaveBeenCalledTimes(1);
    vi.useFakeTimers();
    try {
      const second = queue.wait(never, 250);
      vi.advanceTimersByTime(250);
      await second;
      const third = queue.wait(never, LONG_MS);
      queue.close();
      await third;
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('who looks at the queue from outside', () => {
  it('waits until it is full, and not at all while the source waits', async () => {
    const { queue } = queueOf(transaction(1, 1, 60));
    let full = false;
    const waiting = queue.full(LIMITS).then(() => {
      full = true;
    });
    await Promise.resolve();
    expect(full).toBe(false);
    queue.push(transaction(2, 1, 60));
    await waiting;
    await queue.full(LIMITS);
    // Taken down to what the source may begin again at.
    queue.shift();
    queue.shift();
    expect(await isFull(queue, LIMITS)).toBe(false);
  });

  it.each([
    ['rows', transaction(3, 4, 1), transaction(4, 1, 1)],
    ['bytes', transaction(3, 1, 20), transaction(4, 1, 21)],
  ])('counts as full with as many %s as a batch may have', async (_, almost, enough) => {
    const queue = new EntryQueue({ highBytes: 1000, lowBytes: 40 }, { pause: vi.fn(), resume: vi.fn() });
    const limits = { maxRows: 6, maxBytes: 42 };
    queue.push(watermark(1));
    queue.push(transaction(2, 1, 1));
    queue.push(almost);
    queue.shift();
    expect(await isFull(queue, limits)).toBe(false);
    const full = queue.full(limits);
    queue.push(enough);
    await full;
    await queue.full(limits);
    queue.shift();
    expect(await isFull(queue, limits)).toBe(false);
  });

  it('can wake who waits for an entry that does not come', async () => {
    const { queue } = queueOf();
    const waiting = queue.wait(new AbortController().signal, 60_000);
    queue.nudge();
    await waiting;
    expect(queue.length).toBe(0);
  });
});
