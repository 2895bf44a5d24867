/**
 * Copies rows from the secondary to the primary, where foreign keys, unique constraints and triggers are in force. A
 * transaction of it begins with a message that makes the forward stream pass it over (SPEC 4, loop prevention).
 */
import type { SqlStatement, TargetSession } from '../apply/target-session.js';
import { sqlstateOf } from '../core/policy.js';
import { ECHO_PREFIX } from '../pipeline/entries.js';
import { type LeftBehind, leftBehind } from './cascades.js';
import type { CopyContext } from './copy-context.js';
import type { JournalRow } from './journal.js';
import { parkAndWrite } from './park.js';
import { readRows, toPrimary } from './row-io.js';
import { triggerSwitch } from './triggers.js';
import { isRowsFault, type RefusedRow, type RowWrite, writeInHalves, writeStatements } from './write-rows.js';

export interface CopyResult {
  /** On the primary now: to be marked, unless written again since. */
  readonly copied: readonly JournalRow[];
  readonly refused: readonly RefusedRow[];
  /** To be copied as well, because a deletion may have acted on them. */
  readonly leftBehind: readonly LeftBehind[];
  readonly bytes: number;
}

/** @param keys of the journal, read before the rows are: what is copied is at least as new */
export async function copyRows(
  context: CopyContext,
  primary: TargetSession,
  keys: readonly JournalRow[],
): Promise<CopyResult> {
  const writes: RowWrite[] = [];
  const unreadable: RefusedRow[] = [];
  for (const table of context.tables.ordered) {
    const rowKeys = keys.filter((key) => context.tables.get(key.table) === table).map((key) => key.rowKey);
    if (rowKeys.length === 0 || table.key === null) continue;
    const rows = await context.read((session) => readRows(session, table, 'secondary', rowKeys, { values: true }));
    for (const rowKey of rowKeys) {
      const row = rows.get(rowKey);
      try {
        writes.push({ table, rowKey, values: row ? toPrimary(table, row.values) : null });
      } catch (error) {
        if (!isRowsFault(error)) throw error;
        unreadable.push({ write: { table, rowKey, values: null }, error });
      }
    }
  }
  const refused = [...unreadable, ...(await writeToPrimary(context, primary, writes))];
  const failed = new Set(refused.map(({ write }) => `${write.table.schema}\0${write.table.name}\0${write.rowKey}`));
  const copied = keys.filter(({ rowKey, table }) => !failed.has(`${table.schema}\0${table.name}\0${rowKey}`));
  const bytes = writes.reduce(
    (sum, { values }) => sum + (values ?? []).reduce((n, text) => n + (text?.length ?? 0), 0),
    0,
  );
  const behind = await context.read((session) => leftBehind(session, context.tables, writes));
  return { copied, refused, bytes, leftBehind: behind };
}

async function writeToPrimary(
  context: CopyContext,
  primary: TargetSession,
  writes: readonly RowWrite[],
): Promise<RefusedRow[]> {
  if (writes.length === 0) return [];
  const { ordered } = context.tables;
  const tables = ordered.filter((table) => writes.some((write) => write.table === table));
  const triggers = triggerSwitch(tables, context.owned);
  try {
    await primary.pipeline([
      ...beginCopy(true),
      ...triggers.off,
      ...writeStatements(primary, 'primary', writes, ordered),
      // Before the triggers are switched on: a table with deferred checks to do may not be altered.
      ...(triggers.on.length > 0 ? [{ text: 'SET CONSTRAINTS ALL IMMEDIATE', values: [] }] : []),
      ...triggers.on,
      { text: 'COMMIT', values: [] },
    ]);
    return [];
  } catch (error) {
    if (primary.broken) throw error;
    await primary.rollback();
    if (!isRowsFault(error)) throw error;
  }
  try {
    await primary.pipeline([...beginCopy(false), ...triggers.off]);
    let refused = await writeInHalves(primary, 'primary', writes, ordered);
    if (refused.some(({ error }) => ['23505', '23P01'].includes(sqlstateOf(error) ?? '')))
      refused = await parkAndWrite(context, primary, refused);
    await primary.pipeline([...triggers.on, { text: 'COMMIT', values: [] }]);
    return refused;
  } catch (error) {
    if (!primary.broken) await primary.rollback();
    throw error;
  }
}

/** The message comes before any change, or the stream would not know the transaction for what it is. */
export function beginCopy(deferred: boolean): SqlStatement[] {
  const statements: SqlStatement[] = [
    { text: 'BEGIN', values: [] },
    { text: 'SELECT pg_logical_emit_message(true, $1, $2)', values: [ECHO_PREFIX, 'catch-up'] },
  ];
  if (deferred) statements.push({ text: 'SET CONSTRAINTS ALL DEFERRED', values: [] });
  return statements;
}
