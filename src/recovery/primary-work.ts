/**
 * Works on the returned primary until it is told to stop: merges, then copies round after round. A lost connection, or a
 * controller that died, costs a repetition and nothing else, because everything that was reached is stored.
 */
import type { TargetSession } from '../apply/target-session.js';
import { Backoff } from '../core/backoff.js';
import { RedundancyError } from '../core/errors.js';
import type { Lsn } from '../core/lsn.js';
import type { TargetLink } from '../meta/target-link.js';
import { raiseSequences, readSequences } from '../promotion/sequences.js';
import { type CatchupStore, isMerged } from './catchup-store.js';
import { connectWriter, endOtherWriters, writerName } from './connections.js';
import { Copier, refusal } from './copier.js';
import { abortable } from './follower.js';
import type { Following } from './following.js';
import type { Journal } from './journal.js';
import { journalIsWhole } from './journal-whole.js';
import { mergePrimary } from './merge-primary.js';
import type { RecoveryOptions } from './options.js';
import { type PrimaryRun, prepareRun } from './primary-run.js';
import { RecoveryEndedError } from './recovery-errors.js';
import type { RecoveryState } from './recovery-state.js';

export interface PrimaryWorkParts {
  readonly options: RecoveryOptions;
  readonly link: TargetLink;
  /** For reads beside a transaction on `link`. */
  readonly evidence: TargetLink;
  readonly store: CatchupStore;
  readonly journal: Journal;
  readonly following: Following;
  readonly state: RecoveryState;
}

/** The primary as long as one connection to it lives, from when it is merged. */
export interface Ready {
  readonly primary: TargetSession;
  run: PrimaryRun;
  copier: Copier;
}

/** Where changes cannot be followed, all tables are compared again and again. */
const WHOLE_EVERY_MS = 60_000;
const PATIENCE_MS = 200;
const YIELD = new Error('A drain is waiting');

export class PrimaryWork {
  readonly #parts: PrimaryWorkParts;
  readonly #fence: Lsn;
  readonly #signal: AbortSignal;
  #ready: Ready | null = null;
  readonly #waiters = new Set<() => void>();
  /** One round or drain at a time. */
  #turn: Promise<unknown> = Promise.resolve();
  #wholeAt = Number.NEGATIVE_INFINITY;
  #ended: unknown = null;
  /** Ends a round early: a drain waits for its turn. */
  #yield = new AbortController();
  #asking: Promise<void> | null = null;
  /** The journal holds everything that was written on the secondary before this; null before the first answer. */
  #journalThroughMs: number | null = null;

  constructor(parts: PrimaryWorkParts, fence: Lsn, signal: AbortSignal) {
    this.#parts = parts;
    this.#fence = fence;
    this.#signal = signal;
  }

  /** Until the signal is aborted, or the recovery is another process's. Does not reject. */
  async run(): Promise<void> {
    const { backoffMs, clock, log } = this.#parts.options;
    const backoff = new Backoff({ initialMs: backoffMs?.initial ?? 100, maxMs: backoffMs?.max ?? 10_000 });
    while (!this.#signal.aborted) {
      try {
        await this.#once(() => backoff.reset());
      } catch (error) {
        if (this.#signal.aborted) return;
        const reason = messageOf(error);
        this.#parts.state.workTrouble = reason;
        if (error instanceof RecoveryEndedError) {
          this.#ended = error;
          this.#wake();
          return;
        }
        log.warn({ err: error }, `The recovery of the primary was interrupted: ${reason}`);
        await clock.sleep(backoff.next(), this.#signal).catch(() => undefined);
      } finally {
        this.#ready = null;
      }
    }
  }

  /** The primary, merged. Waits for it. */
  async ready(signal: AbortSignal): Promise<Ready> {
    for (;;) {
      signal.throwIfAborted();
      if (this.#ended) throw this.#ended;
      if (this.#ready) return this.#ready;
      await abortable(new Promise<void>((resolve) => this.#waiters.add(resolve)), signal);
    }
  }

  /** The secondary is fenced: copies and compares to the end, and raises the primary's sequences beyond both sides. */
  drain(ready: Ready, signal: AbortSignal): Promise<{ compared: number; mended: number }> {
    this.#yield.abort(YIELD);
    return this.#exclusive(async () => {
      this.#yield = new AbortController();
      const { following, link, state } = this.#parts;
      signal.throwIfAborted();
      if (following.refused) await this.#markAll(ready);
      else await journalIsWhole(this.#parts, await this.#own(), ready.run.merge, signal);
      // Asked when the journal is whole: what was missed until then shows now.
      if (!isMerged(await this.#own(), this.#fence))
        throw new RedundancyError('Changes of the secondary were missed; the tables have to be compared first.', {
          code: 'drain-too-early',
          remedy: 'Wait until db:status shows the phase copying, then run db:failback again.',
        });
      await this.#refresh(ready);
      const result = await ready.copier.finish(signal);
      const tables = ready.run.merge.tables.ordered;
      const there = await link.with((session) => readSequences(session, tables));
      await raiseSequences(ready.primary, tables, 'none', there);
      await state.count(true);
      return result;
    });
  }

  async #once(onProgress: () => void): Promise<void> {
    const { options, state } = this.#parts;
    await this.#own();
    const primary = await connectWriter(options.primary, writerName(options.stream));
    try {
      const run = await this.#prepare(primary);
      const ready: Ready = { primary, run, copier: new Copier(run.copy) };
      for (;;) {
        this.#signal.throwIfAborted();
        const row = await this.#own();
        // What is told from here on is of the newest fence.
        this.#signal.throwIfAborted();
        state.tailMerged = isMerged(row, this.#fence);
        if (!state.tailMerged) {
          this.#ready = null;
          const upToDate = row.journalComplete ? () => this.#parts.following.caughtUp(this.#signal) : null;
          await mergePrimary({ ...ready.run, merge: { ...ready.run.merge, upToDate } }, row);
          continue;
        }
        state.phase = 'copying';
        this.#ready = ready;
        this.#wake();
        if (!this.#parts.following.refused) await this.#askJournal();
        await this.#exclusive(() => this.#round(ready));
        onProgress();
        await options.clock.sleep(options.pollMs ?? 1000, this.#signal);
      }
    } finally {
      primary.destroy();
    }
  }

  /**
   * Up to when the journal holds everything. A changefeed's answer takes seconds: it is waited for a moment only, since
   * what the journal has by now can be copied meanwhile.
   */
  async #askJournal(): Promise<void> {
    const { following, options } = this.#parts;
    const askedMs = options.clock.now();
    this.#asking ??= following
      .caughtUp(this.#signal)
      .then(() => {
        this.#journalThroughMs = askedMs;
      })
      .finally(() => {
        this.#asking = null;
      });
    await Promise.race([this.#asking, options.clock.sleep(PATIENCE_MS, this.#signal)]);
  }

  async #round(ready: Ready): Promise<void> {
    const { following, options, state } = this.#parts;
    const signal = AbortSignal.any([this.#signal, this.#yield.signal]);
    const startedMs = options.clock.now();
    const through = this.#journalThroughMs;
    const whole = following.refused && options.clock.monotonic() - this.#wholeAt > WHOLE_EVERY_MS;
    if (whole) await this.#markAll(ready);
    await this.#refresh(ready);
    try {
      const refused = await ready.copier.round(signal, false);
      state.workTrouble = refused.length > 0 ? refusal(refused).message : null;
      if (whole) state.copiedThroughMs = startedMs;
      else if (!following.refused && through !== null) state.copiedThroughMs = through;
      await state.count(refused.length > 0);
    } catch (error) {
      if (error !== YIELD) throw error;
    }
  }

  /** Whoever owned the recovery before cannot write to the primary any more: its sessions end, and new ones ask first. */
  async #prepare(primary: TargetSession): Promise<PrimaryRun> {
    await this.#own();
    await endOtherWriters(primary);
    const { evidence, following, journal, link, options, state, store } = this.#parts;
    return prepareRun({
      options,
      // A primary that dies in the middle is not the secondary's fault.
      link: link.beside(primary),
      evidence: evidence.beside(primary),
      journal,
      store,
      primary,
      fence: this.#fence,
      signal: this.#signal,
      state,
      caughtUp: () => following.caughtUp(this.#signal),
    });
  }

  /** A table of the secondary has other columns: what is known of the tables is read anew. */
  async #refresh(ready: Ready): Promise<void> {
    const marks = await this.#parts.link.with((session) => this.#parts.journal.marks(session));
    if (!marks.some((mark) => mark.rowKey === '*columns')) return;
    ready.run = await this.#prepare(ready.primary);
    ready.copier = new Copier(ready.run.copy);
  }

  async #own() {
    const row = await this.#parts.store.claim(this.#parts.link);
    if (row) return row;
    throw new RedundancyError('No position was noted for this stream at a failover.', {
      code: 'no-position',
      remedy: 'Nothing to recover: the secondary was not opened for writes by a failover.',
    });
  }

  async #markAll(ready: Ready): Promise<void> {
    const { clock } = this.#parts.options;
    this.#wholeAt = clock.monotonic();
    const marks = ready.run.merge.tables.ordered.map((table) => ({
      table,
      rowKey: '*changed',
      at: '',
      atMs: clock.now(),
    }));
    if (marks.length > 0) await this.#parts.link.with((session) => session.run(this.#parts.journal.toBeCopied(marks)));
  }

  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  #wake(): void {
    for (const resolve of this.#waiters) resolve();
    this.#waiters.clear();
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
