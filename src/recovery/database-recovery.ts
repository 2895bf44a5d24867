/**
 * The recovery of one stream (the interface is recovery.ts): one task follows the secondary all through the failover,
 * another works on the primary whenever it is there. What they have reached is stored; what this object holds is not.
 */
import { randomUUID } from 'node:crypto';
import { dropCatchUpSlot } from '../catchup/postgres-source.js';
import { RedundancyError } from '../core/errors.js';
import type { Lsn } from '../core/lsn.js';
import { classify } from '../core/policy.js';
import type { TargetLink } from '../meta/target-link.js';
import { TablesStore } from '../streamer/tables-store.js';
import { CatchupStore } from './catchup-store.js';
import { connectWriter, endOtherWriters, secondaryLink, writerName } from './connections.js';
import { abortable } from './follower.js';
import { Following } from './following.js';
import { handBackStream } from './hand-back.js';
import { Journal } from './journal.js';
import type { RecoveryOptions } from './options.js';
import { PrimaryWork } from './primary-work.js';
import type { DrainResult, Recovery, RecoveryProgress } from './recovery.js';
import { RecoveryState } from './recovery-state.js';
import { beginPosition, readKeyShapes } from './secondary-source.js';

export class DatabaseRecovery implements Recovery {
  readonly #options: RecoveryOptions;
  readonly #abort = new AbortController();
  readonly #link: TargetLink;
  /** The follower's own, so that neither waits for the other's transactions. */
  readonly #journalLink: TargetLink;
  readonly #evidenceLink: TargetLink;
  readonly #store: CatchupStore;
  readonly #journal: Journal;
  readonly #state: RecoveryState;
  readonly #following: Following;
  #followTask: Promise<void> | null = null;
  #work: {
    readonly fence: Lsn;
    readonly abort: AbortController;
    readonly work: PrimaryWork;
    readonly task: Promise<void>;
  } | null = null;

  constructor(options: RecoveryOptions) {
    this.#options = options;
    const { signal } = this.#abort;
    this.#link = secondaryLink(options, signal);
    this.#journalLink = secondaryLink(options, signal);
    this.#evidenceLink = secondaryLink(options, signal);
    this.#store = new CatchupStore(options.stream, randomUUID());
    this.#journal = new Journal(options.stream);
    this.#state = new RecoveryState(options.stream, this.#link, this.#journal, options.clock);
    this.#following = new Following({
      options,
      link: this.#journalLink,
      store: this.#store,
      journal: this.#journal,
      signal,
      onTrouble: (reason) => {
        this.#state.followTrouble = reason;
      },
    });
  }

  async notePosition(failoverEpoch: number): Promise<string> {
    const tables = await new TablesStore(this.#link, this.#options.stream).list();
    const row = await this.#store.claim(this.#link);
    return this.#link.with(async (session) => {
      // A recovery that was not handed back goes on: what its journal holds is not on the primary yet.
      if (row && row.phase !== 'handed-back') {
        await this.#store.setEpoch(session, failoverEpoch);
        return row.position;
      }
      const position = await beginPosition(this.#options, session, await readKeyShapes(session, tables));
      await session.run(this.#journal.clear());
      await this.#store.begin(session, failoverEpoch, position);
      return position;
    });
  }

  follow(): void {
    this.#followTask ??= this.#following.run();
  }

  recoverPrimary(fenceLsn: Lsn): void {
    this.follow();
    const before = this.#work;
    if (before && before.fence === fenceLsn && !before.abort.signal.aborted) return;
    before?.abort.abort(new Error('The primary was fenced anew'));
    this.#state.restart();
    const abort = new AbortController();
    const parts = {
      options: this.#options,
      link: this.#link,
      evidence: this.#evidenceLink,
      store: this.#store,
      journal: this.#journal,
      following: this.#following,
      state: this.#state,
    };
    const work = new PrimaryWork(parts, fenceLsn, AbortSignal.any([abort.signal, this.#abort.signal]));
    const task = (before?.task ?? Promise.resolve()).then(() => work.run());
    this.#work = { fence: fenceLsn, abort, work, task };
  }

  primaryLost(): void {
    this.#work?.abort.abort(new Error('The primary is away'));
    this.#state.restart();
  }

  progress(): RecoveryProgress {
    return this.#state.progress();
  }

  async drain(signal: AbortSignal): Promise<DrainResult> {
    const { backoffMs, clock } = this.#options;
    const started = clock.monotonic();
    const both = AbortSignal.any([signal, this.#abort.signal]);
    for (;;) {
      const current = this.#work;
      if (!current)
        throw new RedundancyError('The primary has not been recovered: there is nothing to drain to.', {
          code: 'drain-too-early',
          remedy: 'Wait until db:status shows the phase copying, then run db:failback again.',
        });
      const ready = await current.work.ready(AbortSignal.any([both, current.abort.signal]));
      try {
        const { compared, mended } = await abortable(current.work.drain(ready, both), both);
        return { compared, mended, tookMs: Math.round(clock.monotonic() - started) };
      } catch (error) {
        both.throwIfAborted();
        const { action } = classify(error);
        if (action !== 'retry' && action !== 'reread-checkpoint' && !ready.primary.broken) throw error;
        this.#state.workTrouble = error instanceof Error ? error.message : String(error);
        await clock.sleep(backoffMs?.initial ?? 100, both);
      }
    }
  }

  async handBack(): Promise<Lsn> {
    // Nothing of ours may be written there behind the position that the stream is given.
    this.#work?.abort.abort(new Error('The primary is handed back'));
    await this.#work?.task;
    this.#work = null;
    const session = await connectWriter(this.#options.primary, writerName(this.#options.stream));
    try {
      await endOtherWriters(session);
      return await handBackStream(this.#options, session, this.#link, this.#store);
    } finally {
      await session.close();
    }
  }

  async finish(): Promise<void> {
    const { catchUpSlot, secondary, stream } = this.#options;
    const row = await this.#store.claim(this.#link);
    // The journal of a failover that came in between is not to be forgotten.
    if (row && row.phase !== 'handed-back')
      throw new RedundancyError('The recovery was not handed back: its journal is still needed.', {
        code: 'finish-too-early',
        remedy: 'Run db:failback.',
      });
    this.#abort.abort(new Error('The recovery is finished'));
    await Promise.all([this.#followTask, this.#work?.task]);
    const session = await connectWriter(secondary, writerName(stream));
    try {
      if (session.dialect.name === 'postgres') await dropCatchUpSlot(secondary, catchUpSlot);
      await session.exec('BEGIN');
      await session.run(this.#journal.clear());
      await session.run({ text: 'DELETE FROM db_redundancy.catchup WHERE stream = $1', values: [stream] });
      await session.exec('COMMIT');
    } finally {
      session.destroy();
    }
    await this.stop();
  }

  async stop(): Promise<void> {
    this.#abort.abort(new Error('The recovery was stopped'));
    await Promise.all([this.#followTask, this.#work?.task]);
    await Promise.all([this.#link, this.#journalLink, this.#evidenceLink].map((link) => link.close()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}
