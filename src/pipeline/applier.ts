/**
 * Applies transactions to the secondary: data, dead letters and checkpoint in one target transaction. The normal way is
 * one pipelined round trip; anything that a server refuses is searched for, row by row if need be, in the careful way.
 */
import type { Checkpoint } from '../apply/checkpoint.js';
import type { SqlStatement, TargetSession } from '../apply/target-session.js';
import type { Change } from '../core/change.js';
import { crashPoint } from '../core/crash-points.js';
import { classify } from '../core/policy.js';
import type { ApplierOptions } from './applier-options.js';
import { DataRefusedError, RestartFromCheckpoint, throwIfMoved } from './apply-errors.js';
import { applyTransactions } from './deferred.js';
import { DurableTarget } from './durable.js';
import type { TransactionPart } from './entries.js';
import type { Step } from './fold.js';
import { CONTROL_STATEMENTS_BEFORE, Forms } from './forms.js';
import { LargeTransaction, type PartSource } from './large.js';
import { type Ready, remembered } from './ready.js';
import { runReplacing } from './replace.js';
import { countRows, tellMissing } from './tell.js';

const BEGIN = { text: 'BEGIN', values: [] };
const COMMIT = { text: 'COMMIT', values: [] };

export class Applier {
  readonly #options: ApplierOptions;
  readonly #target: DurableTarget;
  readonly #forms: Forms;

  constructor(options: ApplierOptions) {
    this.#options = options;
    this.#target = new DurableTarget(options);
    this.#forms = new Forms(options);
  }

  /** Folds and compiles a batch whose turn has not come; null when there is no connection, or no simple way to apply it. */
  ready(parts: readonly TransactionPart[]): Ready | null {
    const { session } = this.#target;
    if (session === null) return null;
    const holds = remembered(parts, this.#options.registry);
    const steps = this.#forms.folded(changesOf(parts));
    if (steps === null) return null;
    const statements = this.#forms.ofStream(steps, session);
    const same = this.#forms.remember(statements);
    return { parts, steps, statements, holds: () => this.#target.session === session && same() && holds() };
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
    const { counters, onApplied } = this.#options;
    const changes = changesOf(parts);
    let careful = false;
    const started = performance.now();
    const found = await this.#target.untilDurable(checkpoint, async (session) => {
      if (!careful && (await this.#applyFolded(session, parts, changes, checkpoint, ready))) return;
      careful = true;
      counters.batchesReordered += 1;
      await this.#applyCarefully(session, parts, changes, checkpoint);
    });
    // Applied by an attempt whose answer was lost: those who follow along must know all the same.
    if (found) {
      // Tables that it paused are paused on the secondary, and not here.
      if (careful)
        throw new RestartFromCheckpoint('A batch with refused changes was applied, but its answer was lost.');
      onApplied(parts, this.#forms.fold(changes));
    }
    const seconds = (performance.now() - started) / 1000;
    counters.applySecondsTotal += seconds;
    counters.lastBatchSeconds = seconds;
    counters.batchesApplied += 1;
    counters.transactionsApplied += parts.filter((part) => part.commit !== null).length;
  }

  /**
   * Applies a large transaction as its parts arrive, the last of which has `commit`.
   * @throws RestartFromCheckpoint on a retryable failure
   */
  async applyLarge(
    first: TransactionPart,
    parts: PartSource,
    checkpointOf: (last: TransactionPart) => Checkpoint,
  ): Promise<void> {
    const session = await this.#target.connected();
    const transaction = new LargeTransaction(this.#options, this.#target, this.#forms, session);
    await transaction.apply(first, parts, checkpointOf);
  }

  /**
   * Applies steps that do not come from the stream (a chunk at its upper watermark), with `extra` statements and the
   * checkpoint in the same target transaction. Throws DataRefusedError when the secondary refuses the rows.
   */
  async applySteps(steps: readonly Step[], extra: readonly SqlStatement[]): Promise<void> {
    let refused: unknown = null;
    await this.#target.untilDurable(null, async (session) => {
      if (await this.#tryChunk(session, steps, extra)) return;
      try {
        await session.exec('BEGIN');
        await runReplacing(session, steps, () => true);
        await session.pipeline([...extra, this.#target.checkpoint()]);
        await session.exec('COMMIT');
      } catch (error) {
        if (!session.broken) await session.rollback().catch(() => undefined);
        throwIfMoved(error, extra.length);
        if (classify(error).action !== 'bisect') throw error;
        refused = error;
      }
    });
    if (refused !== null) throw new DataRefusedError(refused);
  }

  /** {@link DurableTarget.inTransaction} */
  inTransaction(work: (session: TargetSession) => Promise<void>): Promise<void> {
    return this.#target.inTransaction(work);
  }

  /** Moves the checkpoint without data (idle progress, lease renewal). */
  async moveCheckpoint(checkpoint: Checkpoint): Promise<void> {
    await this.#target.untilDurable(checkpoint, (session) => this.#target.moveCheckpoint(session, checkpoint));
  }

  close(): Promise<void> {
    return this.#target.close();
  }

  /** Drops the connection at once: whatever is in flight is rolled back by the server. */
  abandon(): void {
    this.#target.abandon();
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
      const steps = made?.steps ?? this.#forms.folded(changes);
      if (steps === null) return false;
      const statements = made?.statements ?? this.#forms.ofStream(steps, session);
      try {
        const counts = await session.pipeline([BEGIN, ...statements, this.#target.checkpoint(checkpoint), COMMIT]);
        tellMissing(this.#options, statements, counts);
        this.#options.onApplied(parts, steps);
        countRows(this.#options, statements, parts);
        return true;
      } catch (error) {
        throwIfMoved(error, statements.length + CONTROL_STATEMENTS_BEFORE);
        if (classify(error).action !== 'bisect') throw error;
        await session.rollback();
        if (this.#forms.hasAnother(error, statements)) continue;
        // The table may have changed on the primary in a way that the WAL does not announce.
        const entry = this.#forms.refusedTable(error, statements);
        if (!entry || !(await this.#options.refresh(entry))) return false;
      }
    }
  }

  async #applyCarefully(
    session: TargetSession,
    parts: readonly TransactionPart[],
    changes: readonly Change[],
    checkpoint: Checkpoint,
  ): Promise<void> {
    const forget = this.#options.registry.remember();
    try {
      await session.exec('BEGIN');
      crashPoint('careful:begun');
      await applyTransactions({ ...this.#options, session }, parts);
      await this.#target.moveCheckpoint(session, checkpoint);
      crashPoint('careful:before-commit');
      await session.exec('COMMIT');
      crashPoint('careful:durable');
    } catch (error) {
      // A table that was paused in a transaction that did not commit is not paused.
      forget();
      if (!session.broken) await session.rollback().catch(() => undefined);
      throw error;
    }
    this.#options.onApplied(parts, this.#forms.fold(changes));
  }

  /** False when the secondary refuses rows. Rows that should be new to it go in by COPY, and where one is not, without. */
  async #tryChunk(session: TargetSession, steps: readonly Step[], extra: readonly SqlStatement[]): Promise<boolean> {
    for (;;) {
      const statements = this.#forms.ofChunk(steps, session);
      try {
        await session.pipeline([BEGIN, ...statements, ...extra, this.#target.checkpoint(), COMMIT]);
        return true;
      } catch (error) {
        throwIfMoved(error, statements.length + extra.length + CONTROL_STATEMENTS_BEFORE);
        if (classify(error).action !== 'bisect') throw error;
        await session.rollback();
        if (!this.#forms.hasAnother(error, statements)) return false;
      }
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
