/**
 * The plan of an export whose source is CockroachDB. Its own names and expressions become those that PostgreSQL reads as
 * well; where the stream knows what a column is on the primary, PostgreSQL gets that type back.
 */
import { displayName, quoteIdent, quoteLiteral, quoteTable, type TableName, tableKey } from '../core/ident.js';
import { readCockroachCatalog } from '../schema/catalog-cockroach.js';
import { rows as query } from '../schema/catalog-session.js';
import type { CatalogModel, KeyModel, TableModel } from '../schema/model.js';
import { readDetails } from './cockroach-details.js';
import { type ExportedTable, type ExportPlan, parentsFirst, type RowForms } from './export-plan.js';
import type { ExportSource } from './export-source.js';
import { needsExtension, readKnownTypes } from './known-types.js';
import { type CockroachContext, planColumn } from './plan-cockroach-column.js';
import { planSequences } from './plan-sequences.js';
import { eachIn, only, type PortableSql, same } from './portable-sql.js';
import { sharedExpression } from './shared-expression.js';

const ALL_TABLES = `
SELECT n.nspname::STRING AS schema, c.relname::STRING AS name
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname NOT LIKE 'pg\\_%'
  AND n.nspname NOT IN ('information_schema', 'crdb_internal', 'db_redundancy') ORDER BY 1, 2`;

export async function planFromCockroach(
  source: ExportSource,
  wanted: readonly TableName[] | '*',
  stream: string,
): Promise<{ plan: ExportPlan; missing: readonly TableName[] }> {
  const names = wanted === '*' ? await query<TableName>(source.client, ALL_TABLES) : wanted;
  const catalog = await readCockroachCatalog(source.client, names);
  const missing = [...catalog.missing, ...catalog.skipped.map((entry) => entry.table)];
  const context: CockroachContext = {
    catalog,
    details: await readDetails(source.client, names),
    known: await readKnownTypes(source, stream),
    notes: [],
  };
  return { plan: planOf(context), missing };
}

function planOf(context: CockroachContext): ExportPlan {
  const { catalog, details } = context;
  const tables = catalog.tables.map((table) => ({ table, planned: planTable(context, table) }));
  const sequences = planSequences(catalog).filter(({ uses }) => uses.length > 0);
  const types = catalog.tables.flatMap((table) => [...(context.known.get(tableKey(table))?.values() ?? [])]);
  const schemas = new Set([...catalog.tables, ...sequences, ...usedEnums(catalog)].map(({ schema }) => schema));
  schemas.delete('public');
  const extensions = new Set(types.flatMap((type) => needsExtension(type) ?? []));
  const order = parentsFirst(catalog.tables, (table) =>
    details.foreignKeys.filter((key) => tableKey(key.table) === tableKey(table)).map((key) => key.references),
  );
  const exported = order.map((table) => tables.find((each) => each.table === table)?.planned as PlannedTable);
  return {
    notes: context.notes,
    settings: types.some(({ type }) => /^(money|xml)\b/.test(type))
      ? [only('postgres', `SET lc_monetary = 'C';\nSET xmloption = content`)]
      : [],
    tables: [
      ...[...schemas].sort().map((name) => same(`CREATE SCHEMA IF NOT EXISTS ${quoteIdent(name)}`)),
      ...[...extensions].map((name) =>
        only('postgres', `CREATE EXTENSION IF NOT EXISTS ${quoteIdent(name)} WITH SCHEMA "public"`),
      ),
      ...usedEnums(catalog).map(({ schema, name, labels }) =>
        same(
          `CREATE TYPE ${quoteTable(schema, name)} AS ENUM (${labels.map((label) => quoteLiteral(label).trim()).join(', ')})`,
        ),
      ),
      ...catalog.sequences
        .filter((sequence) =>
          sequences.some(({ schema, name }) => schema === sequence.schema && name === sequence.name),
        )
        .map(({ schema, name, increment, min, max, start, cache }) =>
          same(
            `CREATE SEQUENCE IF NOT EXISTS ${quoteTable(schema, name)} INCREMENT BY ${increment} MINVALUE ${min} MAXVALUE ${max} START WITH ${start} CACHE ${cache}`,
          ),
        ),
      ...tables.flatMap(({ planned }) => planned.statements),
    ],
    rows: exported.map((planned) => planned.exported),
    sequences,
    indexes: [...tables.flatMap(({ planned }) => planned.late), ...indexStatements(context)],
    constraints: foreignKeys(context),
  };
}

/** Types are the database's, not the tables': those that a column names. */
function usedEnums(catalog: CatalogModel): CatalogModel['enums'] {
  const displays = catalog.tables.flatMap((table) => table.columns.map((column) => column.type.display));
  return catalog.enums.filter(({ schema, name }) =>
    displays.some((display) =>
      [name, quoteIdent(name)].some(
        (text) =>
          display.replace(/(\[\])+$/, '') === `${schema}.${text}` ||
          display.replace(/(\[\])+$/, '') === `${quoteIdent(schema)}.${text}`,
      ),
    ),
  );
}

interface PlannedTable {
  readonly statements: readonly PortableSql[];
  /** Checks that only CockroachDB can have. */
  readonly late: readonly PortableSql[];
  readonly exported: ExportedTable;
}

function planTable(context: CockroachContext, table: TableModel): PlannedTable {
  const columns = table.columns.map((column) => planColumn(context, table, column));
  const constraints: string[] = table.primaryKey ? [key('PRIMARY KEY', table.primaryKey)] : [];
  for (const unique of table.uniques)
    if (isPlainUnique(context, table, unique.name)) constraints.push(key('UNIQUE', unique));
  const late: PortableSql[] = [];
  for (const check of table.checks) {
    const name = `CONSTRAINT ${quoteIdent(check.name)}`;
    const body = check.expression.replace(/ NOT VALID$/, '');
    const shared = sharedExpression(body);
    if (shared !== null) constraints.push(`${name} ${shared}`);
    else {
      late.push(only('cockroach', `ALTER TABLE ${quoteTable(table.schema, table.name)} ADD ${name} ${body}`));
      context.notes.push(
        `on PostgreSQL: ${displayName(table)}.${check.name}: not created: ${body} may mean something else there`,
      );
    }
  }
  const create = (dialect: 'postgres' | 'cockroach'): string => {
    const lines = [
      ...table.columns.map((column, i) => `${quoteIdent(column.name)} ${columns[i]?.[dialect]}`),
      ...constraints,
    ];
    return `CREATE TABLE IF NOT EXISTS ${quoteTable(table.schema, table.name)} (\n  ${lines.join(',\n  ')}\n)`;
  };
  const postgres = columns.flatMap(({ writes }) => writes.postgres ?? []);
  const cockroach = columns.flatMap(({ writes }) => writes.cockroach ?? []);
  const alike = columns.every(({ writes }) => writes.postgres === writes.cockroach);
  const forms: RowForms = alike ? { both: postgres } : { postgres, cockroach };
  const { schema, name } = table;
  return {
    statements: [eachIn(create('postgres'), create('cockroach')), ...comments(table)],
    late,
    exported: {
      schema,
      name,
      from: quoteTable(schema, name),
      forms,
      rowEstimate: context.details.estimates.get(tableKey(table)) ?? null,
    },
  };
}

function key(kind: string, { name, columns }: KeyModel): string {
  return `CONSTRAINT ${quoteIdent(name)} ${kind} (${columns.map(quoteIdent).join(', ')})`;
}

function isPlainUnique({ details }: CockroachContext, table: TableModel, name: string): boolean {
  const index = details.indexes.find((each) => each.name === name && tableKey(each.table) === tableKey(table));
  return index !== undefined && !index.special;
}

function comments(table: TableModel): PortableSql[] {
  const at = quoteTable(table.schema, table.name);
  const text = (comment: string): string => quoteLiteral(comment).trim();
  const list = table.columns.flatMap(({ name, comment }) =>
    comment === null ? [] : [same(`COMMENT ON COLUMN ${at}.${quoteIdent(name)} IS ${text(comment)}`)],
  );
  return table.comment === null ? list : [same(`COMMENT ON TABLE ${at} IS ${text(table.comment)}`), ...list];
}

function indexStatements(context: CockroachContext): PortableSql[] {
  return context.details.indexes.flatMap((index) => {
    const owner = context.catalog.tables.find((table) => tableKey(table) === tableKey(index.table));
    if (!owner || index.primary) return [];
    if (owner.uniques.some((unique) => unique.name === index.name) && !index.special) return [];
    const head = `CREATE ${index.unique ? 'UNIQUE ' : ''}INDEX IF NOT EXISTS ${quoteIdent(index.name)} ON ${quoteTable(index.table.schema, index.table.name)} USING `;
    const shared = sharedExpression(index.tail);
    if (shared !== null) return [same(`${head}${shared}`)];
    context.notes.push(`on PostgreSQL: ${displayName(index.table)}.${index.name}: index not created: ${index.tail}`);
    return [only('cockroach', `${head}${index.tail}`)];
  });
}

function foreignKeys({ catalog, details, notes }: CockroachContext): PortableSql[] {
  return details.foreignKeys.flatMap((foreign) => {
    if (!catalog.tables.some((table) => tableKey(table) === tableKey(foreign.references))) {
      notes.push(
        `left out: ${displayName(foreign.table)}.${foreign.name}: it refers to ${displayName(foreign.references)}`,
      );
      return [];
    }
    return [
      same(
        `ALTER TABLE ${quoteTable(foreign.table.schema, foreign.table.name)} ADD CONSTRAINT ${quoteIdent(foreign.name)} ${foreign.definition}`,
      ),
    ];
  });
}
