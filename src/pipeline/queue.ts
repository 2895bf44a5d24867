/**
 * The bounded buffer between the socket and the apply loop. Over `highBytes` the source is paused, below `lowBytes` it
 * is resumed: memory does not depend on the backlog (G4), which waits in the slot.
 */
import type { Lsn } from '../core/lsn.js';
import type { Entry, TransactionPart } from './entries.js';

export interface QueueLimits {
  readonly highBytes: number;
  readonly lowBytes: number;
}

export interface BatchLimits {
  readonly maxRows: number;
  readonly maxBytes: number;
}

const rowsOf = (entry: Entry) => (entry.kind === 'transaction' ? entry.changes.length : 0);

export class EntryQueue {
  #entries: Entry[] = [];
  #head = 0;
  #bytes = 0;
  #rows = 0;
  #paused = false;
  #wake: (() => void) | null = null;
  #filled: { readonly limits: BatchLimits; readonly tell: () => void } | null = null;
  #closed = false;
  #limits: QueueLimits;
  readonly #flow: { pause(): void; resume(): void };

  constructor(limits: QueueLimits, flow: { pause(): void; resume(): void }) {
    this.#limits = limits;
    this.#flow = flow;
  }

  /** Other limits, from the next entry on. */
  limit(limits: QueueLimits): void {
    this.#limits = limits;
  }

  get length(): number {
    return this.#entries.length - this.#head;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The oldest entry, or undefined. */
  peek(): Entry | undefined {
    return this.#entries[this.#head];
  }

  push(entry: Entry): void {
    this.#entries.push(entry);
    this.#bytes += entry.bytes;
    this.#rows += rowsOf(entry);
    if (!this.#paused && this.#bytes > this.#limits.highBytes) {
      this.#paused = true;
      this.#flow.pause();
    }
    if (this.#filled && this.#isFull(this.#filled.limits)) {
      this.#filled.tell();
      this.#filled = null;
    }
    this.#notify();
  }

  shift(): Entry | undefined {
    const entry = this.#entries[this.#head];
    if (!entry) return undefined;
    // A hole instead of shift(): O(1), and the entry's rows are free at once.
    this.#entries[this.#head] = undefined as never;
    this.#head += 1;
    if (this.#head > 1024 && this.#head * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head);
      this.#head = 0;
    }
    this.#bytes -= entry.bytes;
    this.#rows -= rowsOf(entry);
    if (this.#paused && this.#bytes <= this.#limits.lowBytes) {
      this.#paused = false;
      this.#flow.resume();
    }
    return entry;
  }

  /**
   * Natural batching: whole transactions from the head, as many as have arrived, within the limits (at least one).
   * Empty when the head is something else: a part of a large transaction, a watermark, or nothing.
   */
  takeTransactions(limits: BatchLimits): TransactionPart[] {
    const batch: TransactionPart[] = [];
    let rows = 0;
    let bytes = 0;
    for (;;) {
      const head = this.peek();
      if (head?.kind !== 'transaction' || !head.first || !head.commit) return batch;
      rows += head.changes.length;
      bytes += head.bytes;
      if (batch.length > 0 && (rows > limits.maxRows || bytes > limits.maxBytes)) return batch;
      batch.push(head);
      this.shift();
    }
  }

  /** Takes out transactions that the secondary turned out to have (their commit record starts before `lsn`); returns their changes. */
  dropBefore(lsn: Lsn): number {
    let changes = 0;
    const kept: Entry[] = [];
    for (let entry = this.shift(); entry; entry = this.shift()) {
      if (entry.kind === 'transaction' && entry.commitLsn < lsn) changes += entry.changes.length;
      else kept.push(entry);
    }
    for (const entry of kept) this.push(entry);
    return changes;
  }

  /** Resolves when there is an entry, or the queue was closed, or `signal` was aborted, or `timeoutMs` have passed. */
  async wait(signal: AbortSignal, timeoutMs: number): Promise<void> {
    if (this.length > 0 || this.#closed || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => this.#notify(), timeoutMs);
      const onAbort = () => this.#notify();
      signal.addEventListener('abort', onAbort, { once: true });
      this.#wake = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
    });
  }

  /**
   * Resolves when it has as much as a batch may have, or the source waits. One waits at a time; who has asked before is
   * forgotten.
   */
  full(limits: BatchLimits): Promise<void> {
    if (this.#isFull(limits)) return Promise.resolve();
    return new Promise((tell) => {
      this.#filled = { limits, tell };
    });
  }

  #isFull({ maxBytes, maxRows }: BatchLimits): boolean {
    return this.#paused || this.#rows >= maxRows || this.#bytes >= maxBytes;
  }

  /** Whoever waits looks again, although nothing has come. */
  nudge(): void {
    this.#notify();
  }

  close(): void {
    this.#closed = true;
    this.#notify();
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = null;
    wake?.();
  }
}
