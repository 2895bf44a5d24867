/**
 * Translates the primary's catalog for the secondary. Pure: the same catalog and capabilities give the same text.
 * Foreign keys, triggers and whatever old rows might break wait for promotion; whatever the secondary cannot have is
 * a deviation, never silence.
 */
import { displayName, quoteIdent, quoteTable } from '../core/ident.js';
import type { TargetCapabilities } from './capabilities.js';
import type { CatalogModel, TableModel } from './model.js';
import { addConstraint, commentStatement, constraintClause } from './planned-sql.js';
import { planChecks } from './translate-checks.js';
import { columnDefinition, planColumn, planGenerated } from './translate-column.js';
import { columnObject, deviate, type TranslationContext } from './translate-context.js';
import { planIndexes } from './translate-index.js';
import { planKeys } from './translate-keys.js';
import { planForeignKeys, planTriggers } from './translate-references.js';
import { planExtensions, planSequences, planTypes } from './translate-types.js';
import type {
  PlannedSchema,
  PlannedTable,
  PromotionItem,
  PromotionKind,
  Statement,
  Translation,
} from './translation.js';

export function translate(catalog: CatalogModel, capabilities: TargetCapabilities): Translation {
  const deviations: TranslationContext['deviations'] = [];
  const { types, created } = planTypes(catalog, capabilities, deviations);
  const context: TranslationContext = {
    catalog,
    capabilities,
    created,
    deviations,
    promotion: [],
    extensions: new Set(),
  };
  for (const { table, reason } of catalog.skipped)
    deviate(context, displayName(table), 'table', `not replicated: ${reason}`);
  const sequences = planSequences(catalog, capabilities, deviations);
  const tables = catalog.tables.map((table) => planTable(context, table));
  const extensions = planExtensions(catalog, capabilities, context.extensions);
  const schemas = [...schemaNames(catalog, context.extensions)].map((name) => ({
    name,
    sql: `CREATE SCHEMA IF NOT EXISTS ${quoteIdent(name)}`,
  }));
  const schema: PlannedSchema = { schemas, extensions, types, sequences, tables };
  return {
    dialect: capabilities.dialect,
    capabilities,
    schema,
    statements: allStatements(schema),
    promotion: inPromotionOrder(context.promotion),
    deviations,
    columns: tables.map((table) => ({
      table: { schema: table.schema, name: table.name },
      columns: table.columns,
    })),
  };
}

/** `public` is there in every database, and naming it would ask for a right that an ordinary role may lack. */
function schemaNames(catalog: CatalogModel, extensions: ReadonlySet<string>): Set<string> {
  const names = new Set(catalog.schemas);
  for (const extension of catalog.extensions) if (extensions.has(extension.name)) names.add(extension.schema);
  for (const present of ['public', 'pg_catalog', 'information_schema']) names.delete(present);
  return names;
}

function planTable(context: TranslationContext, table: TableModel): PlannedTable {
  const { capabilities } = context;
  describe(context, table);
  const typed = table.columns.map((column) => planColumn(context, table, column));
  const columns = typed.map((plan, i) => {
    const column = table.columns[i];
    return column ? planGenerated(context, table, column, plan, typed) : plan;
  });
  const keys = planKeys(context, table, columns);
  const checks = planChecks(context, table, columns);
  const indexes = [...keys.standIns, ...planIndexes(context, table, columns)];
  planForeignKeys(context, table);
  planTriggers(context, table);

  const inline = [...(keys.primaryKey ? [keys.primaryKey] : []), ...keys.uniques, ...checks.filter((c) => !c.optional)];
  const lines = [
    ...columns.map((column) => `${quoteIdent(column.name)} ${columnDefinition(column, capabilities)}`),
    ...inline.map(constraintClause),
  ];
  return {
    schema: table.schema,
    name: table.name,
    columns,
    primaryKey: keys.primaryKey,
    uniques: keys.uniques,
    checks,
    indexes,
    comment: capabilities.comments ? table.comment : null,
    sql: `CREATE TABLE IF NOT EXISTS ${quoteTable(table.schema, table.name)} (\n  ${lines.join(',\n  ')}\n)`,
  };
}

/** What is true of the table as a whole. */
function describe(context: TranslationContext, table: TableModel): void {
  const object = displayName(table);
  if (table.kind === 'partitioned') {
    deviate(context, object, 'partitioning', 'a plain table there, with the columns, key and indexes of the root');
  }
  if (table.inherits.length > 0) {
    const parents = table.inherits.map(displayName).join(', ');
    deviate(context, object, 'inheritance', `a table of its own there, no longer a child of ${parents}`);
  }
  if (!table.primaryKey) {
    deviate(context, object, 'primary-key', 'the table has no primary key, so it has none there either');
  }
  if (table.rowSecurity) {
    deviate(context, object, 'row-security', 'row-level security policies are not copied: create them there by hand');
  }
}

function allStatements(schema: PlannedSchema): Statement[] {
  const list: Statement[] = [];
  const add = (kind: Statement['kind'], object: string, sql: string, optional = false): void => {
    list.push({ sql, kind, object, optional });
  };
  for (const { name, sql } of schema.schemas) add('schema', name, sql);
  for (const { name, sql } of schema.extensions) add('extension', name, sql);
  for (const type of schema.types) add('type', displayName(type), type.sql);
  for (const sequence of schema.sequences) add('sequence', displayName(sequence), sequence.sql);
  for (const table of schema.tables) add('table', displayName(table), table.sql);
  for (const sequence of schema.sequences) {
    if (sequence.ownership !== null) add('sequence', displayName(sequence), sequence.ownership);
  }
  for (const table of schema.tables) {
    list.push(...table.checks.filter((check) => check.optional).map((check) => addConstraint(table, check)));
  }
  for (const table of schema.tables) {
    for (const index of table.indexes) add('index', columnObject(table, index.name), index.sql, index.optional);
  }
  for (const table of schema.tables) {
    if (table.comment !== null) list.push(commentStatement(table, null, table.comment));
    for (const { name, comment } of table.columns) {
      if (comment !== null) list.push(commentStatement(table, name, comment));
    }
  }
  return list;
}

/** Foreign keys need the unique constraints that they refer to; triggers come last. */
const PROMOTION_ORDER: Readonly<Record<PromotionKind, number>> = {
  default: 0,
  index: 1,
  unique: 2,
  exclusion: 3,
  check: 4,
  'foreign-key': 5,
  trigger: 6,
};

function inPromotionOrder(items: readonly PromotionItem[]): PromotionItem[] {
  return [...items].sort((a, b) => PROMOTION_ORDER[a.kind] - PROMOTION_ORDER[b.kind]);
}
