/**
 * The careful way through a batch that the secondary refused, or that holds a change which does not say its row: the whole of it with rows taken out and put back, then
 * halves of it in source order, down to the single change at fault. That change becomes a dead letter and its table is
 * paused, in the same target transaction as everything else (G9), or the stream halts, as DB_APPLY_ON_ERROR says.
 */
import type { TargetSession } from '../apply/target-session.js';
import type { Change, Row } from '../core/change.js';
import { StreamHaltError, UnfitChangeError } from '../core/errors.js';
import { displayName } from '../core/ident.js';
import type { Log } from '../core/log.js';
import { formatLsn } from '../core/lsn.js';
import { classify } from '../core/policy.js';
import type { Binding } from './binding.js';
import { compileSteps, rereadStatements } from './compile.js';
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
  const { session, stream, registry, onError, log } = context;
  const verdict = classify(error);
  const part = partAt(parts, index);
  const relations = change.kind === 'truncate' ? change.relations : [change.relation];
  const names = relations.map(displayName).join(', ');
  const where = `transaction ${part.xid}, commit LSN ${formatLsn(part.commitLsn)}`;
  const reason = error instanceof Error ? error.message : String(error);
  if (onError === 'halt') {
    if (error instanceof UnfitChangeError)
      throw new StreamHaltError(`${error.message} (${where})`, {
        code: error.code,
        remedy: `${error.remedy} DB_APPLY_ON_ERROR=pause-table pauses only the table.`,
        cause: error,
      });
    throw new StreamHaltError(`The secondary refused ${article(change.kind)} on ${names} (${where}): ${reason}`, {
      code: 'apply-refused',
      remedy: `${verdict.hint} Mend it on the secondary; the stream goes on from this transaction. DB_APPLY_ON_ERROR=pause-table pauses only the table.`,
      cause: error,
    });
  }
  for (const relation of relations) {
    await session.run({
      text: `INSERT INTO db_redundancy.dead_letters (stream, commit_lsn, position, schema_name, table_name, operation, change, sqlstate, error, commit_at)
        VALUES ($1, $2, $3::int8, $4, $5, $6, $7, $8, $9, $10::timestamptz)
        ON CONFLICT (stream, commit_lsn, position, schema_name, table_name) DO NOTHING`,
      values: [
        stream,
        formatLsn(part.commitLsn),
        String(index),
        relation.schema,
        relation.name,
        change.kind,
        describeChange(change, session.dialect.maxStatementBytes * 0.75),
        verdict.sqlstate,
        reason,
        new Date(part.commitAtMs).toISOString(),
      ],
    });
    const paused =
      error instanceof UnfitChangeError
        ? `${reason} ${error.remedy}`
        : `${article(change.kind)} was refused by the secondary: ${reason}`;
    await session.run({
      text: `UPDATE db_redundancy.tables SET state = 'paused', reason = $4, updated_at = now() WHERE stream = $1 AND schema_name = $2 AND table_name = $3`,
      values: [stream, relation.schema, relation.name, paused],
    });
    registry.deadLetters += 1;
    const entry = registry.get(relation);
    if (entry) Object.assign(entry, { state: 'paused', reason: paused });
    log.error(
      { table: displayName(relation), sqlstate: verdict.sqlstate, err: error, commitLsn: formatLsn(part.commitLsn) },
      `Table ${displayName(relation)} is paused, the change is kept as a dead letter; ${error instanceof UnfitChangeError ? `${reason} ${error.remedy}` : `mend the cause, then run db:sync -- --table ${displayName(relation)}`}`,
    );
  }
}

function article(kind: Change['kind']): string {
  return kind === 'insert' || kind === 'update' ? `an ${kind}` : `a ${kind}`;
}

function partAt(parts: readonly TransactionPart[], index: number): TransactionPart {
  let left = index;
  for (const part of parts) {
    if (left < part.changes.length) return part;
    left -= part.changes.length;
  }
  return parts.at(-1) as TransactionPart;
}

/**
 * The full change as JSON, by column name; an unchanged TOAST value is left out. Where that would be more than the
 * secondary takes, values are cut to their beginning and say so: the full one is in the primary's row.
 */
function describeChange(change: Change, limit: number): string {
  if (change.kind === 'truncate')
    return JSON.stringify({ cascade: change.cascade, restartIdentity: change.restartIdentity });
  const { relation } = change;
  const named = (row: Row | null, longest: number) =>
    row === null
      ? null
      : Object.fromEntries(relation.columns.map((column, i) => [column.name, shortened(row[i], longest)]));
  const whole = (longest: number) =>
    JSON.stringify({
      old: change.kind === 'insert' ? null : named(change.old, longest),
      new: change.kind === 'delete' ? null : named(change.row, longest),
    });
  const text = whole(Number.POSITIVE_INFINITY);
  return Buffer.byteLength(text) <= limit ? text : whole(1000);
}

function shortened(value: string | null | undefined, longest: number): string | null | undefined {
  return typeof value === 'string' && value.length > longest
    ? `${value.slice(0, longest)}… (${value.length} characters in all)`
    : value;
}
