/**
 * User triggers of the primary while rows are copied there: `SET updated_at = now()` would change them, an audit trail
 * would be written twice. Switched off inside the copying transaction, so that nobody ever sees them off, and only where
 * the role owns the table; elsewhere they fire, and the comparison after the copy tells of what they changed.
 */
import { arrayLiteral } from '../apply/array-literal.js';
import type { SqlStatement, TargetSession } from '../apply/target-session.js';
import { quoteIdent, quoteTable, tableKey } from '../core/ident.js';
import type { RecoveryTable } from './tables.js';

export interface TriggerSwitch {
  readonly off: readonly SqlStatement[];
  readonly on: readonly SqlStatement[];
}

export function triggerSwitch(tables: readonly RecoveryTable[], owned: ReadonlySet<RecoveryTable>): TriggerSwitch {
  const off: SqlStatement[] = [];
  const on: SqlStatement[] = [];
  for (const table of tables) {
    if (!owned.has(table)) continue;
    const alter = `ALTER TABLE ${quoteTable(table.schema, table.name)}`;
    for (const { enabled, name } of table.triggers) {
      off.push({ text: `${alter} DISABLE TRIGGER ${quoteIdent(name)}`, values: [] });
      on.push({ text: `${alter} ENABLE ${enabled === 'A' ? 'ALWAYS ' : ''}TRIGGER ${quoteIdent(name)}`, values: [] });
    }
  }
  return { off, on };
}

/** Tables that the role may alter. */
export async function ownedTables(
  session: TargetSession,
  tables: readonly RecoveryTable[],
): Promise<ReadonlySet<RecoveryTable>> {
  const { rows } = await session.run({
    text: `SELECT n.nspname AS schema_name, c.relname AS table_name FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE pg_has_role(c.relowner, 'USAGE') AND c.relkind IN ('r', 'p') AND c.relname = ANY ($1::text[])`,
    values: [
      arrayLiteral(
        tables.map(({ name }) => [name]),
        0,
        'quoted',
      ),
    ],
  });
  const owned = new Set(rows.map((row) => tableKey({ schema: row.schema_name ?? '', name: row.table_name ?? '' })));
  return new Set(tables.filter((table) => owned.has(tableKey(table))));
}
