/**
 * Applies transactions to the secondary: data, dead letters and checkpoint in one target transaction. The normal way is
 * one pipelined round trip; anything that a server refuses is searched for, row by row if need be, in the careful way.
 */
import type { Checkpoint } from '../apply/checkpoint.js';
import { checkpointStatement, readCheckpoint } from '../apply/checkpoint.js';
import type { Dialect } from '../apply/dialect.js';
import { type SqlStatement, StatementError, type TargetSession } from '../apply/target-session.js';
import type { Backoff } from '../core/backoff.js';
import type { Change, Relation, Row } from '../core/change.js';
import type { Clock } from '../core/clock.js';
import { FencedError, StreamHaltError } from '../core/errors.js';
import type { Log } from '../core/log.js';
import { classify } from '../core/policy.js';
import type { StreamCounters } from '../core/status.js';
import { Ahead, type Compiled, type TableView } from './ahead.js';
import type { Binding } from './binding.js';
import { applyCarefully, type CarefulContext } from './careful.js';
import { compileSteps, rereadStatements, type Statement } from './compile.js';
import type { TransactionPart } from './entries.js';
import { fold, type Step } from './fold.js';
import type { TableEntry, TableRegistry } from './registry.js';
import { runReplacing } from './replace.js';

export interface ApplierOptions {
  readonly stream: string;
  readonly epoch: number;
  readonly connect: () => Promise<TargetSession>;
  readonly registry: TableRegistry;
  readonly onError: 'pause-table' | 'halt';
  readonly log: Log;
  readonly clock: Clock;
  readonly backoff: Backoff;
  readonly counters: StreamCounters;
  readonly signal: AbortSignal;
  /** Rows that a patch did not find on the secondary: they are read again from the primary. */
  readonly onMissing: (binding: Binding, rows: readonly Row[]) => void;
  /** The secondary refused rows of this table: makes it fit the primary again; true when that may have helped. */
  readonly refresh: (entry: TableEntry) => Promise<boolean>;
  /** Sees what a committed transaction changed, for the windows of running chunks. */
  readonly onApplied: (parts: readonly TransactionPart[], steps: readonly Step[]) => void;
  /** The secondary cannot be reached, or can be again (null). */
  readonly onTrouble: (reason: string | null) => void;
  /** The checkpoint as it was when the epoch was taken. */
  readonly start: Checkpoint;
}

/** A part of a large transaction, on its way. */
interface SentPart {
  readonly part: TransactionPart;
  readonly steps: readonly Step[];
  readonly statements: readonly Statement[];
  /** Never rejects. */
  readonly answer: Promise<{ readonly counts: readonly number[] } | { readonly error: unknown }>;
}

/** The checkpoint is not where we left it: the epoch was taken, or a COMMIT that seemed lost has taken effect. */
class CheckpointMovedError extends Error {}

/** The target transaction is lost and its rows are not in memory any more: read them again from the checkpoint. */
export class RestartFromCheckpoint extends Error {}

/** The secondary refuses rows of a chunk: a matter of their table, not of the stream. */
export class DataRefusedError extends Error {
  constructor(cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

const BEGIN = { text: 'BEGIN', values: [] };
const COMMIT = { text: 'COMMIT', values: [] };
const CONTROL_STATEMENTS_BEFORE = 1;
const NO_COPY_MS = 60_000;

export class Applier {
  readonly #options: ApplierOptions;
  #session: TargetSession | null = null;
  /** The checkpoint as it stands on the secondary, as far as we know. */
  #at: Checkpoint;
  /** Tables, by oid, whose inserts were found on the secondary already: until when they are upserts. */
  readonly #noCopy = new Map<number, number>();

  readonly #ahead = new Ahead({
    view: (relation) => this.#view(relation),
    compile: (parts) => {
      // All sessions of one secondary have one dialect.
      if (!this.#session) throw new RangeError('There is no session to compile for.');
      return this.#foldAndCompile(
        parts.flatMap((part) => part.changes),
        this.#session.dialect,
      );
    },
  });

  constructor(options: ApplierOptions) {
    this.#options = options;
    this.#at = options.start;
  }

  /**
   * Applies whole transactions as one target transaction, retrying until it is durable.
   * @param next the batch that will follow, where that is settled already: it is made ready meanwhile
   */
  async applyBatch(
    parts: readonly TransactionPart[],
    checkpoint: Checkpoint,
    next: () => readonly TransactionPart[] | null = () => null,
  ): Promise<void> {
    const { counters } = this.#options;
    const changes = parts.flatMap((part) => part.changes);
    let careful = false;
    const started = performance.now();
    const found = await this.#untilDurable(checkpoint, async (session) => {
      if (!careful && (await this.#applyFolded(session, parts, changes, checkpoint, next))) return;
      careful = true;
      counters.batchesReordered += 1;
      await this.#careful(session, parts, changes, checkpoint);
    });
    // Applied by an attempt whose answer was lost: those who follow along must know all the same.
    if (found)
      this.#options.onApplied(
        parts,
        fold(changes, (relation) => this.#options.registry.lookup(relation)),
      );
    const seconds = (performance.now() - started) / 1000;
    counters.applySecondsTotal += seconds;
    counters.lastBatchSeconds = seconds;
    counters.batchesApplied += 1;
    counters.transactionsApplied += parts.filter((part) => part.commit !== null).length;
  }

  /**
   * Applies a large transaction as its parts arrive. `next` gives the following part, the last of which has `commit`.
   * While the secondary works on a part, the next one is made ready and sent behind it; memory holds these two. On a
   * retryable failure throws RestartFromCheckpoint.
   */
  async applyLarge(
    first: TransactionPart,
    next: () => Promise<TransactionPart>,
    checkpointOf: (last: TransactionPart) => Checkpoint,
  ): Promise<void> {
    const session = await this.#connected();
    const { counters } = this.#options;
    const started = performance.now();
    try {
      await session.exec(session.dialect.beginPartsSql);
      let sent = this.#sendPart(session, first);
      while (!sent.part.commit) {
        const coming = next();
        // It is awaited below in any case, but perhaps not before it fails.
        coming.catch(() => undefined);
        const early = await Promise.race([coming, sent.answer.then(() => null)]);
        const ahead = early === null ? null : this.#sendPart(session, early);
        const accepted = await this.#partDone(session, sent, ahead);
        // Behind a part that was refused, the server has refused the next one as well, whatever is in it.
        sent = ahead !== null && accepted ? ahead : this.#sendPart(session, early ?? (await coming));
      }
      await this.#partDone(session, sent, null);
      const checkpoint = checkpointOf(sent.part);
      await session.pipeline([this.#checkpoint(checkpoint), COMMIT]).catch((error: unknown) => {
        this.#throwIfMoved(error, 0);
        throw error;
      });
      this.#at = checkpoint;
      session.done();
      counters.batchesApplied += 1;
      counters.transactionsApplied += 1;
      counters.applySecondsTotal += (performance.now() - started) / 1000;
    } catch (error) {
      session.destroy();
      this.#session = null;
      if (error instanceof FencedError || error instanceof StreamHaltError) throw error;
      const verdict = classify(error);
      // Refused rows were dealt with part by part; what is refused now, a deferred constraint, would be so again.
      const refused = verdict.action === 'halt' || verdict.action === 'bisect';
      if (refused && !(error instanceof CheckpointMovedError)) throw this.#halted(error);
      throw new RestartFromCheckpoint(`A large transaction was interrupted (${verdict.hint})`, { cause: error });
    }
  }

  /**
   * Applies steps that do not come from the stream (a chunk at its upper watermark), with `extra` statements and the
   * checkpoint in the same target transaction. Throws DataRefusedError when the secondary refuses the rows.
   */
  async applySteps(steps: readonly Step[], extra: readonly SqlStatement[]): Promise<void> {
    let refused: unknown = null;
    await this.#untilDurable(null, async (session) => {
      for (let again = true; again; ) {
        const statements = compileSteps(steps, session.dialect, (binding) => !this.#copiesRefused(binding));
        try {
          await session.pipeline([BEGIN, ...statements, ...extra, this.#checkpoint(this.#at), COMMIT]);
          return;
        } catch (error) {
          this.#throwIfMoved(error, statements.length + extra.length + CONTROL_STATEMENTS_BEFORE);
          if (classify(error).action !== 'bisect') throw error;
          await session.rollback();
          again = this.#withoutCopy(error, statements);
        }
      }
      try {
        await session.exec('BEGIN');
        await runReplacing(session, steps, () => true);
        await session.pipeline([...extra, this.#checkpoint(this.#at)]);
        await session.exec('COMMIT');
      } catch (error) {
        if (!session.broken) await session.rollback().catch(() => undefined);
        this.#throwIfMoved(error, extra.length);
        if (classify(error).action !== 'bisect') throw error;
        refused = error;
      }
    });
    if (refused !== null) throw new DataRefusedError(refused);
  }

  /** Runs `work` in a target transaction that ends with the checkpoint's epoch check, with the pipeline's retry rules. */
  async inTransaction(work: (session: TargetSession) => Promise<void>): Promise<void> {
    await this.#untilDurable(null, async (session) => {
      try {
        await session.exec('BEGIN');
        // A former attempt whose COMMIT is still running holds this row: its effect is there before ours begins, or never.
        await session.run({
          text: 'SELECT epoch FROM db_redundancy.checkpoint WHERE stream = $1 FOR UPDATE',
          values: [this.#options.stream],
        });
        await work(session);
        await session.pipeline([this.#checkpoint(this.#at)]).catch((error: unknown) => {
          this.#throwIfMoved(error, 0);
          throw error;
        });
        await session.exec('COMMIT');
      } catch (error) {
        if (!session.broken) await session.rollback().catch(() => undefined);
        throw error;
      }
    });
  }

  /** Moves the checkpoint without data (idle progress, lease renewal). */
  async moveCheckpoint(checkpoint: Checkpoint): Promise<void> {
    await this.#untilDurable(checkpoint, async (session) => {
      await session.pipeline([this.#checkpoint(checkpoint)]).catch((error: unknown) => {
        this.#throwIfMoved(error, 0);
        throw error;
      });
    });
  }

  async close(): Promise<void> {
    const session = this.#session;
    this.#session = null;
    await session?.close();
  }

  /** Drops the connection at once: whatever is in flight is rolled back by the server. */
  abandon(): void {
    this.#session?.destroy();
    this.#session = null;
  }

  /**
   * The normal way: one round trip. False when the secondary refused the data, also after its table was made to fit the
   * primary's current schema.
   */
  async #applyFolded(
    session: TargetSession,
    parts: readonly TransactionPart[],
    changes: readonly Change[],
    checkpoint: Checkpoint,
    next: () => readonly TransactionPart[] | null,
  ): Promise<boolean> {
    for (;;) {
      const { steps, statements } = this.#ahead.take(parts) ?? this.#foldAndCompile(changes, session.dialect);
      try {
        const answer = session.pipeline([BEGIN, ...statements, this.#checkpoint(checkpoint), COMMIT]);
        // A turn of the event loop for what has been written to leave.
        await Promise.race([answer, new Promise((resolve) => setImmediate(resolve))]);
        const following = next();
        if (following !== null) this.#ahead.prepare(following);
        const counts = await answer;
        this.#noteMissing(statements, counts.slice(CONTROL_STATEMENTS_BEFORE));
        this.#options.onApplied(parts, steps);
        this.#countRows(statements, parts);
        return true;
      } catch (error) {
        this.#throwIfMoved(error, statements.length + CONTROL_STATEMENTS_BEFORE);
        if (classify(error).action !== 'bisect') throw error;
        await session.rollback();
        if (this.#withoutCopy(error, statements)) continue;
        if (!(await this.#refresh(error, statements, CONTROL_STATEMENTS_BEFORE))) return false;
      }
    }
  }

  /** Looks whether the refused statement's table has changed on the primary in a way that the WAL does not announce. */
  async #refresh(error: unknown, statements: readonly Statement[], offset: number): Promise<boolean> {
    const statement = error instanceof StatementError ? statements[error.index - offset] : undefined;
    const entry = statement?.binding && this.#options.registry.get(statement.binding.relation);
    return entry ? this.#options.refresh(entry) : false;
  }

  #sendPart(session: TargetSession, part: TransactionPart): SentPart {
    const { steps, statements } = this.#foldAndCompile(part.changes, session.dialect);
    const answer = session
      .pipeline([
        { text: 'SAVEPOINT dbr_part', values: [] },
        ...statements,
        { text: 'RELEASE SAVEPOINT dbr_part', values: [] },
      ])
      .then(
        (counts) => ({ counts }),
        (error: unknown) => ({ error }),
      );
    return { part, steps, statements, answer };
  }

  /**
   * Waits for a part, and applies it carefully where its data were refused. False when they were: then nothing of
   * `ahead`, which was sent behind it, has been applied.
   */
  async #partDone(session: TargetSession, sent: SentPart, ahead: SentPart | null): Promise<boolean> {
    const { part, statements, steps } = sent;
    const outcome = await sent.answer;
    if ('error' in outcome) {
      if (classify(outcome.error).action !== 'bisect') throw outcome.error;
      await ahead?.answer;
      await session.exec('ROLLBACK TO SAVEPOINT dbr_part');
      if (this.#withoutCopy(outcome.error, statements)) {
        await this.#partDone(session, this.#sendPart(session, part), null);
        return false;
      }
      this.#options.counters.batchesReordered += 1;
      await applyCarefully(this.#carefulContext(session), [part], part.changes);
    } else this.#noteMissing(statements, outcome.counts.slice(CONTROL_STATEMENTS_BEFORE));
    this.#options.onApplied([part], steps);
    this.#countRows(statements, [part]);
    return !('error' in outcome);
  }

  async #careful(
    session: TargetSession,
    parts: readonly TransactionPart[],
    changes: readonly Change[],
    checkpoint: Checkpoint,
  ): Promise<void> {
    const deadLetters = this.#options.registry.deadLetters;
    const before = new Map(
      this.#options.registry.all().map((entry) => [entry, { state: entry.state, reason: entry.reason }]),
    );
    try {
      await session.exec('BEGIN');
      await applyCarefully(this.#carefulContext(session), parts, changes);
      await session.pipeline([this.#checkpoint(checkpoint)]).catch((error: unknown) => {
        this.#throwIfMoved(error, 0);
        throw error;
      });
      await session.exec('COMMIT');
    } catch (error) {
      // A table that was paused in a transaction that did not commit is not paused.
      for (const [entry, { state, reason }] of before) Object.assign(entry, { state, reason });
      this.#options.registry.deadLetters = deadLetters;
      if (!session.broken) await session.rollback().catch(() => undefined);
      throw error;
    }
    this.#options.onApplied(
      parts,
      fold(changes, (relation) => this.#options.registry.lookup(relation)),
    );
  }

  #foldAndCompile(changes: readonly Change[], dialect: Dialect): Compiled {
    const { registry, stream } = this.#options;
    const steps = fold(changes, (relation) => registry.lookup(relation));
    const isLoading = (binding: Binding) => registry.get(binding.relation)?.state !== 'streaming';
    const mayCopy = (binding: Binding) => !isLoading(binding) && !this.#copiesRefused(binding);
    const statements = [...compileSteps(steps, dialect, mayCopy), ...rereadStatements(steps, stream, isLoading)];
    return { steps, statements };
  }

  #view(relation: Relation): TableView | null {
    const { registry } = this.#options;
    if (!registry.isPrepared(relation)) return null;
    const binding = registry.lookup(relation);
    const copies = binding !== null && this.#copiesRefused(binding);
    return { binding, manner: `${registry.get(relation)?.state} ${copies}` };
  }

  #copiesRefused({ relation }: Binding): boolean {
    const until = this.#noCopy.get(relation.oid) ?? 0;
    return until > this.#options.clock.monotonic();
  }

  /**
   * True when a COPY was refused because a row is there already (a repair brought it, somebody wrote to the standby):
   * the same rows can go in as upserts, and those of the table do for a while.
   */
  #withoutCopy(error: unknown, statements: readonly Statement[]): boolean {
    const failed = error instanceof StatementError ? statements[error.index - CONTROL_STATEMENTS_BEFORE] : undefined;
    if (failed?.copy === undefined || !failed.binding || this.#copiesRefused(failed.binding)) return false;
    this.#noCopy.set(failed.binding.relation.oid, this.#options.clock.monotonic() + NO_COPY_MS);
    return true;
  }

  #carefulContext(session: TargetSession): CarefulContext {
    const { stream, registry, onError, onMissing, log } = this.#options;
    return { session, stream, registry, onError, onMissing, log };
  }

  /**
   * Retries `attempt` until it succeeds; after an unclear outcome the checkpoint on the secondary decides.
   * @param goal where a successful attempt leaves the checkpoint; null: where it is
   * @returns true when an attempt whose answer was lost turned out to have reached the goal
   */
  async #untilDurable(goal: Checkpoint | null, attempt: (session: TargetSession) => Promise<void>): Promise<boolean> {
    const { backoff, clock, counters, log, signal } = this.#options;
    let unclear = false;
    for (;;) {
      signal.throwIfAborted();
      try {
        const session = await this.#connected();
        if (unclear && (await this.#reread(session, goal))) {
          this.#recovered(backoff);
          return true;
        }
        unclear = false;
        await attempt(session);
        this.#at = goal ?? this.#at;
        this.#recovered(backoff);
        return false;
      } catch (error) {
        if (error instanceof FencedError || error instanceof StreamHaltError) throw error;
        unclear = true;
        if (error instanceof CheckpointMovedError) {
          await this.#session?.rollback().catch(() => this.abandon());
          continue;
        }
        const verdict = classify(error);
        if (verdict.action === 'halt' || verdict.action === 'bisect') throw this.#halted(error);
        counters.batchRetries += 1;
        const lost = verdict.action === 'reread-checkpoint' || verdict.sqlstate === '25006';
        if (this.#session && (this.#session.broken || lost)) this.abandon();
        else if (this.#session) await this.#session.rollback().catch(() => this.abandon());
        const waitMs = backoff.next();
        const reason = error instanceof Error ? error.message : String(error);
        this.#options.onTrouble(`${reason} (${verdict.hint})`);
        log.warn(
          { sqlstate: verdict.sqlstate, err: error, waitMs },
          'Apply on the secondary failed and is tried again',
        );
        await clock.sleep(waitMs, signal);
      }
    }
  }

  /** Where the checkpoint really is. True when it has reached the goal already. Throws FencedError when it is not ours. */
  async #reread(session: TargetSession, goal: Checkpoint | null): Promise<boolean> {
    const found = await readCheckpoint(session, this.#options.stream);
    if (!found || found.epoch !== this.#options.epoch) throw fenced(this.#options.epoch, found?.epoch ?? null);
    const moved = found.lsn !== this.#at.lsn || found.partialChanges !== this.#at.partialChanges;
    this.#at = found;
    return moved && goal !== null && found.lsn === goal.lsn && found.partialChanges === goal.partialChanges;
  }

  #recovered(backoff: Backoff): void {
    this.#session?.done();
    if (backoff.attempt > 0) {
      backoff.reset();
      this.#options.onTrouble(null);
    }
  }

  async #connected(): Promise<TargetSession> {
    if (this.#session?.broken) this.#session = null;
    this.#session ??= await this.#options.connect();
    return this.#session;
  }

  #checkpoint(checkpoint: Checkpoint) {
    return checkpointStatement(this.#options.stream, this.#options.epoch, checkpoint, this.#at);
  }

  /** 22012 from the checkpoint statement, and from no other, means that the checkpoint has moved without us. */
  #throwIfMoved(error: unknown, checkpointIndex: number): void {
    if (error instanceof StatementError && error.index === checkpointIndex && classify(error).sqlstate === '22012') {
      throw new CheckpointMovedError('The checkpoint was moved by another transaction.', { cause: error });
    }
  }

  #halted(error: unknown): StreamHaltError {
    const verdict = classify(error);
    const reason = error instanceof Error ? error.message : String(error);
    return new StreamHaltError(`The secondary refused the stream's transaction: ${reason}`, {
      code: 'apply-halted',
      remedy: verdict.hint,
      cause: error,
    });
  }

  #noteMissing(statements: readonly Statement[], counts: readonly number[]): void {
    statements.forEach((statement, i) => {
      if (statement.mustMatch && statement.binding && (counts[i] ?? 0) < statement.rows)
        this.#options.onMissing(statement.binding, statement.mustMatch);
    });
  }

  #countRows(statements: readonly Statement[], parts: readonly TransactionPart[]): void {
    const at = parts.at(-1)?.commitAtMs ?? null;
    for (const { binding, rows } of statements) {
      const entry = binding && this.#options.registry.get(binding.relation);
      if (!entry) continue;
      entry.rowsApplied += rows;
      entry.lastChangeAtMs = at;
      this.#options.counters.rowsApplied += rows;
    }
  }
}

function fenced(ours: number, theirs: number | null, cause?: unknown): FencedError {
  const now = theirs === null ? 'has moved on' : `is ${theirs} now`;
  return new FencedError(`Another process leads this stream: its epoch ${now}, ours was ${ours}.`, cause);
}
