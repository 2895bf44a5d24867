/**
 * The careful way through a batch that the secondary refused, or that holds a change which does not say its row: the whole of it with rows taken out and put back, then
 * halves of it in source order, down to the single change at fault. That change becomes a dead letter and its table is
 * paused, in the same target transaction as everything else (G9), or the stream halts, as DB_APPLY_ON_ERROR says.
 */
import type { TargetSession } from '../apply/target-session.js';
import type { Change } from '../core/change.js';
import { StreamHaltError, UnfitChangeError } from '../core/errors.js';
import { displayName } from '../core/ident.js';
import type { Log } from '../core/log.js';
import { classify } from '../core/policy.js';
import type { Binding } from './binding.js';
import { compileSteps, rereadStatements } from './compile.js';
import { article, keepDeadLetter, partAt, pauseWithLetter, placeOf } from './dead-letter.js';
import type { TransactionPart } from './entries.js';
import { fold, type Step } from './fold.js';
import type { TableRegistry } from './registry.js';
import { canReplace, type OnMissing, runReplacing } from './replace.js';

export interface CarefulContext {
  readonly session: TargetSession;
  readonly stream: string;
  readonly registry: TableRegistry;
  readonly onError: 'pause-table' | 'halt';
  readonly log: Log;
  /** Patches and moves that found no row. Called inside the open transaction: what is rolled back is read again for nothing. */
  readonly onMissing: OnMissing;
}

/** Applies inside the caller's open transaction. Throws StreamHaltError, or an error that the caller retries. */
export async function applyCarefully(
  context: CarefulContext,
  parts: readonly TransactionPart[],
  changes: readonly Change[],
): Promise<void> {
  await applyRange(context, parts, changes, 0, changes.length, 0);
}

async function applyRange(
  context: CarefulContext,
  parts: readonly TransactionPart[],
  changes: readonly Change[],
  from: number,
  to: number,
  depth: number,
): Promise<void> {
  if (from >= to) return;
  const refusal = await tryRange(context, changes.slice(from, to), depth);
  if (refusal === null) return;
  if (to - from === 1) {
    await giveUpOn(context, parts, changes[from] as Change, from, refusal);
    return;
  }
  const middle = (from + to) >> 1;
  await applyRange(context, parts, changes, from, middle, depth + 1);
  await applyRange(context, parts, changes, middle, to, depth + 1);
}

/** Null when the range is applied; the error, with nothing of the range applied, when it cannot be. */
async function tryRange(context: CarefulContext, changes: readonly Change[], depth: number): Promise<unknown> {
  const { session, registry } = context;
  let steps: readonly Step[];
  try {
    steps = fold(changes, (relation) => registry.lookup(relation));
  } catch (error) {
    if (error instanceof UnfitChangeError) return error;
    throw error;
  }
  if (steps.length === 0) return null;
  const savepoint = `dbr_${depth}`;
  const isLoading = (binding: Binding) => registry.get(binding.relation)?.state !== 'streaming';
  let refusal: unknown = null;
  for (const way of ['folded', 'replaced'] as const) {
    if (way === 'replaced' && !canReplace(steps)) break;
    await session.exec(`SAVEPOINT ${savepoint}`);
    try {
      if (way === 'folded') await runFolded(context, steps);
      else await runReplacing(session, steps, isLoading, context.onMissing);
      for (const statement of rereadStatements(steps, context.stream, isLoading)) await session.run(statement);
      await session.exec(`RELEASE SAVEPOINT ${savepoint}`);
      return null;
    } catch (error) {
      if (classify(error).action !== 'bisect') throw error;
      refusal = error;
      await session.exec(`ROLLBACK TO SAVEPOINT ${savepoint}`);
      await session.exec(`RELEASE SAVEPOINT ${savepoint}`);
    }
  }
  return refusal;
}

async function runFolded({ onMissing, session }: CarefulContext, steps: readonly Step[]): Promise<void> {
  for (const statement of compileSteps(steps, session.dialect)) {
    const { rowCount } = await session.run(statement);
    if (statement.mustMatch && statement.binding && (rowCount ?? 0) < statement.rows)
      onMissing(statement.binding, statement.mustMatch);
  }
}

async function giveUpOn(
  context: CarefulContext,
  parts: readonly TransactionPart[],
  change: Change,
  index: number,
  error: unknown,
): Promise<void> {
  const verdict = classify(error);
  const part = partAt(parts, index);
  const relations = change.kind === 'truncate' ? change.relations : [change.relation];
  const reason = error instanceof Error ? error.message : String(error);
  const unfit = error instanceof UnfitChangeError;
  if (context.onError === 'halt') {
    const names = relations.map(displayName).join(', ');
    const message = unfit ? reason : `The secondary refused ${article(change.kind)} on ${names}: ${reason}`;
    const remedy = unfit
      ? error.remedy
      : `${verdict.hint} Mend it on the secondary; the stream goes on from this transaction.`;
    throw new StreamHaltError(`${message} (${placeOf(part)})`, {
      code: unfit ? error.code : 'apply-refused',
      remedy: `${remedy} DB_APPLY_ON_ERROR=pause-table pauses only the table.`,
      cause: error,
    });
  }
  for (const relation of relations) {
    const paused = unfit
      ? `${reason} ${error.remedy}`
      : `${article(change.kind)} was refused by the secondary: ${reason}`;
    await keepDeadLetter(context, { part, index, change, relation, error });
    await pauseWithLetter(context, relation, paused, error);
  }
}
