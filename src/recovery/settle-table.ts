/**
 * Decides about rows of which the two sides differ though nobody may have written them on the secondary: whole tables when
 * the tail or the journal is not whole, and the rows of stale tables (never loaded to the end, or paused by the stream).
 * What such a table has on the secondary may be old, so nothing of it goes to the primary without a decision.
 */
import type { CompareSides } from './compare.js';
import { differingKeys } from './compare.js';
import { type JournalRow, KEPT } from './journal.js';
import { type MergeContext, portions, settleLate } from './merge-tail.js';
import { settle } from './settle.js';
import type { TailItem } from './settle-plan.js';
import type { RecoveryTable } from './tables.js';

/** Row by row, by the evidence that there is. */
export async function settleTable(
  context: MergeContext,
  sides: CompareSides,
  table: RecoveryTable,
  changedAtMs: number | null,
): Promise<void> {
  const late: TailItem[] = [];
  for await (const keys of differingKeys(sides, table)) {
    context.signal.throwIfAborted();
    late.push(...(await settlePortions(context, itemsOf(table, keys, changedAtMs))));
  }
  await settleLate(context, late);
}

/**
 * Before rows of stale tables are copied for the first time.
 * @returns those that are to be copied; what the secondary cannot take, and nobody wrote there, stays on the primary
 */
export async function settleStale(context: MergeContext, keys: readonly JournalRow[]): Promise<JournalRow[]> {
  const { journal, link, tables } = context;
  // All tables at once: on CockroachDB each decision waits seconds for the journal.
  const tabled = tables.ordered.map((table) => {
    const rows = keys.filter((key) => tables.get(key.table) === table);
    return { table, rows, rowKeys: rows.map(({ rowKey }) => rowKey) };
  });
  const items = tabled.flatMap(({ rowKeys, table }) => itemsOf(table, rowKeys, null));
  await settleLate(context, await settlePortions(context, items));
  const wanted: JournalRow[] = [];
  for (const { rowKeys, rows, table } of tabled) {
    if (rows.length === 0) continue;
    const now = await link.with((session) => journal.find(session, table, rowKeys));
    wanted.push(...rows.filter(({ rowKey }) => !isKept(now.get(rowKey))));
  }
  return wanted;
}

export function isKept(row: JournalRow | undefined): boolean {
  return row?.settled === KEPT && !row.written;
}

function itemsOf(table: RecoveryTable, keys: readonly string[], changedAtMs: number | null): TailItem[] {
  return keys.map((rowKey) => ({ table, rowKey, changedAtMs, born: false }));
}

/** Most of them differ because they were written on the secondary, perhaps at this moment. */
async function settlePortions(context: MergeContext, items: readonly TailItem[]): Promise<TailItem[]> {
  const late: TailItem[] = [];
  for (const portion of portions(items)) late.push(...(await settle(context, portion, false, true)));
  return late;
}
