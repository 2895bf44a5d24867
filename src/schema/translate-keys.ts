/** Primary keys, unique constraints and exclusion constraints. */
import { quoteIdent, quoteTable } from '../core/ident.js';
import type { KeyModel, TableModel } from './model.js';
import { columnList, columnObject, deviate, type TranslationContext } from './translate-context.js';
import { notIndexable } from './translate-indexable.js';
import type { PlannedColumn, PlannedConstraint, PlannedIndex } from './translation.js';

export interface PlannedKeys {
  readonly primaryKey: PlannedConstraint | null;
  readonly uniques: readonly PlannedConstraint[];
  /** Ordinary indexes that stand in for unique constraints until promotion. */
  readonly standIns: readonly PlannedIndex[];
}

export function planKeys(
  context: TranslationContext,
  table: TableModel,
  planned: readonly PlannedColumn[],
): PlannedKeys {
  const uniques: PlannedConstraint[] = [];
  const standIns: PlannedIndex[] = [];
  for (const key of table.uniques) {
    const object = columnObject(table, key.name);
    const blocked = unfitColumn(context, table, key.columns);
    if (blocked !== null || key.temporal) {
      deviate(context, object, 'unique', `not created: ${blocked ?? 'WITHOUT OVERLAPS is not an ordinary key'}`);
    } else if (key.deferrable && !context.capabilities.deferrableConstraints) {
      standIns.push(postponeUnique(context, table, key));
    } else uniques.push(planUnique(context, table, key));
  }
  planExclusions(context, table);
  return { primaryKey: planPrimaryKey(context, table, planned), uniques, standIns };
}

function planPrimaryKey(
  context: TranslationContext,
  table: TableModel,
  planned: readonly PlannedColumn[],
): PlannedConstraint | null {
  const key = table.primaryKey;
  const object = columnObject(table, key?.name ?? 'primary key');
  if (!key) return null;
  const blocked = unfitColumn(context, table, key.columns);
  if (blocked !== null) {
    deviate(context, object, 'primary-key', `not created: ${blocked}`);
    return null;
  }
  if (key.deferrable) deviate(context, object, 'primary-key', 'not deferrable there: rows are found by this key');
  if (key.temporal) deviate(context, object, 'primary-key', 'WITHOUT OVERLAPS is not kept: an ordinary key');
  const filled = key.columns.find((name) => planned.find((column) => column.name === name)?.generation === 'plain');
  if (filled !== undefined)
    deviate(context, object, 'primary-key', `its column ${filled} is generated and not in the WAL`);
  return {
    name: key.name,
    columns: key.columns,
    definition: `PRIMARY KEY (${columnList(key.columns)})${include(context, key, 'primary')}`,
    optional: false,
  };
}

function planUnique(context: TranslationContext, table: TableModel, key: KeyModel): PlannedConstraint {
  const { nullsNotDistinct } = context.capabilities;
  const object = columnObject(table, key.name);
  if (key.nullsNotDistinct && !nullsNotDistinct) {
    deviate(context, object, 'unique', 'NULLS NOT DISTINCT is not kept: several rows may hold NULL');
  }
  const nulls = key.nullsNotDistinct && nullsNotDistinct ? ' NULLS NOT DISTINCT' : '';
  const deferral = key.deferrable ? ` DEFERRABLE${key.initiallyDeferred ? ' INITIALLY DEFERRED' : ''}` : '';
  return {
    name: key.name,
    columns: key.columns,
    definition: `UNIQUE${nulls} (${columnList(key.columns)})${include(context, key, 'unique')}${deferral}`,
    optional: false,
  };
}

function include(context: TranslationContext, key: KeyModel, kind: 'primary' | 'unique'): string {
  if (key.include.length === 0) return '';
  if (context.capabilities.dialect === 'postgres') return ` INCLUDE (${columnList(key.include)})`;
  // A CockroachDB primary key holds the whole row anyway.
  return kind === 'primary' ? '' : ` STORING (${columnList(key.include)})`;
}

/** A transaction may break a deferrable constraint on its way; without deferral the standby must not have it. */
function postponeUnique(context: TranslationContext, table: TableModel, key: KeyModel): PlannedIndex {
  const at = quoteTable(table.schema, table.name);
  const name = standInName(key.name);
  context.promotion.push({
    table: { schema: table.schema, name: table.name },
    kind: 'unique',
    name: key.name,
    sql: `CREATE UNIQUE INDEX IF NOT EXISTS ${quoteIdent(key.name)} ON ${at} (${columnList(key.columns)})`,
    undo: `DROP INDEX IF EXISTS ${at}@${quoteIdent(key.name)} CASCADE`,
  });
  const reason = 'deferrable constraints are not available: an ordinary index until promotion, then not deferrable';
  deviate(context, columnObject(table, key.name), 'unique', reason);
  return {
    name,
    unique: false,
    sql: `CREATE INDEX IF NOT EXISTS ${quoteIdent(name)} ON ${at} (${columnList(key.columns)})`,
    optional: false,
  };
}

/** Within PostgreSQL's 63 bytes, cut between characters. */
export function standInName(name: string): string {
  const suffix = '_standby';
  let kept = name;
  while (Buffer.byteLength(kept + suffix) > 63) kept = [...kept].slice(0, -1).join('');
  return kept + suffix;
}

function planExclusions(context: TranslationContext, table: TableModel): void {
  const at = quoteTable(table.schema, table.name);
  for (const exclusion of table.exclusions) {
    const object = columnObject(table, exclusion.name);
    if (!context.capabilities.exclusionConstraints) {
      deviate(context, object, 'exclusion', 'not created: the secondary has no exclusion constraints');
      continue;
    }
    const drop = `ALTER TABLE ${at} DROP CONSTRAINT IF EXISTS ${quoteIdent(exclusion.name)}`;
    context.promotion.push({
      table: { schema: table.schema, name: table.name },
      kind: 'exclusion',
      name: exclusion.name,
      sql: `${drop};\nALTER TABLE ${at} ADD CONSTRAINT ${quoteIdent(exclusion.name)} ${exclusion.definition}`,
      undo: drop,
    });
    deviate(context, object, 'exclusion', 'created at promotion only');
  }
}

function unfitColumn(context: TranslationContext, table: TableModel, columns: readonly string[]): string | null {
  const reasons = table.columns
    .filter((column) => columns.includes(column.name))
    .map((column) => notIndexable(context, column));
  return reasons.find((reason) => reason !== null) ?? null;
}
