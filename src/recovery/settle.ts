/**
 * Decides about rows that the primary has changed without the secondary's knowing, and writes the winner to the
 * secondary, from where everything is copied the other way. The secondary is in use meanwhile, so in one transaction:
 * the rows are read, the journal is waited for up to that moment, and nothing may have changed when it commits. On
 * PostgreSQL locks see to that (rows that are written take their keys, and the journal is asked once more after that,
 * because a row that is not there cannot be locked); on CockroachDB the transaction is serializable and locks nothing
 * while it waits for the changefeed, which takes seconds.
 */
import type { TargetSession } from '../apply/target-session.js';
import { formatLsn, type Lsn } from '../core/lsn.js';
import type { TargetLink } from '../meta/target-link.js';
import type { CatchupStore } from './catchup-store.js';
import { type Conflict, conflictsStatement } from './conflicts.js';
import { inTransaction } from './connections.js';
import { decide, type Evidence } from './decide.js';
import type { Journal, JournalRow, TouchedKey } from './journal.js';
import { readRows, type StoredRow, toSecondary, updatedAt, versionJson } from './row-io.js';
import type { RecoveryTable, RecoveryTables } from './tables.js';
import { isRowsFault, type RowWrite, tryWrite, writeOneByOne, writeStatements } from './write-rows.js';

/** A row of which the primary's present version has to be reckoned with. */
export interface TailItem {
  readonly rowKey: string;
  /** Commit of its last change there, milliseconds; null when the primary's WAL could not be read. */
  readonly changedAtMs: number | null;
  /** The tail inserted it. */
  readonly born: boolean;
}

export interface SettleContext {
  readonly stream: string;
  readonly link: TargetLink;
  readonly primary: TargetSession;
  readonly tables: RecoveryTables;
  readonly store: CatchupStore;
  readonly journal: Journal;
  /** The primary's last change lies before it. */
  readonly fence: Lsn;
  /** The journal holds everything up to now; null: it is no evidence. */
  readonly upToDate: (() => Promise<void>) | null;
  /** Beside the transaction, which may not see what was stored since it began. */
  readonly evidence: TargetLink;
  readonly nowMs: () => number;
}

/** A key was written between two looks, and is not there: only looking again tells. */
class LookAgain extends Error {}

interface Plan {
  readonly settled: TailItem[];
  readonly conflicts: Conflict[];
  readonly primaryWins: TailItem[];
  readonly secondaryWins: TailItem[];
}

/**
 * @param last what the secondary refuses now will be refused for ever: the primary's version goes to the conflicts
 * @returns rows that won and that the secondary refuses: to be settled again when all others are
 */
export async function settle(
  context: SettleContext,
  table: RecoveryTable,
  items: readonly TailItem[],
  last: boolean,
): Promise<TailItem[]> {
  const keys = items.map((item) => item.rowKey);
  const primary = await readRows(context.primary, table, 'primary', keys, { values: true });
  for (;;) {
    const locking = context.tables.dialect === 'postgres';
    // Locks are held while the journal catches up: most of that is done before.
    if (locking) await context.upToDate?.();
    try {
      return await inTransaction(context.link, (session) => settleOnce(context, session, table, items, primary, last));
    } catch (error) {
      if (!(error instanceof LookAgain)) throw error;
    }
  }
}

async function settleOnce(
  context: SettleContext,
  session: TargetSession,
  table: RecoveryTable,
  items: readonly TailItem[],
  primary: ReadonlyMap<string, StoredRow>,
  last: boolean,
): Promise<TailItem[]> {
  const { evidence, fence, journal, store, stream, tables } = context;
  const keys = items.map((item) => item.rowKey);
  const locking = tables.dialect === 'postgres';
  if (!locking) await session.exec('SET TRANSACTION ISOLATION LEVEL SERIALIZABLE');
  const now = await readRows(session, table, 'secondary', keys, { values: true, lock: locking });
  await context.upToDate?.();
  const look = () => evidence.with((other) => journal.find(other, table, [...keys, '*truncated']));
  const known = await look();
  const plan = planOf(context, table, items, known, primary, now);
  const refused = await writeWinners(session, table, plan.primaryWins, primary, tables);
  if (locking && context.upToDate && plan.primaryWins.some(({ rowKey }) => !now.has(rowKey))) {
    await context.upToDate();
    const again = await look();
    for (const { rowKey } of plan.primaryWins)
      if (!now.has(rowKey) && again.get(rowKey)?.at !== known.get(rowKey)?.at) throw new LookAgain();
  }
  for (const { error, item } of last ? refused : []) {
    const reason = `refused by the secondary: ${error instanceof Error ? error.message : String(error)}`;
    const lost = conflictOf(context, table, item, known, primary, now, { winner: 'secondary', rule: reason });
    plan.conflicts.push(lost);
    plan.secondaryWins.push(item);
  }
  const late = last ? [] : refused.map(({ item }) => item);
  const settled = plan.settled.filter((item) => !late.includes(item));
  const conflicts = latest(plan.conflicts.filter(({ rowKey }) => settled.some((item) => item.rowKey === rowKey)));
  const named = (list: readonly TailItem[]) => list.map((item) => touched(context, table, item));
  // Not before: the journal is written under the same lock, and has been waited for.
  const { failoverEpoch } = await store.lock(session);
  if (settled.length > 0) await session.run(journal.settled(named(settled), formatLsn(fence)));
  if (late.length > 0) await session.run(journal.settled(named(late), 'late'));
  if (plan.secondaryWins.length > 0) await session.run(journal.toBeCopied(named(plan.secondaryWins)));
  if (conflicts.length > 0) await session.run(conflictsStatement(stream, failoverEpoch, conflicts));
  return late;
}

function planOf(
  context: SettleContext,
  table: RecoveryTable,
  items: readonly TailItem[],
  known: ReadonlyMap<string, JournalRow>,
  primary: ReadonlyMap<string, StoredRow>,
  now: ReadonlyMap<string, StoredRow>,
): Plan {
  const plan: Plan = { settled: [], conflicts: [], primaryWins: [], secondaryWins: [] };
  for (const item of items) {
    if (known.get(item.rowKey)?.settled === formatLsn(context.fence)) continue;
    plan.settled.push(item);
    if (primary.get(item.rowKey)?.hash === now.get(item.rowKey)?.hash) continue;
    const decision = decide(evidenceOf(context, table, item, known, primary, now));
    if (decision.conflict) plan.conflicts.push(conflictOf(context, table, item, known, primary, now, decision));
    (decision.winner === 'primary' ? plan.primaryWins : plan.secondaryWins).push(item);
  }
  return plan;
}

/** @returns those that the secondary refuses */
async function writeWinners(
  session: TargetSession,
  table: RecoveryTable,
  winners: readonly TailItem[],
  primary: ReadonlyMap<string, StoredRow>,
  tables: RecoveryTables,
): Promise<{ item: TailItem; error: unknown }[]> {
  if (winners.length === 0) return [];
  const writes = winners.map((item): RowWrite & { item: TailItem } => {
    const row = primary.get(item.rowKey);
    return { item, table, rowKey: item.rowKey, values: row ? toSecondary(table, row.values) : null };
  });
  const error = await tryWrite(session, () => writeStatements(session, 'secondary', writes, tables.ordered));
  if (error === null) return [];
  if (!isRowsFault(error)) throw error;
  const refused = await writeOneByOne(session, 'secondary', writes, tables.ordered);
  return refused.map((each) => ({ item: (each.write as RowWrite & { item: TailItem }).item, error: each.error }));
}

function evidenceOf(
  context: SettleContext,
  table: RecoveryTable,
  item: TailItem,
  known: ReadonlyMap<string, JournalRow>,
  primary: ReadonlyMap<string, StoredRow>,
  now: ReadonlyMap<string, StoredRow>,
): Evidence {
  const [ours, theirs] = [primary.get(item.rowKey), now.get(item.rowKey)];
  const entry = known.get(item.rowKey);
  // A row that is gone may have been gone with all others, which names no rows.
  const written = entry?.written ? entry : theirs === undefined ? known.get('*truncated') : undefined;
  return {
    primary: { exists: ours !== undefined, updatedAt: updatedAt(table, ours) },
    secondary: { exists: theirs !== undefined, updatedAt: updatedAt(table, theirs) },
    primaryChangedAt: item.changedAtMs === null ? null : BigInt(item.changedAtMs) * 1000n,
    born: item.born || !table.complete,
    written: written ? 'yes' : context.upToDate ? 'no' : 'unknown',
    secondaryChangedAt: written ? BigInt(written.atMs) * 1000n : null,
  };
}

function conflictOf(
  context: SettleContext,
  table: RecoveryTable,
  item: TailItem,
  known: ReadonlyMap<string, JournalRow>,
  primary: ReadonlyMap<string, StoredRow>,
  now: ReadonlyMap<string, StoredRow>,
  { rule, winner }: { readonly rule: string; readonly winner: 'primary' | 'secondary' },
): Conflict {
  const evidence = evidenceOf(context, table, item, known, primary, now);
  return {
    table,
    rowKey: item.rowKey,
    position: context.fence,
    winner,
    rule,
    primary: versionJson(table, primary.get(item.rowKey)),
    secondary: versionJson(table, now.get(item.rowKey)),
    primaryAt: evidence.primary.updatedAt ?? evidence.primaryChangedAt,
    secondaryAt: evidence.secondary.updatedAt ?? evidence.secondaryChangedAt,
  };
}

/** One record a row: what was refused at last replaces what was decided before. */
function latest(conflicts: readonly Conflict[]): Conflict[] {
  return [...new Map(conflicts.map((conflict) => [conflict.rowKey, conflict])).values()];
}

function touched(context: SettleContext, table: RecoveryTable, item: TailItem): TouchedKey {
  return { table, rowKey: item.rowKey, at: '', atMs: context.nowMs() };
}
