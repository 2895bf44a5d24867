/**
 * The recovery of one stream (the interface is recovery.ts): one task follows the secondary all through the failover,
 * another works on the primary whenever it is there. What they have reached is stored; what this object holds is not.
 */
import { randomUUID } from 'node:crypto';
import type { TargetSession } from '../apply/target-session.js';
import { dropCatchUpSlot } from '../catchup/postgres-source.js';
import { Backoff } from '../core/backoff.js';
import { RedundancyError } from '../core/errors.js';
import type { Lsn } from '../core/lsn.js';
import { classify } from '../core/policy.js';
import type { TargetLink } from '../meta/target-link.js';
import { raiseSequences, readSequences } from '../promotion/sequences.js';
import { TablesStore } from '../streamer/tables-store.js';
import { type CatchupRow, CatchupStore } from './catchup-store.js';
import { connectWriter, inTransaction, secondaryLink, writerName } from './connections.js';
import { Copier, refusal } from './copier.js';
import { abortable } from './follower.js';
import { Following } from './following.js';
import { handBackStream } from './hand-back.js';
import { Journal, type JournalCounts } from './journal.js';
import type { RecoveryOptions } from './options.js';
import { mergePrimary, type PrimaryRun, wholeTables } from './primary-run.js';
import type { DrainResult, Recovery, RecoveryPhase, RecoveryProgress } from './recovery.js';
import { RecoveryEndedError } from './recovery-errors.js';
import { beginPosition, readKeyShapes } from './secondary-source.js';
import { readTables } from './tables.js';
import { OWNED_SQL } from './triggers.js';

/** The primary as long as one connection to it lives, from when it is merged. */
interface Ready {
  readonly primary: TargetSession;
  copier: Copier;
  run: PrimaryRun;
}

const COUNT_EVERY_MS = 5000;
/** Where changes cannot be followed, all tables are compared again and again. */
const WHOLE_EVERY_MS = 60_000;

export class DatabaseRecovery implements Recovery {
  readonly #options: RecoveryOptions;
  readonly #abort = new AbortController();
  readonly #link: TargetLink;
  /** The follower's own, so that its writes do not wait for the merge's, nor these for the journal. */
  readonly #journalLink: TargetLink;
  readonly #store: CatchupStore;
  readonly #journal: Journal;
  readonly #following: Following;
  #followTask: Promise<void> | null = null;
  #work: { readonly fence: Lsn; readonly abort: AbortController; readonly task: Promise<void> } | null = null;
  #ready: Ready | null = null;
  readonly #readyWaiters = new Set<() => void>();
  /** One round, drain or hand-back at a time. */
  #turn: Promise<unknown> = Promise.resolve();
  #phase: RecoveryPhase = 'following';
  #tailMerged = false;
  #counts: JournalCounts & { readonly conflicts: number } = { keys: 0, copied: 0, oldestMs: null, conflicts: 0 };
  #countedAt = Number.NEGATIVE_INFINITY;
  #copiedThroughMs: number | null = null;
  #wholeAt = Number.NEGATIVE_INFINITY;
  #followTrouble: string | null = null;
  #workTrouble: string | null = null;

  constructor(options: RecoveryOptions) {
    this.#options = options;
    const { signal } = this.#abort;
    this.#link = secondaryLink(options, signal);
    this.#journalLink = secondaryLink(options, signal);
    this.#store = new CatchupStore(options.stream, randomUUID());
    this.#journal = new Journal(options.stream);
    this.#following = new Following({
      options,
      link: this.#journalLink,
      store: this.#store,
      journal: this.#journal,
      signal,
      onTrouble: (reason) => {
        this.#followTrouble = reason;
      },
    });
  }

  async notePosition(failoverEpoch: number): Promise<string> {
    const tables = await new TablesStore(this.#link, this.#options.stream).list();
    const row = await this.#store.claim(this.#link);
    // A recovery that was not handed back goes on: what it has in its journal is not on the primary yet.
    if (row && row.phase !== 'handed-back') {
      await this.#link.with((session) => this.#store.setEpoch(session, failoverEpoch));
      return row.position;
    }
    return this.#link.with(async (session) => {
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
    if (this.#work && this.#work.fence === fenceLsn && !this.#work.abort.signal.aborted) return;
    const before = this.#work;
    before?.abort.abort(new Error('The primary was fenced anew'));
    const abort = new AbortController();
    const signal = AbortSignal.any([abort.signal, this.#abort.signal]);
    const task = (before?.task ?? Promise.resolve()).then(() => this.#recover(fenceLsn, signal));
    this.#work = { fence: fenceLsn, abort, task };
  }

  primaryLost(): void {
    this.#work?.abort.abort(new Error('The primary is away'));
    this.#phase = 'following';
  }

  progress(): RecoveryProgress {
    const { conflicts, copied, keys, oldestMs } = this.#counts;
    const since = oldestMs ?? this.#copiedThroughMs;
    const lag = this.#copiedThroughMs === null || since === null ? null : this.#options.clock.now() - since;
    return {
      phase: this.#phase,
      tailMerged: this.#tailMerged,
      lagMs: this.#phase === 'copying' && lag !== null ? Math.max(0, lag) : null,
      touchedKeys: keys,
      copiedKeys: copied,
      conflicts,
      trouble: this.#workTrouble ?? this.#followTrouble,
    };
  }

  async drain(signal: AbortSignal): Promise<DrainResult> {
    const { clock } = this.#options;
    const started = clock.monotonic();
    const both = AbortSignal.any([signal, this.#abort.signal]);
    for (;;) {
      const ready = await this.#untilReady(both);
      try {
        const { compared, mended } = await abortable(
          this.#exclusive(() => this.#drainOnce(ready, both)),
          both,
        );
        return { compared, mended, tookMs: Math.round(clock.monotonic() - started) };
      } catch (error) {
        both.throwIfAborted();
        const { action } = classify(error);
        if (action !== 'retry' && action !== 'reread-checkpoint' && !ready.primary.broken) throw error;
        this.#workTrouble = messageOf(error);
        await clock.sleep(this.#options.backoffMs?.initial ?? 100, both);
      }
    }
  }

  async handBack(): Promise<Lsn> {
    const { primary } = this.#options;
    // Nothing of ours may be written there behind the position that the stream is given.
    this.#work?.abort.abort(new Error('The primary is handed back'));
    await this.#work?.task;
    this.#work = null;
    const session = await connectWriter(primary, writerName(this.#options.stream));
    try {
      await endOtherWriters(session);
      return await handBackStream(this.#options, session, this.#link, this.#store);
    } finally {
      await session.close();
    }
  }

  async finish(): Promise<void> {
    const { catchUpSlot, secondary, stream } = this.#options;
    this.#abort.abort(new Error('The recovery is finished'));
    await Promise.all([this.#followTask, this.#work?.task]);
    const session = await connectWriter(secondary, writerName(stream));
    try {
      if (session.dialect.name === 'postgres') await dropCatchUpSlot(secondary, catchUpSlot);
      await session.exec('BEGIN');
      await this.#store.lock(session);
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
    await Promise.all([this.#link.close(), this.#journalLink.close()]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** Again and again until the signal is aborted. Does not reject. */
  async #recover(fence: Lsn, signal: AbortSignal): Promise<void> {
    const { backoffMs, clock, log } = this.#options;
    const backoff = new Backoff({ initialMs: backoffMs?.initial ?? 100, maxMs: backoffMs?.max ?? 10_000 });
    while (!signal.aborted) {
      try {
        await this.#recoverOnce(fence, signal, () => backoff.reset());
      } catch (error) {
        if (signal.aborted) break;
        this.#workTrouble = messageOf(error);
        if (error instanceof RecoveryEndedError) break;
        log.warn({ err: error }, `The recovery of the primary was interrupted: ${this.#workTrouble}`);
        await clock.sleep(backoff.next(), signal).catch(() => undefined);
      } finally {
        this.#ready = null;
      }
    }
  }

  async #recoverOnce(fence: Lsn, signal: AbortSignal, onProgress: () => void): Promise<void> {
    const { clock, pollMs = 1000, primary, stream } = this.#options;
    if (!(await this.#store.claim(this.#link)))
      throw new RedundancyError('No position was noted for this stream at a failover.', {
        code: 'no-position',
        remedy: 'Nothing to recover: the secondary was not opened for writes by a failover.',
      });
    const session = await connectWriter(primary, writerName(stream));
    try {
      const run = await this.#prepare(session, fence, signal);
      const ready: Ready = { primary: session, copier: new Copier(run.copy), run };
      for (;;) {
        signal.throwIfAborted();
        const row = await this.#own();
        this.#tailMerged = row.mergedLsn !== null && row.mergedLsn >= fence;
        if (!this.#tailMerged) {
          this.#ready = null;
          await mergePrimary(this.#modeOf(run, row, signal), row);
          continue;
        }
        this.#phase = 'copying';
        this.#ready = ready;
        for (const resolve of this.#readyWaiters) resolve();
        this.#readyWaiters.clear();
        await this.#exclusive(() => this.#round(ready, signal));
        onProgress();
        await clock.sleep(pollMs, signal);
      }
    } finally {
      session.destroy();
    }
  }

  /** Whether the journal counts as evidence is settled anew for each merge. */
  #modeOf(run: PrimaryRun, row: CatchupRow, signal: AbortSignal): PrimaryRun {
    const upToDate = row.journalComplete ? () => this.#following.caughtUp(signal) : null;
    return { ...run, merge: { ...run.merge, upToDate } };
  }

  async #prepare(session: TargetSession, fence: Lsn, signal: AbortSignal): Promise<PrimaryRun> {
    const { clock, log, options } = { ...this.#options, options: this.#options };
    // Whoever owned the recovery before cannot write to the primary any more: its session is ended, a new one is refused.
    await this.#own();
    await endOtherWriters(session);
    const stored = await new TablesStore(this.#link, options.stream).list();
    const listed = stored.map(({ name, schema, state }) => ({ name, schema, complete: state === 'streaming' }));
    const tables = await this.#link.with((secondary) => readTables(session, secondary, listed));
    const schemas = `{${[...new Set(tables.ordered.map(({ schema }) => `"${schema.replace(/(["\\])/g, '\\$1')}"`))].join(',')}}`;
    const owned = await session.run({ text: OWNED_SQL, values: [schemas] });
    const common = { tables, journal: this.#journal, link: this.#link };
    return {
      onPhase: (phase) => {
        this.#phase = phase;
      },
      merge: {
        ...common,
        stream: options.stream,
        primary: session,
        store: this.#store,
        fence,
        options,
        signal,
        upToDate: null,
        nowMs: () => clock.now(),
      },
      copy: {
        ...common,
        primary: session,
        owned: new Set(
          tables.ordered.filter((table) =>
            owned.rows.some((row) => row.schema_name === table.schema && row.table_name === table.name),
          ),
        ),
        read: (work) => this.#link.with(work),
        sides: { primary: options.primary, secondary: options.secondary, dialect: tables.dialect },
        clock,
        log,
        at: options.at ?? (async () => undefined),
      },
    };
  }

  async #round(ready: Ready, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const { run } = ready;
    const startedMs = clock.now();
    const whole = this.#following.refused && clock.monotonic() - this.#wholeAt > WHOLE_EVERY_MS;
    if (whole) await this.#markAll(run);
    if (!this.#following.refused) await this.#following.caughtUp(signal);
    await this.#refresh(ready);
    const refused = await ready.copier.round(signal, false);
    this.#workTrouble = refused.length > 0 ? refusal(refused).message : null;
    if (!this.#following.refused || whole) this.#copiedThroughMs = startedMs;
    await this.#count(refused.length > 0 || clock.monotonic() - this.#countedAt > COUNT_EVERY_MS);
  }

  async #drainOnce(
    { copier, primary, run }: Ready,
    signal: AbortSignal,
  ): Promise<{ compared: number; mended: number }> {
    const row = await this.#own();
    if (row.mergedLsn === null)
      throw new RedundancyError('Changes of the secondary were missed; the tables have to be compared first.', {
        code: 'drain-too-early',
        remedy: 'Wait until db:status shows the phase copying, then run db:failback again.',
      });
    if (this.#following.refused) await this.#markAll(ready.run);
    else await this.#following.caughtUp(signal);
    await this.#refresh(ready);
    const result = await ready.copier.finish(signal);
    const tables = ready.run.merge.tables.ordered;
    const there = await this.#link.with((session) => readSequences(session, tables));
    await raiseSequences(ready.primary, tables, 0n, there);
    await this.#count(true);
    return result;
  }

  /** A table of the secondary has other columns: what is known of the tables is read anew. */
  async #refresh(ready: Ready): Promise<void> {
    const marks = await this.#link.with((session) => this.#journal.marks(session));
    if (!marks.some((mark) => mark.rowKey === '*columns')) return;
    ready.run = await this.#prepare(ready.primary, ready.run.merge.fence, ready.run.merge.signal);
    ready.copier = new Copier(ready.run.copy);
  }

  /** The stored state, or a RecoveryEndedError when it is not ours. */
  async #own(): Promise<CatchupRow> {
    return inTransaction(this.#link, (session) => this.#store.lock(session));
  }

  async #markAll(run: PrimaryRun): Promise<void> {
    this.#wholeAt = this.#options.clock.monotonic();
    const marks = wholeTables(run.merge.tables.ordered, this.#options.clock.now());
    if (marks.length > 0) await this.#link.with((session) => session.run(this.#journal.toBeCopied(marks)));
  }

  async #count(now: boolean): Promise<void> {
    if (!now) return;
    const counts = await this.#link.with((session) => this.#journal.counts(session));
    const { rows } = await this.#link.run(
      `SELECT count(*)::text AS n FROM db_redundancy.conflicts AS c JOIN db_redundancy.catchup AS u ON u.stream = c.stream AND u.failover_epoch = c.failover_epoch WHERE c.stream = $1`,
      [this.#options.stream],
    );
    this.#counts = { ...counts, conflicts: Number(rows[0]?.n ?? 0) };
    this.#countedAt = this.#options.clock.monotonic();
  }

  async #untilReady(signal: AbortSignal): Promise<Ready> {
    for (;;) {
      signal.throwIfAborted();
      if (this.#ready) return this.#ready;
      if (this.#following.ended) throw this.#following.ended;
      await abortable(new Promise<void>((resolve) => this.#readyWaiters.add(resolve)), signal);
    }
  }

  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }
}

/** Sessions of a former owner of the recovery: they must not write what is outdated by now. */
async function endOtherWriters(session: TargetSession): Promise<void> {
  await session.run({
    text: `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE application_name = current_setting('application_name') AND datname = current_database() AND usename = current_user AND pid <> pg_backend_pid() AND $1::text IS NOT NULL`,
    values: [''],
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
