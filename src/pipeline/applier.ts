/**
 * Applies transactions to the secondary: data, dead letters and checkpoint in one target transaction. The normal way is
 * one pipelined round trip; anything that a server refuses is searched for, row by row if need be, in the careful way.
 */
import type { Checkpoint } from '../apply/checkpoint.js';
import { checkpointStatement, readCheckpoint } from '../apply/checkpoint.js';
import type { CopyFormat } from '../apply/statements.js';
import { type SqlStatement, StatementError, type TargetSession } from '../apply/target-session.js';
import type { Backoff } from '../core/backoff.js';
import type { Change, Row } from '../core/change.js';
import type { Clock } from '../core/clock.js';
import { crashPoint } from '../core/crash-points.js';
import { FencedError, StreamHaltError, UnfitChangeError } from '../core/errors.js';
import type { Log } from '../core/log.js';
import { classify, spoilsSession } from '../core/policy.js';
import type { StreamCounters } from '../core/status.js';
import type { Binding } from './binding.js';
import { applyCarefully, type CarefulContext } from './careful.js';
import { compileSteps, rereadStatements, type Statement } from './compile.js';
import { placeOf } from './dead-letter.js';
import { applyTransactions, deferredHalt, describeRefusal, reportOf } from './deferred.js';
import type { TransactionPart } from './entries.js';
import { fold, type Step } from './fold.js';
import { type Ready, remembered } from './ready.js';
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
  /** True when labels of the table's enums were renamed: a refresh will help. */
  readonly relabeled: (entry: TableEntry) => Promise<boolean>;
  readonly pauseTable: (entry: TableEntry, reason: string) => Promise<void>;
  /** Sees what a committed transaction changed, for the windows of running chunks. */
  readonly onApplied: (parts: readonly TransactionPart[], steps: readonly Step[]) => void;
  /** The secondary cannot be reached, or can be again (null). */
  readonly onTrouble: (reason: string | null) => void;
  /** The checkpoint as it was when the epoch was taken. */
  readonly start: Checkpoint;
}

/** The checkpoint is not where we left it: the epoch was taken, or a COMMIT that seemed lost has taken effect. */
class CheckpointMovedError extends Error {}

/** The target transaction is lost and its rows are not in memory any more: read them again from the checkpoint. */
export class RestartFromCheckpoint extends Error {}

/** Labels were renamed inside a large transaction. The secondary's cannot be, for as long as its own transaction uses the type. */
class RelabeledError extends Error {
  constructor(readonly table: TableEntry) {
    super('Labels of an enum were renamed');
  }
}

/** The secondary refuses rows of a chunk: a matter of their table, not of the stream. */
export class DataRefusedError extends Error {
  constructor(cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

/** Where the parts of a large transaction come from. */
export interface PartSource {
  /** The following part, as soon as it is there. */
  next(): Promise<TransactionPart>;
  /** Whether everything that it needs to know of the tables is known. */
  isPrepared(part: TransactionPart): boolean;
  /** Makes it known. @returns the part as it is to be applied */
  prepare(part: TransactionPart): Promise<TransactionPart>;
}

interface PartFlight {
  readonly part: TransactionPart;
  readonly steps: readonly Step[] | null;
  readonly statements: readonly Statement[];
  /** Null: nothing was sent, because the part has no simple way. */
  readonly answer: Promise<readonly number[]> | null;
}

const NO_SIMPLE_WAY = Symbol('no simple way');

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
  /** The same of tables whose columns had other types than were known. */
  readonly #noBinary = new Map<number, number>();

  constructor(options: ApplierOptions) {
    this.#options = options;
    this.#at = options.start;
  }

  /** Folds and compiles a batch whose turn has not come; null when there is no connection, or no simple way to apply it. */
  ready(parts: readonly TransactionPart[]): Ready | null {
    const session = this.#session;
    if (session === null) return null;
    const holds = remembered(parts, this.#options.registry);
    const steps = this.#folded(changesOf(parts));
    if (steps === null) return null;
    const statements = this.#compile(steps, session);
    const copied = statements.filter(({ copy }) => copy !== undefined);
    const formats = copied.map(({ binding }) => binding && this.#copyFormat(binding));
    const same = () => copied.every(({ binding }, i) => (binding && this.#copyFormat(binding)) === formats[i]);
    return { parts, steps, statements, holds: () => this.#session === session && same() && holds() };
  }

  /**
   * Applies whole transactions as one target transaction, retrying until it is durable.
   * @param ready the same parts, made ready before
   */
  async applyBatch(
    parts: readonly TransactionPart[],
    checkpoint: Checkpoint,
    ready: Ready | null = null,
  ): Promise<void> {
    const { counters } = this.#options;
    const changes = changesOf(parts);
    let careful = false;
    const started = performance.now();
    const found = await this.#untilDurable(checkpoint, async (session) => {
      if (!careful && (await this.#applyFolded(session, parts, changes, checkpoint, ready))) return;
      careful = true;
      counters.batchesReordered += 1;
      await this.#careful(session, parts, changes, checkpoint);
    });
    // Applied by an attempt whose answer was lost: those who follow along must know all the same.
    if (found) {
      // Tables that it paused are paused on the secondary, and not here.
      if (careful)
        throw new RestartFromCheckpoint('A batch with refused changes was applied, but its answer was lost.');
      this.#options.onApplied(
        parts,
        fold(changes, (relation) => this.#options.registry.lookup(relation)),
      );
    }
    const seconds = (performance.now() - started) / 1000;
    counters.applySecondsTotal += seconds;
    counters.lastBatchSeconds = seconds;
    counters.batchesApplied += 1;
    counters.transactionsApplied += parts.filter((part) => part.commit !== null).length;
  }

  /**
   * Applies a large transaction as its parts arrive, the last of which has `commit`. While the secondary works on one the
   * next is made ready and sent; memory holds these two. On a retryable failure throws RestartFromCheckpoint.
   */
  async applyLarge(
    first: TransactionPart,
    parts: PartSource,
    checkpointOf: (last: TransactionPart) => Checkpoint,
  ): Promise<void> {
    const session = await this.#connected();
    const { counters } = this.#options;
    const started = performance.now();
    try {
      await session.exec(session.dialect.beginPartsSql);
      let part = first;
      let flying: PartFlight | null = null;
      for (;;) {
        let flight = this.#send(session, part);
        if (flying && !(await this.#landed(session, flying, flight))) flight = this.#send(session, part);
        flying = flight;
        if (part.commit) break;
        const following = await parts.next();
        // What makes a table another one has to find every part before it applied.
        if (flying.answer === null || !parts.isPrepared(following)) {
          await this.#landed(session, flying, null);
          flying = null;
        }
        part = await parts.prepare(following);
      }
      await this.#landed(session, flying, null);
      const checkpoint = checkpointOf(part);
      crashPoint('large:before-commit');
      await session.pipeline([this.#checkpoint(checkpoint), COMMIT]).catch(async (error: unknown) => {
        this.#throwIfMoved(error, 0);
        if (error instanceof StatementError && error.index === 1 && classify(error).action === 'bisect')
          await this.#giveUpAtCommit(error, placeOf(part));
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
      if (error instanceof FencedError || error instanceof StreamHaltError || error instanceof RestartFromCheckpoint)
        throw error;
      if (error instanceof RelabeledError) {
        await this.#options.refresh(error.table);
        throw new RestartFromCheckpoint('A large transaction begins anew, because labels of an enum were renamed', {
          cause: error,
        });
      }
      const verdict = classify(error);
      // Refused rows were dealt with part by part, a constraint that is checked at COMMIT above: this would be refused again.
      const refused = verdict.action === 'halt' || verdict.action === 'bisect';
      if (refused && !(error instanceof CheckpointMovedError)) throw this.#halted(error);
      throw new RestartFromCheckpoint(`A large transaction was interrupted (${verdict.hint})`, { cause: error });
    }
  }

  /**
   * A large transaction breaks a constraint that is checked at COMMIT, and its changes are not in memory any more: the
   * constraint's table is paused, and the transaction is read again without it.
   */
  async #giveUpAtCommit(error: StatementError, place: string): Promise<void> {
    const { onError, pauseTable, registry } = this.#options;
    const report = reportOf(error);
    const entry = report && registry.get({ schema: report.schema, name: report.table });
    // Broken from the other end of a foreign key, perhaps: nobody knows from which, and the table named is paused already.
    if (onError === 'halt' || !entry || entry.state === 'paused') throw deferredHalt(error, place);
    const what = describeRefusal(error);
    await pauseTable(entry, `a large transaction (${place}) was refused by the secondary at its end: ${what}`);
    throw new RestartFromCheckpoint('A table was paused under a large transaction, which is read again.', {
      cause: error,
    });
  }

  /**
   * Applies steps that do not come from the stream (a chunk at its upper watermark), with `extra` statements and the
   * checkpoint in the same target transaction. Throws DataRefusedError when the secondary refuses the rows.
   */
  async applySteps(steps: readonly Step[], extra: readonly SqlStatement[]): Promise<void> {
    let refused: unknown = null;
    await this.#untilDurable(null, async (session) => {
      if (await this.#tryChunk(session, steps, extra)) return;
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

  /** False when the secondary refuses rows. Rows that should be new to it go in by COPY, and where one is not, without. */
  async #tryChunk(session: TargetSession, steps: readonly Step[], extra: readonly SqlStatement[]): Promise<boolean> {
    for (;;) {
      const statements = compileSteps(steps, session.dialect, (binding) => this.#copyFormat(binding));
      try {
        await session.pipeline([BEGIN, ...statements, ...extra, this.#checkpoint(this.#at), COMMIT]);
        return true;
      } catch (error) {
        this.#throwIfMoved(error, statements.length + extra.length + CONTROL_STATEMENTS_BEFORE);
        if (classify(error).action !== 'bisect') throw error;
        await session.rollback();
        if (!this.#withoutCopy(error, statements)) return false;
      }
    }
  }

  /**
   * Runs `work` in a target transaction that ends with the checkpoint's epoch check, with the pipeline's retry rules.
   * Throws DataRefusedError when the secondary refuses the rows.
   */
  async inTransaction(work: (session: TargetSession) => Promise<void>): Promise<void> {
    let refused: unknown = null;
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
        if (error instanceof CheckpointMovedError || classify(error).action !== 'bisect') throw error;
        refused = error;
      }
    });
    if (refused !== null) throw new DataRefusedError(refused);
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
   * primary's current schema, or when a change does not say which row it means.
   */
  async #applyFolded(
    session: TargetSession,
    parts: readonly TransactionPart[],
    changes: readonly Change[],
    checkpoint: Checkpoint,
    ready: Ready | null,
  ): Promise<boolean> {
    for (;;) {
      const made = ready?.holds() ? ready : null;
      const steps = made?.steps ?? this.#folded(changes);
      if (steps === null) return false;
      const statements = made?.statements ?? this.#compile(steps, session);
      try {
        const counts = await session.pipeline([BEGIN, ...statements, this.#checkpoint(checkpoint), COMMIT]);
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

  /** Null when a change does not say which row it means: the careful way finds it. */
  #folded(changes: readonly Change[]): Step[] | null {
    try {
      return fold(changes, (relation) => this.#options.registry.lookup(relation));
    } catch (error) {
      if (error instanceof UnfitChangeError) return null;
      throw error;
    }
  }

  /** Looks whether the refused statement's table has changed on the primary in a way that the WAL does not announce. */
  async #refresh(error: unknown, statements: readonly Statement[], offset: number): Promise<boolean> {
    const entry = this.#refusedTable(error, statements, offset);
    return entry ? this.#options.refresh(entry) : false;
  }

  #refusedTable(error: unknown, statements: readonly Statement[], offset: number): TableEntry | null | undefined {
    const statement = error instanceof StatementError ? statements[error.index - offset] : undefined;
    return statement?.binding && this.#options.registry.get(statement.binding.relation);
  }

  /** A part on its way to the secondary. Its answer says whether everything of it was done. */
  #send(session: TargetSession, part: TransactionPart): PartFlight {
    const steps = this.#folded(part.changes);
    if (steps === null) return { part, steps, statements: [], answer: null };
    const statements = this.#compile(steps, session);
    const answer = session.pipeline([
      { text: 'SAVEPOINT dbr_part', values: [] },
      ...statements,
      { text: 'RELEASE SAVEPOINT dbr_part', values: [] },
    ]);
    // Awaited when its turn comes; until then a failure must not count as unhandled.
    answer.catch(() => undefined);
    return { part, steps, statements, answer };
  }

  /**
   * Waits for a part's answer, and does what a refused part needs. `behind` has been sent after it: the server refuses it
   * as well then, and it is to be sent again (false).
   */
  async #landed(session: TargetSession, flight: PartFlight, behind: PartFlight | null): Promise<boolean> {
    const refused = await this.#refusalOf(flight);
    if (refused === null) return true;
    await behind?.answer?.catch(() => undefined);
    if (flight.answer !== null) await session.exec('ROLLBACK TO SAVEPOINT dbr_part');
    if (this.#withoutCopy(refused, flight.statements)) {
      await this.#landed(session, this.#send(session, flight.part), null);
      return false;
    }
    const entry = this.#refusedTable(refused, flight.statements, CONTROL_STATEMENTS_BEFORE);
    if (entry && (await this.#options.relabeled(entry))) throw new RelabeledError(entry);
    this.#options.counters.batchesReordered += 1;
    await applyCarefully(this.#carefulContext(session), [flight.part], flight.part.changes);
    this.#partApplied(flight);
    return behind?.answer === null;
  }

  /** Why the part was refused: the server's error, or that it has to be applied carefully. Null: it was applied. */
  async #refusalOf(flight: PartFlight): Promise<unknown> {
    if (flight.answer === null) return NO_SIMPLE_WAY;
    try {
      const counts = await flight.answer;
      this.#noteMissing(flight.statements, counts.slice(CONTROL_STATEMENTS_BEFORE));
      this.#partApplied(flight);
      return null;
    } catch (error) {
      if (classify(error).action !== 'bisect') throw error;
      return error;
    }
  }

  #partApplied({ part, statements, steps }: PartFlight): void {
    this.#options.onApplied([part], steps ?? this.#folded(part.changes) ?? []);
    this.#countRows(statements, [part]);
  }

  async #careful(
    session: TargetSession,
    parts: readonly TransactionPart[],
    changes: readonly Change[],
    checkpoint: Checkpoint,
  ): Promise<void> {
    const forget = this.#options.registry.remember();
    try {
      await session.exec('BEGIN');
      crashPoint('careful:begun');
      await applyTransactions(this.#carefulContext(session), parts);
      await session.pipeline([this.#checkpoint(checkpoint)]).catch((error: unknown) => {
        this.#throwIfMoved(error, 0);
        throw error;
      });
      crashPoint('careful:before-commit');
      await session.exec('COMMIT');
      crashPoint('careful:durable');
    } catch (error) {
      // A table that was paused in a transaction that did not commit is not paused.
      forget();
      if (!session.broken) await session.rollback().catch(() => undefined);
      throw error;
    }
    this.#options.onApplied(
      parts,
      fold(changes, (relation) => this.#options.registry.lookup(relation)),
    );
  }

  #compile(steps: readonly Step[], session: TargetSession): Statement[] {
    const { registry, stream } = this.#options;
    const isLoading = (binding: Binding) => registry.get(binding.relation)?.state !== 'streaming';
    const copies = (binding: Binding) => (isLoading(binding) ? null : this.#copyFormat(binding));
    return [...compileSteps(steps, session.dialect, copies), ...rereadStatements(steps, stream, isLoading)];
  }

  #copyFormat({ relation }: Binding): CopyFormat | null {
    const now = this.#options.clock.monotonic();
    const refused = (until: ReadonlyMap<number, number>) => (until.get(relation.oid) ?? 0) > now;
    if (refused(this.#noCopy)) return null;
    return refused(this.#noBinary) ? 'text' : 'binary';
  }

  /**
   * True when a COPY was refused because a row is there already (a repair brought it, somebody wrote to the standby), or
   * one in binary because columns have other types now: the same rows can go in as upserts, or as text, and those of the
   * table do for a while.
   */
  #withoutCopy(error: unknown, statements: readonly Statement[]): boolean {
    const failed = error instanceof StatementError ? statements[error.index - CONTROL_STATEMENTS_BEFORE] : undefined;
    const until = this.#options.clock.monotonic() + NO_COPY_MS;
    if (failed?.checks) {
      const inBinary = failed.checks.filter((binding) => this.#copyFormat(binding) === 'binary');
      for (const { relation } of inBinary) this.#noBinary.set(relation.oid, until);
      return inBinary.length > 0;
    }
    if (failed?.copy === undefined || !failed.binding || this.#copyFormat(failed.binding) === null) return false;
    this.#noCopy.set(failed.binding.relation.oid, until);
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
        if (this.#session && (this.#session.broken || spoilsSession(verdict))) this.abandon();
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

function changesOf(parts: readonly TransactionPart[]): readonly Change[] {
  const [only] = parts;
  if (only && parts.length === 1) return only.changes;
  const all: Change[] = [];
  for (const { changes } of parts) for (const change of changes) all.push(change);
  return all;
}

function fenced(ours: number, theirs: number | null, cause?: unknown): FencedError {
  const now = theirs === null ? 'has moved on' : `is ${theirs} now`;
  return new FencedError(`Another process leads this stream: its epoch ${now}, ours was ${ours}.`, cause);
}
