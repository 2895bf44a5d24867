/** Adds a planned column to a table that has rows already. */
import { quoteIdent, quoteLiteral, quoteTable } from '../core/ident.js';
import type { TargetCapabilities } from './capabilities.js';
import { columnDefinition } from './translate-column.js';
import { columnObject } from './translate-context.js';
import type { PlannedColumn, PlannedTable, Statement } from './translation.js';

/**
 * Never NOT NULL at first: rows older than the column may hold NULL until they are read again, and changes that were
 * made before the column came may still be on their way. `setNotNull` follows when that is over.
 */
export function addColumn(table: PlannedTable, column: PlannedColumn, capabilities: TargetCapabilities): Statement[] {
  const at = `ALTER TABLE ${quoteTable(table.schema, table.name)}`;
  const name = quoteIdent(column.name);
  const statement = (sql: string): Statement => ({
    sql,
    kind: 'column',
    object: columnObject(table, column.name),
    optional: false,
  });
  const add = `${at} ADD COLUMN IF NOT EXISTS ${name}`;
  // Identity needs NOT NULL, and fills the rows by itself until they are read again.
  if (column.identity || column.expression) return [statement(`${add} ${columnDefinition(column, capabilities)}`)];

  const bare = columnDefinition({ ...column, default: null, nullable: true }, capabilities);
  if (column.olderRows.kind === 'literal') {
    const value = `${quoteLiteral(column.olderRows.text).trim()}::${column.sqlType}`;
    return [statement(`${add} ${bare} DEFAULT ${value}`), statement(alterDefault(table, column))];
  }
  return [statement(`${add} ${bare}`), ...(column.default === null ? [] : [statement(alterDefault(table, column))])];
}

export function alterDefault(table: PlannedTable, column: PlannedColumn): string {
  const action = column.default === null ? 'DROP DEFAULT' : `SET DEFAULT ${column.default}`;
  return `ALTER TABLE ${quoteTable(table.schema, table.name)} ALTER COLUMN ${quoteIdent(column.name)} ${action}`;
}

export function setNotNull(table: PlannedTable, column: PlannedColumn): Statement {
  return {
    sql: `ALTER TABLE ${quoteTable(table.schema, table.name)} ALTER COLUMN ${quoteIdent(column.name)} SET NOT NULL`,
    kind: 'column',
    object: columnObject(table, column.name),
    optional: true,
  };
}
