/** A change that cannot be applied, kept with its table paused: both in the target transaction of what was applied (G9). */
import type { TargetSession } from '../apply/target-session.js';
import type { Change, Relation, Row } from '../core/change.js';
import { displayName } from '../core/ident.js';
import type { Log } from '../core/log.js';
import { formatLsn } from '../core/lsn.js';
import { classify } from '../core/policy.js';
import type { TransactionPart } from './entries.js';
import type { TableRegistry } from './registry.js';

export interface LetterContext {
  readonly session: TargetSession;
  readonly stream: string;
  readonly registry: TableRegistry;
  readonly log: Log;
}

export interface DeadLetter {
  readonly part: TransactionPart;
  /** Number of the change in what is being applied. */
  readonly index: number;
  readonly change: Change;
  readonly relation: Relation;
  readonly error: unknown;
}

export async function keepDeadLetter(context: LetterContext, letter: DeadLetter): Promise<void> {
  const { registry, session, stream } = context;
  const { change, error, index, part, relation } = letter;
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
      classify(error).sqlstate,
      error instanceof Error ? error.message : String(error),
      new Date(part.commitAtMs).toISOString(),
    ],
  });
  registry.deadLetters += 1;
}

/** Pauses the table of a letter that was kept. */
export async function pauseWithLetter(
  { log, registry, session, stream }: LetterContext,
  relation: Relation,
  reason: string,
  error: unknown,
): Promise<void> {
  await session.run({
    text: `UPDATE db_redundancy.tables SET state = 'paused', reason = $4, updated_at = now() WHERE stream = $1 AND schema_name = $2 AND table_name = $3`,
    values: [stream, relation.schema, relation.name, reason],
  });
  const entry = registry.get(relation);
  if (entry) Object.assign(entry, { state: 'paused', reason });
  const name = displayName(relation);
  log.error(
    { table: name, sqlstate: classify(error).sqlstate, err: error },
    `Table ${name} is paused, the change is kept as a dead letter: ${reason}; mend the cause, then run db:sync -- --table ${name}`,
  );
}

/** For people: which transaction of the source. */
export function placeOf(part: TransactionPart): string {
  return `transaction ${part.xid}, commit LSN ${formatLsn(part.commitLsn)}`;
}

export function article(kind: Change['kind']): string {
  return kind === 'insert' || kind === 'update' ? `an ${kind}` : `a ${kind}`;
}

export function partAt(parts: readonly TransactionPart[], index: number): TransactionPart {
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
