/**
 * A large transaction, applied as its parts arrive, in one target transaction. While the secondary works on one part the
 * next is made ready and sent; memory holds these two.
 */
import type { Checkpoint } from '../apply/checkpoint.js';
import { StatementError, type TargetSession } from '../apply/target-session.js';
import { crashPoint } from '../core/crash-points.js';
import { FencedError, StreamHaltError } from '../core/errors.js';
import { classify } from '../core/policy.js';
import type { ApplierOptions } from './applier-options.js';
import { CheckpointMovedError, halted, RestartFromCheckpoint, throwIfMoved } from './apply-errors.js';
import { applyCarefully, type CarefulContext } from './careful.js';
import type { Statement } from './compile.js';
import { placeOf } from './dead-letter.js';
import { deferredHalt, describeRefusal, reportOf } from './deferred.js';
import type { DurableTarget } from './durable.js';
import type { TransactionPart } from './entries.js';
import type { Step } from './fold.js';
import type { Forms } from './forms.js';
import type { TableEntry } from './registry.js';
import { countRows, tellMissing } from './tell.js';

/** Where the parts of a large transaction come from. */
export interface PartSource {
  /** The following part, as soon as it is there. */
  next(): Promise<TransactionPart>;
  /** Whether everything that it needs to know of the tables is known. */
  isPrepared(part: TransactionPart): boolean;
  /** Makes it known. @returns the part as it is to be applied */
  prepare(part: TransactionPart): Promise<TransactionPart>;
}

/** A part on its way to the secondary. */
interface PartFlight {
  readonly part: TransactionPart;
  readonly steps: readonly Step[] | null;
  readonly statements: readonly Statement[];
  /** Null: nothing was sent, because the part has no simple way. */
  readonly answer: Promise<readonly number[]> | null;
}

/** Labels were renamed meanwhile. The secondary's cannot be, for as long as its own transaction uses the type. */
class RelabeledError extends Error {
  constructor(readonly table: TableEntry) {
    super('Labels of an enum were renamed');
  }
}

const NO_SIMPLE_WAY = Symbol('no simple way');
const COMMIT = { text: 'COMMIT', values: [] };

export class LargeTransaction {
  readonly #options: ApplierOptions;
  readonly #target: DurableTarget;
  readonly #forms: Forms;
  readonly #session: TargetSession;

  /** @param session the target's own */
  constructor(options: ApplierOptions, target: DurableTarget, forms: Forms, session: TargetSession) {
    this.#options = options;
    this.#target = target;
    this.#forms = forms;
    this.#session = session;
  }

  /**
   * @param checkpointOf where the stream stands when the last part, the one with `commit`, is durable
   * @throws RestartFromCheckpoint for what may succeed when the transaction is read again
   */
  async apply(
    first: TransactionPart,
    parts: PartSource,
    checkpointOf: (last: TransactionPart) => Checkpoint,
  ): Promise<void> {
    const session = this.#session;
    const { counters } = this.#options;
    const started = performance.now();
    try {
      await session.exec(session.dialect.beginPartsSql);
      const last = await this.#all(first, parts);
      const checkpoint = checkpointOf(last);
      crashPoint('large:before-commit');
      await session.pipeline([this.#target.checkpoint(checkpoint), COMMIT]).catch(async (error: unknown) => {
        throwIfMoved(error, 0);
        if (error instanceof StatementError && error.index === 1 && classify(error).action === 'bisect')
          await this.#giveUpAtCommit(error, placeOf(last));
        throw error;
      });
      this.#target.arrived(checkpoint, session);
      counters.batchesApplied += 1;
      counters.transactionsApplied += 1;
      counters.applySecondsTotal += (performance.now() - started) / 1000;
    } catch (error) {
      // Also where the target was closed meanwhile, and has let go of it.
      session.destroy();
      this.#target.abandon();
      throw await this.#endOf(error);
    }
  }

  /** @returns the last part, when all of them are applied */
  async #all(first: TransactionPart, parts: PartSource): Promise<TransactionPart> {
    let part = first;
    let flying: PartFlight | null = null;
    for (;;) {
      let flight = this.#send(part);
      if (flying && !(await this.#landed(flying, flight))) flight = this.#send(part);
      flying = flight;
      if (part.commit) break;
      const following = await parts.next();
      // What makes a table another one has to find every part before it applied.
      if (flying.answer === null || !parts.isPrepared(following)) {
        await this.#landed(flying, null);
        flying = null;
      }
      part = await parts.prepare(following);
    }
    await this.#landed(flying, null);
    return part;
  }

  /** Its answer says whether everything of it was done. */
  #send(part: TransactionPart): PartFlight {
    const steps = this.#forms.folded(part.changes);
    if (steps === null) return { part, steps, statements: [], answer: null };
    const statements = this.#forms.ofStream(steps, this.#session);
    const answer = this.#session.pipeline([
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
  async #landed(flight: PartFlight, behind: PartFlight | null): Promise<boolean> {
    const refused = await this.#refusalOf(flight);
    if (refused === null) return true;
    await behind?.answer?.catch(() => undefined);
    if (flight.answer !== null) await this.#session.exec('ROLLBACK TO SAVEPOINT dbr_part');
    if (this.#forms.hasAnother(refused, flight.statements)) {
      await this.#landed(this.#send(flight.part), null);
      return false;
    }
    const entry = this.#forms.refusedTable(refused, flight.statements);
    if (entry && (await this.#options.relabeled(entry))) throw new RelabeledError(entry);
    this.#options.counters.batchesReordered += 1;
    const context: CarefulContext = { ...this.#options, session: this.#session };
    await applyCarefully(context, [flight.part], flight.part.changes);
    this.#applied(flight);
    return behind?.answer === null;
  }

  /** Why the part was refused: the server's error, or that it has to be applied carefully. Null: it was applied. */
  async #refusalOf(flight: PartFlight): Promise<unknown> {
    if (flight.answer === null) return NO_SIMPLE_WAY;
    try {
      tellMissing(this.#options, flight.statements, await flight.answer);
      this.#applied(flight);
      return null;
    } catch (error) {
      if (classify(error).action !== 'bisect') throw error;
      return error;
    }
  }

  #applied({ part, statements, steps }: PartFlight): void {
    this.#options.onApplied([part], steps ?? this.#forms.folded(part.changes) ?? []);
    countRows(this.#options, statements, [part]);
  }

  /**
   * The transaction breaks a constraint that is checked at COMMIT, and its changes are not in memory any more: the
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

  /** What an error means for the stream. */
  async #endOf(error: unknown): Promise<unknown> {
    if (error instanceof FencedError || error instanceof StreamHaltError || error instanceof RestartFromCheckpoint)
      return error;
    if (error instanceof RelabeledError) {
      await this.#options.refresh(error.table);
      const why = 'A large transaction begins anew, because labels of an enum were renamed';
      return new RestartFromCheckpoint(why, { cause: error });
    }
    const verdict = classify(error);
    // Refused rows were dealt with part by part, a constraint that is checked at COMMIT above: this would be refused again.
    const refused = verdict.action === 'halt' || verdict.action === 'bisect';
    if (refused && !(error instanceof CheckpointMovedError)) return halted(error);
    return new RestartFromCheckpoint(`A large transaction was interrupted (${verdict.hint})`, { cause: error });
  }
}
