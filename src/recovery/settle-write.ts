/** The end of a decision: winners on the secondary, and what the journal and the conflicts are to say of it. */
import type { TargetSession } from '../apply/target-session.js';
import { formatLsn } from '../core/lsn.js';
import type { CatchupRow } from './catchup-store.js';
import { conflictsStatement } from './conflicts.js';
import { KEPT, touchedId } from './journal.js';
import { JournalGapError } from './recovery-errors.js';
import { toSecondary } from './row-io.js';
import {
  type ByTable,
  conflictOf,
  latest,
  named,
  of,
  type Plan,
  type SettleContext,
  type Sight,
  type TailItem,
} from './settle-plan.js';
import type { RecoveryTables } from './tables.js';
import { type RowWrite, tryWrite, writeInHalves, writeStatements } from './write-rows.js';

export interface Refused {
  readonly item: TailItem;
  readonly error: unknown;
}

/** @returns those that the secondary refuses */
export async function writeWinners(
  session: TargetSession,
  winners: readonly TailItem[],
  sights: ByTable<Sight>,
  tables: RecoveryTables,
): Promise<Refused[]> {
  if (winners.length === 0) return [];
  const items = new Map<RowWrite, TailItem>();
  for (const item of winners) {
    const { primary, secondary } = of(sights, item.table);
    const row = primary.get(item.rowKey);
    const values = row ? toSecondary(item.table, row.values) : null;
    items.set({ ...item, values, isNew: tables.dialect === 'cockroach' && !secondary.has(item.rowKey) }, item);
  }
  const writes = [...items.keys()];
  const error = await tryWrite(session, () => writeStatements(session, 'secondary', writes, tables.ordered));
  if (error === null) return [];
  const refused = await writeInHalves(session, 'secondary', writes, tables.ordered);
  return refused.map((each) => ({ item: items.get(each.write) as TailItem, error: each.error }));
}

/**
 * In the transaction that has the row of the catch-up locked. What the secondary refuses is late, or, at `last`, lost to it.
 * @returns what is late
 */
export async function record(
  context: SettleContext,
  session: TargetSession,
  owned: CatchupRow,
  plan: Plan,
  sights: ByTable<Sight>,
  refused: readonly Refused[],
  last: boolean,
): Promise<TailItem[]> {
  const { fence, journal, stream } = context;
  const [all, secondaryWins] = [[...plan.conflicts], [...plan.secondaryWins]];
  // The secondary cannot take it, which may be why its table is stale, and nobody wrote it there: it stays as it is.
  const kept = last
    ? refused.filter(({ item }) => staysBehind(item, of(sights, item.table))).map(({ item }) => item)
    : [];
  for (const { error, item } of last ? refused : []) {
    if (kept.includes(item)) continue;
    const rule = `refused by the secondary: ${error instanceof Error ? error.message : String(error)}`;
    all.push(conflictOf(context, item, of(sights, item.table), { winner: 'secondary', rule }));
    secondaryWins.push(item);
  }
  const late = last ? [] : refused.map(({ item }) => item);
  const settled = plan.settled.filter((item) => !late.includes(item) && !kept.includes(item));
  const ids = new Set(settled.map(touchedId));
  const conflicts = latest(all.filter((conflict) => ids.has(touchedId(conflict))));
  // What was decided by a journal that turned out to have a gap is decided anew.
  if (context.upToDate && !owned.journalComplete) throw new JournalGapError();
  if (settled.length > 0) await session.run(journal.settled(named(context, settled), formatLsn(fence)));
  if (late.length > 0) await session.run(journal.settled(named(context, late), 'late'));
  if (kept.length > 0) await session.run(journal.settled(named(context, kept), KEPT));
  if (secondaryWins.length > 0) await session.run(journal.toBeCopied(named(context, secondaryWins)));
  if (conflicts.length > 0) await session.run(conflictsStatement(stream, owned.failoverEpoch, conflicts));
  return late;
}

function staysBehind({ rowKey, table }: TailItem, { journal }: Sight): boolean {
  return !table.complete && journal.get(rowKey)?.written !== true;
}
