/**
 * User triggers of the primary while rows are copied there: `SET updated_at = now()` would change them, an audit trail
 * would be written twice. Switched off inside the copying transaction, so that nobody ever sees them off, and only where
 * the role owns the table; elsewhere they fire, and the comparison after the copy tells of what they changed.
 */
import type { SqlStatement } from '../apply/target-session.js';
import { quoteIdent, quoteTable } from '../core/ident.js';
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

/** Of the tables that have triggers, those that the role may alter. */
export const OWNED_SQL = `
SELECT n.nspname AS schema_name, c.relname AS table_name FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE pg_has_role(c.relowner, 'USAGE') AND c.relkind IN ('r', 'p') AND n.nspname = ANY ($1::text[])`;
