/**
 * Constraints that the secondary checks at COMMIT (DEFERRABLE INITIALLY DEFERRED, made there by somebody) fail when every
 * statement has succeeded, so that no statement is at fault. Inside the transaction they are checked where the source
 * had committed, and nowhere else: between two changes they may be broken, as they were on the source. What breaks one
 * costs its table the whole transaction: the table stays at the commit before it, paused, with dead letters.
 */
import { StreamHaltError } from '../core/errors.js';
import { displayName } from '../core/ident.js';
import { classify } from '../core/policy.js';
import { relationsOf } from './assemble.js';
import { applyCarefully, type CarefulContext } from './careful.js';
import { keepDeadLetter, pauseWithLetter, placeOf } from './dead-letter.js';
import type { TransactionPart } from './entries.js';
import type { TableEntry } from './registry.js';

/** Changes of one table in one transaction that are kept, at most; the last of them says how many there were. */
const MOST_LETTERS = 100;

/** What a server says of a constraint that does not hold. */
export interface ConstraintReport {
  readonly schema: string;
  readonly table: string;
  readonly constraint: string;
}

/** Applies whole transactions inside the caller's open one, so that its COMMIT finds every constraint kept. */
export async function applyTransactions(context: CarefulContext, parts: readonly TransactionPart[]): Promise<void> {
  const changes = parts.flatMap((part) => part.changes);
  if (context.session.dialect.deferral === null) return applyCarefully(context, parts, changes);
  const refusal = await attempt(context, () => applyCarefully(context, parts, changes));
  if (refusal === null) return;
  for (const part of parts) await applyTransaction(context, part);
}

async function applyTransaction(context: CarefulContext, part: TransactionPart): Promise<void> {
  const apply = () => applyCarefully(context, [part], part.changes);
  const refusal = await attempt(context, apply);
  if (refusal === null) return;
  if (context.onError === 'halt') throw deferredHalt(refusal, placeOf(part));
  const suspects = suspectsOf(context, part, refusal);
  for (const entry of suspects) {
    const before = { state: entry.state, reason: entry.reason };
    entry.state = 'paused';
    if ((await attempt(context, apply)) === null) return giveUp(context, part, entry, refusal);
    Object.assign(entry, before);
  }
  // More than one is at fault, or the rows of one that was paused before: one after the other.
  const [first] = suspects;
  if (!first) throw deferredHalt(refusal, placeOf(part));
  await giveUp(context, part, first, refusal);
  await applyTransaction(context, part);
}

/** Null when `work` was done and every constraint holds; else the error, and nothing has been done. */
async function attempt({ registry, session }: CarefulContext, work: () => Promise<void>): Promise<unknown> {
  const deferral = session.dialect.deferral as { readonly check: string; readonly defer: string };
  const forget = registry.remember();
  await session.exec('SAVEPOINT dbr_commit');
  await work();
  try {
    await session.exec(deferral.check);
  } catch (error) {
    if (classify(error).action !== 'bisect') throw error;
    await session.exec('ROLLBACK TO SAVEPOINT dbr_commit');
    await session.exec('RELEASE SAVEPOINT dbr_commit');
    forget();
    return error;
  }
  await session.exec('RELEASE SAVEPOINT dbr_commit');
  await session.exec(deferral.defer);
  return null;
}

/** Tables that the transaction changes, that of the constraint first: a foreign key may be broken from its other end. */
function suspectsOf({ registry }: CarefulContext, part: TransactionPart, refusal: unknown): TableEntry[] {
  const named = reportOf(refusal);
  const entries = [...relationsOf(part.changes)].flatMap((relation) => registry.get(relation) ?? []);
  const running = [...new Set(entries)].filter((entry) => entry.state !== 'paused');
  const isNamed = (entry: TableEntry) => entry.schema === named?.schema && entry.name === named.table;
  return [...running.filter(isNamed), ...running.filter((entry) => !isNamed(entry))];
}

async function giveUp(
  context: CarefulContext,
  part: TransactionPart,
  entry: TableEntry,
  refusal: unknown,
): Promise<void> {
  const reason = `a transaction was refused by the secondary at its end: ${describeRefusal(refusal)}`;
  const error = new DeferredConstraintError(reason, refusal);
  const own = part.changes.flatMap((change, index) => {
    const relations = change.kind === 'truncate' ? change.relations : [change.relation];
    const relation = relations.find(({ name, schema }) => name === entry.name && schema === entry.schema);
    return relation ? [{ part, index, change, relation, error }] : [];
  });
  const more = own.length - MOST_LETTERS;
  for (const letter of own.slice(0, MOST_LETTERS)) await keepDeadLetter(context, letter);
  const [first] = own;
  if (first)
    await pauseWithLetter(context, first.relation, more > 0 ? `${reason} (and ${more} more changes)` : reason, error);
}

/** Keeps the server's SQLSTATE as its cause. */
class DeferredConstraintError extends Error {
  constructor(message: string, cause: unknown) {
    super(message, { cause });
  }
}

/** Null when the server does not say which: a trigger, for example. */
export function reportOf(error: unknown): ConstraintReport | null {
  for (let each = error; each instanceof Error; each = each.cause) {
    const { schema, table, constraint } = each as Partial<ConstraintReport>;
    if (typeof schema === 'string' && typeof table === 'string') return { schema, table, constraint: constraint ?? '' };
  }
  return null;
}

/** One sentence part with the names that the server gives. */
export function describeRefusal(error: unknown): string {
  const report = reportOf(error);
  const message = error instanceof Error ? error.message : String(error);
  if (report === null) return message;
  return `constraint ${report.constraint} of ${displayName({ schema: report.schema, name: report.table })}, which is checked at COMMIT: ${message}`;
}

export function deferredHalt(error: unknown, place: string): StreamHaltError {
  return new StreamHaltError(`The secondary refused a transaction at its end: ${describeRefusal(error)} (${place})`, {
    code: 'deferred-constraint',
    remedy:
      'Drop the constraint on the secondary, or mend the rows there; the stream goes on from this transaction. DB_APPLY_ON_ERROR=pause-table pauses only the table.',
    cause: error,
  });
}
