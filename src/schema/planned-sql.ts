/** Statements for single planned pieces, as the whole translation and the comparison with a secondary both need them. */
import { displayName, quoteIdent, quoteLiteral, quoteTable } from '../core/ident.js';
import { columnObject } from './translate-context.js';
import type { PlannedConstraint, PlannedTable, Statement } from './translation.js';

export function constraintClause(constraint: PlannedConstraint): string {
  return `CONSTRAINT ${quoteIdent(constraint.name)} ${constraint.definition}`;
}

export function addConstraint(table: PlannedTable, constraint: PlannedConstraint): Statement {
  const exists = constraint.optional ? 'IF NOT EXISTS ' : '';
  const body = `${quoteIdent(constraint.name)} ${constraint.definition}`;
  return {
    sql: `ALTER TABLE ${quoteTable(table.schema, table.name)} ADD CONSTRAINT ${exists}${body}`,
    kind: 'constraint',
    object: columnObject(table, constraint.name),
    optional: constraint.optional,
  };
}

export function commentStatement(table: PlannedTable, column: string | null, comment: string | null): Statement {
  const at = quoteTable(table.schema, table.name);
  const on = column === null ? `TABLE ${at}` : `COLUMN ${at}.${quoteIdent(column)}`;
  return {
    sql: `COMMENT ON ${on} IS ${comment === null ? 'NULL' : quoteLiteral(comment).trim()}`,
    kind: 'comment',
    object: column === null ? displayName(table) : columnObject(table, column),
    optional: true,
  };
}
