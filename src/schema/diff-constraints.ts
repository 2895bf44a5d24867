/** Keys, checks, indexes, foreign keys and triggers of one table that is there on both sides. */
import { quoteIdent, quoteTable } from '../core/ident.js';
import type { Dialect } from './capabilities.js';
import type { ConflictKind, DiffParts } from './diff-parts.js';
import type { TableModel } from './model.js';
import { addConstraint } from './planned-sql.js';
import { sameExpression } from './same-sql.js';
import { columnObject } from './translate-context.js';
import type { PlannedTable } from './translation.js';

interface Comparison {
  readonly found: TableModel;
  readonly table: PlannedTable;
  readonly dialect: Dialect;
  readonly parts: DiffParts;
}

export function diffConstraints(found: TableModel, table: PlannedTable, dialect: Dialect, parts: DiffParts): void {
  const comparison = { found, table, dialect, parts };
  diffPrimaryKey(comparison);
  diffUniques(comparison);
  diffChecks(comparison);
  diffIndexes(comparison);
  diffStandbyOnly(comparison);
}

function conflict(
  comparison: Comparison,
  kind: ConflictKind,
  name: string,
  reason: string,
  remedy: string | null,
): void {
  const { table, parts } = comparison;
  const owner = { schema: table.schema, name: table.name };
  parts.conflicts.push({ table: owner, kind, object: columnObject(table, name), reason, remedy });
}

function dropConstraint({ table }: Comparison, name: string): string {
  return `ALTER TABLE ${quoteTable(table.schema, table.name)} DROP CONSTRAINT IF EXISTS ${quoteIdent(name)}`;
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((item, i) => item === b[i]);
}

function diffPrimaryKey(comparison: Comparison): void {
  const { found, table, parts } = comparison;
  const present = found.primaryKey;
  const wanted = table.primaryKey;
  if (!present) {
    if (wanted) parts.statements.push(addConstraint(table, wanted));
    return;
  }
  const is = `the secondary's primary key is (${present.columns.join(', ')})`;
  if (!wanted) {
    const reason = `${is}, and the primary has none: duplicate rows would fail`;
    conflict(comparison, 'primary-key', present.name, reason, dropConstraint(comparison, present.name));
  } else if (!sameList(present.columns, wanted.columns)) {
    const reason = `${is}, and should be (${wanted.columns.join(', ')})`;
    conflict(comparison, 'primary-key', present.name, reason, null);
  } else if (present.deferrable) {
    const reason = 'the primary key is deferrable on the secondary: rows cannot be found by it';
    conflict(comparison, 'primary-key', present.name, reason, null);
  }
}

function diffUniques(comparison: Comparison): void {
  const { found, table, parts } = comparison;
  for (const wanted of table.uniques) {
    const present = found.uniques.find((candidate) => candidate.name === wanted.name);
    if (!present) parts.statements.push(addConstraint(table, wanted));
    else if (!sameList(present.columns, wanted.columns)) {
      const reason = `it is over (${present.columns.join(', ')}) on the secondary, and should be over (${wanted.columns.join(', ')})`;
      conflict(comparison, 'unique', wanted.name, reason, dropConstraint(comparison, wanted.name));
    }
  }
  const planned = new Set([...table.uniques, ...table.indexes.filter((index) => index.unique)].map((key) => key.name));
  const extra = 'the primary has no such rule: its rows may break it';
  for (const present of found.uniques) {
    if (!planned.has(present.name))
      conflict(comparison, 'unique', present.name, extra, dropUnique(comparison, present.name));
  }
  for (const present of found.indexes) {
    if (!present.unique || planned.has(present.name)) continue;
    conflict(comparison, 'unique', present.name, extra, dropIndex(comparison, present.name));
  }
  for (const present of found.exclusions) {
    const reason = 'exclusion constraints are created at promotion only: rows may break it on their way';
    conflict(comparison, 'exclusion', present.name, reason, dropConstraint(comparison, present.name));
  }
}

function dropUnique(comparison: Comparison, name: string): string {
  return comparison.dialect === 'cockroach' ? dropIndex(comparison, name) : dropConstraint(comparison, name);
}

function dropIndex({ table, dialect }: Comparison, name: string): string {
  return dialect === 'cockroach'
    ? `DROP INDEX IF EXISTS ${quoteTable(table.schema, table.name)}@${quoteIdent(name)} CASCADE`
    : `DROP INDEX IF EXISTS ${quoteTable(table.schema, name)}`;
}

function diffChecks(comparison: Comparison): void {
  const { found, table, dialect, parts } = comparison;
  for (const wanted of table.checks) {
    const present = found.checks.find((candidate) => candidate.name === wanted.name);
    if (!present) parts.statements.push(addConstraint(table, wanted));
    else if (dialect === 'postgres' && !sameExpression(`CHECK (${present.expression})`, wanted.definition)) {
      parts.statements.push({ ...addConstraint(table, wanted), sql: dropConstraint(comparison, wanted.name) });
      parts.statements.push(addConstraint(table, wanted));
    }
  }
  for (const present of found.checks) {
    if (!present.enforced || table.checks.some((wanted) => wanted.name === present.name)) continue;
    const reason = 'a standby does not have this check: rows of the primary may break it';
    conflict(comparison, 'check', present.name, reason, dropConstraint(comparison, present.name));
  }
}

function diffIndexes(comparison: Comparison): void {
  const { found, table, dialect, parts } = comparison;
  const names = new Set([...found.indexes, ...found.uniques].map((index) => index.name));
  for (const wanted of table.indexes) {
    const object = columnObject(table, wanted.name);
    const create = { sql: wanted.sql, kind: 'index', object, optional: wanted.optional } as const;
    if (!names.has(wanted.name)) {
      parts.statements.push(create);
      continue;
    }
    const present = found.indexes.find((index) => index.name === wanted.name);
    if (dialect === 'postgres' && present && !sameIndex(present, wanted.sql, table)) {
      parts.statements.push({ ...create, sql: dropIndex(comparison, wanted.name) }, create);
    }
  }
}

function sameIndex(present: TableModel['indexes'][number], sql: string, table: PlannedTable): boolean {
  const head = `CREATE ${present.unique ? 'UNIQUE ' : ''}INDEX IF NOT EXISTS ${quoteIdent(present.name)}`;
  return sql === `${head} ON ${quoteTable(table.schema, table.name)} USING ${present.tail}`;
}

/** What a promotion creates and a failback takes away again. */
function diffStandbyOnly(comparison: Comparison): void {
  const { found, table } = comparison;
  for (const { name } of found.foreignKeys) {
    const reason = 'a standby has no foreign keys: tables are loaded and changed in an order that breaks them';
    conflict(comparison, 'foreign-key', name, reason, dropConstraint(comparison, name));
  }
  for (const { name, enabled } of found.triggers) {
    if (enabled === 'D') continue;
    const remedy = `DROP TRIGGER IF EXISTS ${quoteIdent(name)} ON ${quoteTable(table.schema, table.name)}`;
    conflict(comparison, 'trigger', name, 'a standby has no triggers: they would change replicated rows', remedy);
  }
}
