/**
 * The apply loop, the file to read first: slot -> decode -> assemble -> QUEUE -> batch -> fold -> one target transaction
 * (data + checkpoint + epoch) -> ledger -> confirm. One loop, one writer: chunks of loads, sweeps and repairs come
 * through it too, at their upper watermark, so that nothing can overtake anything.
 */
import { setImmediate } from 'node:timers/promises';
import type { Checkpoint } from '../apply/checkpoint.js';
import type { Relation } from '../core/change.js';
import type { Clock } from '../core/clock.js';
import { crashPoint } from '../core/crash-points.js';
import { type Lsn, maxLsn } from '../core/lsn.js';
import type { StreamCounters } from '../core/status.js';
import type { Applier } from './applier.js';
import { relationsOf } from './assemble.js';
import { type Deriver, deriveColumns } from './derive.js';
import { isFenceMark, type TransactionPart, type WatermarkEntry } from './entries.js';
import { type IdlePolicy, type Ledger, shouldStoreIdle } from './ledger.js';
import type { BatchLimits, EntryQueue } from './queue.js';
import type { Ready } from './ready.js';
import type { TableRegistry } from './registry.js';

export interface ApplyLoopOptions {
  readonly queue: EntryQueue;
  readonly applier: Applier;
  readonly registry: TableRegistry;
  readonly ledger: Ledger;
  readonly limits: BatchLimits;
  readonly largeTransactions: 'atomic' | 'chunked';
  readonly idlePolicy: IdlePolicy;
  readonly clock: Clock;
  readonly counters: StreamCounters;
  /** Position from which the session was started; a chunked transaction may be applied in part before it. */
  readonly start: Checkpoint;
  /** Makes the secondary's table fit a relation that is new here; runs between target transactions. */
  readonly prepare: (relation: Relation) => Promise<void>;
  /** Works out what the primary generates and the secondary stores. */
  readonly derive: Deriver;
  readonly onWatermark: (entry: WatermarkEntry) => Promise<void>;
  /** Every committed transaction, in order, before it is applied. */
  readonly onCommit: (xid: number) => void;
  /** Everything before `lsn` is durable on the secondary. */
  readonly confirm: (lsn: Lsn) => void;
  /** A batch is on its way to the secondary, or has arrived: what comes meanwhile has to wait for it. */
  readonly onFlight?: (inFlight: boolean) => void;
  /** Between two target transactions of gathered changes; 0 but for a budget that must not be exceeded. */
  readonly breathMs?: () => number;
}

/** How often an idle stream looks whether its position is to be stored; a server that asks for it is heard at once. */
const IDLE_LOOK_MS = 1000;

/** A batch that waits for its turn. */
interface Ahead {
  readonly received: readonly TransactionPart[];
  /** Null: they are still to be prepared. */
  readonly ready: Ready | null;
}

export class ApplyLoop {
  readonly #options: ApplyLoopOptions;
  #lastStoredMs: number;
  #ahead: Ahead | null = null;

  constructor(options: ApplyLoopOptions) {
    this.#options = options;
    this.#lastStoredMs = options.clock.monotonic();
  }

  /** Runs until the signal is aborted (between target transactions), or throws what stops the stream. */
  async run(signal: AbortSignal): Promise<void> {
    const { queue, ledger } = this.#options;
    while (!signal.aborted) {
      ledger.busy = queue.length > 0 || this.#ahead !== null;
      const batch = this.#nextBatch();
      if (batch.received.length > 0) {
        ledger.oldestUnappliedAtMs = (batch.received[0] as TransactionPart).commitAtMs;
        await this.#applyBatch(batch);
        const breathMs = this.#options.breathMs?.() ?? 0;
        if (breathMs > 0) await this.#options.clock.sleep(breathMs, signal).catch(() => undefined);
      } else {
        const head = queue.peek();
        if (!head) {
          ledger.oldestUnappliedAtMs = null;
          ledger.becameIdle();
          await this.#idle(signal);
          continue;
        }
        queue.shift();
        if (head.kind === 'watermark') {
          await this.#options.onWatermark(head);
          if (isFenceMark(head)) await this.#store(head.lsn);
        } else {
          ledger.oldestUnappliedAtMs = head.commitAtMs;
          await this.#applyLarge(head, signal);
        }
      }
      const next = this.#ahead?.received[0] ?? queue.peek();
      ledger.oldestUnappliedAtMs = next?.kind === 'transaction' ? next.commitAtMs : null;
    }
  }

  #nextBatch(): Ahead {
    const { limits, queue } = this.#options;
    const ahead = this.#ahead;
    this.#ahead = null;
    return ahead ?? { received: queue.takeTransactions(limits), ready: null };
  }

  async #applyBatch({ ready, received }: Ahead): Promise<void> {
    const { applier, ledger, onCommit, onFlight } = this.#options;
    const last = (received.at(-1) as TransactionPart).commit;
    if (!last) throw new RangeError('A batch ends with a commit.');
    for (const part of received) onCommit(part.xid);
    const holds = ready?.holds() === true && this.#unprepared(received).length === 0;
    const batch = ready && holds ? ready.parts : await this.#prepare(received);
    if (batch.some((part) => part.changes.length > 0)) {
      crashPoint('batch:ready');
      onFlight?.(true);
      const applied = applier
        .applyBatch(batch, checkpointAt(last.endLsn, last.commitAtMs), holds ? ready : null)
        .finally(() => onFlight?.(false));
      applied.catch(() => undefined);
      await this.#makeNextReady(applied);
      await applied;
      crashPoint('batch:durable');
      this.#stored(last.endLsn);
      crashPoint('batch:acknowledged');
    }
    this.#settled(batch);
    // A batch without changes is applied by doing nothing; its position is stored with the idle progress.
    ledger.appliedThrough(last.endLsn, last.commitAtMs);
  }

  /**
   * Where a backlog waits, the next batch is made ready while the secondary works on this one. Only when as much waits as
   * is taken at a time: what is taken early would else be a small batch where natural batching makes a large one.
   */
  async #makeNextReady(applied: Promise<void>): Promise<void> {
    const { applier, derive, limits, queue, registry } = this.#options;
    const isFull = await Promise.race([queue.full(limits).then(() => true), applied.then(() => false)]);
    if (!isFull) return;
    // This one is on its way by then.
    await setImmediate();
    const received = queue.takeTransactions(limits);
    if (received.length === 0) return;
    this.#ahead = { received, ready: null };
    // What makes a table another one has to wait for its turn.
    if (this.#unprepared(received).length > 0) return;
    // What fails here fails again when its turn comes, and is heard then.
    const prepared = await deriveColumns(received, (relation) => registry.lookup(relation), derive).catch(() => null);
    if (prepared === null) return;
    this.#ahead = { received, ready: applier.ready(prepared) };
  }

  async #applyLarge(first: TransactionPart, signal: AbortSignal): Promise<void> {
    const { applier, ledger, onCommit, largeTransactions } = this.#options;
    onCommit(first.xid);
    if (largeTransactions === 'chunked') return this.#applyChunked(first, signal);
    let last = first;
    await applier.applyLarge(
      await this.#preparePart(first),
      {
        next: async () => {
          this.#settled([last]);
          crashPoint('large:part');
          last = await this.#nextPart(signal);
          return last;
        },
        isPrepared: (part) => this.#unprepared([part]).length === 0,
        prepare: (part) => this.#preparePart(part),
      },
      (part) => checkpointAt(part.commit?.endLsn ?? part.commitLsn, part.commitAtMs),
    );
    this.#settled([last]);
    const end = last.commit?.endLsn ?? last.commitLsn;
    crashPoint('large:durable');
    this.#stored(end);
    ledger.appliedThrough(end, last.commitAtMs);
  }

  /** DB_APPLY_LARGE_TX=chunked: every part is its own target transaction, with the number of changes done (G2, G3, not G1). */
  async #applyChunked(first: TransactionPart, signal: AbortSignal): Promise<void> {
    const { applier, ledger, start } = this.#options;
    let done = 0;
    let skip = start.partialLsn === first.commitLsn ? start.partialChanges : 0;
    for (let part = first; ; part = await this.#nextPart(signal)) {
      const skipped = Math.min(skip, part.changes.length);
      skip -= skipped;
      done += part.changes.length;
      const rest = await this.#preparePart(skipped > 0 ? { ...part, changes: part.changes.slice(skipped) } : part);
      const checkpoint = part.commit
        ? checkpointAt(part.commit.endLsn, part.commitAtMs)
        : { lsn: ledger.durable, commitAtMs: null, partialLsn: part.commitLsn, partialChanges: done };
      if (rest.changes.length > 0 || part.commit) await applier.applyBatch([rest], checkpoint);
      this.#settled([part]);
      if (!part.commit) continue;
      this.#stored(part.commit.endLsn);
      ledger.appliedThrough(part.commit.endLsn, part.commitAtMs);
      return;
    }
  }

  async #nextPart(signal: AbortSignal): Promise<TransactionPart> {
    const { queue } = this.#options;
    for (;;) {
      signal.throwIfAborted();
      const entry = queue.shift();
      if (entry?.kind === 'transaction') return entry;
      // Watermarks stand between transactions in the stream, never inside one.
      if (entry) throw new RangeError(`A ${entry.kind} came inside a transaction.`);
      await queue.wait(signal, 1000);
    }
  }

  /**
   * Binds every relation version of the parts. Preparing a newer version makes the table another one, and the older
   * versions of the same batch must then be bound anew: hence the loop. Returns the parts as they are to be applied.
   */
  async #prepare(parts: readonly TransactionPart[]): Promise<readonly TransactionPart[]> {
    const { derive, registry, prepare } = this.#options;
    for (let unbound = this.#unprepared(parts); unbound.length > 0; unbound = this.#unprepared(parts)) {
      for (const relation of unbound) if (!registry.isPrepared(relation)) await prepare(relation);
    }
    return deriveColumns(parts, (relation) => registry.lookup(relation), derive);
  }

  #unprepared(parts: readonly TransactionPart[]): Relation[] {
    const relations = new Set(parts.flatMap((part) => [...relationsOf(part.changes)]));
    return [...relations].filter((relation) => !this.#options.registry.isPrepared(relation));
  }

  async #preparePart(part: TransactionPart): Promise<TransactionPart> {
    return (await this.#prepare([part]))[0] as TransactionPart;
  }

  async #idle(signal: AbortSignal): Promise<void> {
    const { clock, idlePolicy, ledger, queue } = this.#options;
    const sinceLast = clock.monotonic() - this.#lastStoredMs;
    if (shouldStoreIdle(ledger.applied - ledger.durable, sinceLast, idlePolicy, ledger.asked)) {
      ledger.asked = false;
      await this.#store(ledger.applied);
      return;
    }
    await queue.wait(signal, IDLE_LOOK_MS);
  }

  /** Everything before `lsn` is applied: the checkpoint says so from here on. */
  async #store(lsn: Lsn): Promise<void> {
    const at = maxLsn(lsn, this.#options.ledger.durable);
    crashPoint('checkpoint:moving');
    await this.#options.applier.moveCheckpoint(this.#idleCheckpoint(at));
    crashPoint('checkpoint:durable');
    this.#stored(at);
  }

  /** Before a transaction that a former session has applied in part, what is known about it must not be forgotten (G3). */
  #idleCheckpoint(lsn: Lsn): Checkpoint {
    const { partialLsn, partialChanges } = this.#options.start;
    const ahead = partialLsn !== null && lsn <= partialLsn;
    return ahead ? { lsn, commitAtMs: null, partialLsn, partialChanges } : checkpointAt(lsn, null);
  }

  #settled(parts: readonly TransactionPart[]): void {
    const { counters, ledger, registry } = this.#options;
    for (const part of parts) {
      ledger.changesSettled += part.changes.length;
      counters.changesSkippedPaused += registry.countSkipped(part.changes);
    }
  }

  #stored(lsn: Lsn): void {
    const { clock, confirm, ledger } = this.#options;
    this.#lastStoredMs = clock.monotonic();
    ledger.durableThrough(lsn);
    confirm(ledger.durable);
  }
}

function checkpointAt(lsn: Lsn, commitAtMs: number | null): Checkpoint {
  return { lsn, commitAtMs, partialLsn: null, partialChanges: 0 };
}
