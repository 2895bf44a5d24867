/** The plan of an export whose source is PostgreSQL: exact there, and as CockroachDB's oldest supported version has it. */
import { displayName, quoteIdent, quoteLiteral, quoteTable } from '../core/ident.js';
import type { TargetCapabilities } from '../schema/capabilities.js';
import { type CatalogModel, type ColumnModel, sameName, type TableModel, undomained } from '../schema/model.js';
import { constraintClause } from '../schema/planned-sql.js';
import { translate } from '../schema/translate.js';
import type { Deviation, PlannedColumn, PlannedTable, Translation } from '../schema/translation.js';
import { cockroachFloor } from './cockroach-floor.js';
import { type ExportedTable, type ExportPlan, parentsFirst, type RowForms, type WrittenColumn } from './export-plan.js';
import { writerFromPostgres } from './literal.js';
import { type BothTranslations, planAfterRows } from './plan-postgres-after.js';
import { planSequences } from './plan-sequences.js';
import { eachIn, neutral, only, type PortableSql, same } from './portable-sql.js';

export function planFromPostgres(catalog: CatalogModel, capabilities: TargetCapabilities): ExportPlan {
  const exact = translate(catalog, capabilities);
  const both = { catalog, exact, floor: translate(catalog, cockroachFloor()) };
  const rows = parentsFirst(catalog.tables, (table) => table.foreignKeys.map((key) => key.references));
  return {
    notes: notes(both),
    settings: settings(catalog),
    tables: [
      ...exact.schema.schemas.map(({ sql }) => same(sql)),
      ...exact.schema.extensions.map(({ sql }) => only('postgres', sql)),
      ...types(both),
      ...sequenceStatements(both),
      ...catalog.tables.flatMap((table) => tableStatements(both, table)),
    ],
    rows: rows.map((table) => exportedTable(both, table)),
    sequences: planSequences(catalog),
    ...planAfterRows(both),
  };
}

/** What waits for promotion on a standby is simply there after the rows of an export. */
function notes({ exact, floor, catalog }: BothTranslations): string[] {
  const lasting = ({ reason }: Deviation): boolean => !/at promotion|until promotion/.test(reason);
  const lines = (list: readonly Deviation[], where: string): string[] =>
    list.filter(lasting).map(({ object, reason }) => `on ${where}: ${object}: ${reason}`);
  const outside = catalog.tables.flatMap((table) =>
    table.foreignKeys
      .filter((key) => !catalog.tables.some((other) => sameName(other, key.references)))
      .map((key) => `left out: ${displayName(table)}.${key.name}: it refers to ${displayName(key.references)}`),
  );
  return [
    ...new Set([...outside, ...lines(exact.deviations, 'PostgreSQL'), ...lines(floor.deviations, 'CockroachDB')]),
  ];
}

/** Settings that change how a text is read, and that CockroachDB does not know. */
function settings(catalog: CatalogModel): PortableSql[] {
  const uses = (name: string): boolean =>
    catalog.tables.some((table) => table.columns.some(({ type }) => innermost(type).name === name));
  const list: PortableSql[] = [];
  if (uses('money')) list.push(only('postgres', `SET lc_monetary = 'C'`));
  if (uses('xml')) list.push(only('postgres', 'SET xmloption = content'));
  return list;
}

function innermost(type: ColumnModel['type']): ColumnModel['type'] {
  const base = undomained(type);
  return base.element ? innermost(base.element) : base;
}

function types({ exact, floor }: BothTranslations): PortableSql[] {
  return exact.schema.types.map((type) => {
    const enumeration = type.kind === 'enum' && floor.schema.types.find((other) => sameName(other, type));
    return enumeration ? same(enumeration.sql.replace('TYPE IF NOT EXISTS', 'TYPE')) : only('postgres', type.sql);
  });
}

function sequenceStatements({ exact, floor }: BothTranslations): PortableSql[] {
  return floor.schema.sequences.map((sequence) => {
    const there = exact.schema.sequences.find((other) => sameName(other, sequence));
    if (!there) return only('cockroach', sequence.sql);
    return sequence.cycle ? eachIn(there.sql, sequence.sql) : same(sequence.sql);
  });
}

/** Kinds of deviation that say nothing about CREATE TABLE. */
const BESIDE = new Set(['foreign-key', 'trigger', 'index', 'partitioning', 'inheritance', 'row-security', 'sequence']);

function tableStatements({ exact, floor }: BothTranslations, table: TableModel): PortableSql[] {
  const here = exact.schema.tables.find((planned) => sameName(planned, table));
  const there = floor.schema.tables.find((planned) => sameName(planned, table));
  if (!here || !there) return [];
  const object = displayName(table);
  const about = ({ object: of, kind, reason }: Deviation): boolean =>
    of.startsWith(`${object}.`) && !BESIDE.has(kind) && !reason.includes('at promotion');
  if (![...exact.deviations, ...floor.deviations].some(about))
    return [same(neutral(withChecks(there))), ...comments(here)];
  return [eachIn(here.sql, withChecks(there)), ...comments(here)];
}

/** For CockroachDB the translation keeps checks as statements of their own, which may fail one by one. */
function withChecks(table: PlannedTable): string {
  const checks = table.checks.filter((check) => check.optional).map((check) => `,\n  ${constraintClause(check)}`);
  return table.sql.replace(/\n\)$/, () => `${checks.join('')}\n)`);
}

function comments(table: PlannedTable): PortableSql[] {
  const at = quoteTable(table.schema, table.name);
  const text = (comment: string): string => quoteLiteral(comment).trim();
  return [
    ...(table.comment === null ? [] : [same(`COMMENT ON TABLE ${at} IS ${text(table.comment)}`)]),
    ...table.columns.flatMap(({ name, comment }) =>
      comment === null ? [] : [same(`COMMENT ON COLUMN ${at}.${quoteIdent(name)} IS ${text(comment)}`)],
    ),
  ];
}

function exportedTable({ exact, floor }: BothTranslations, table: TableModel): ExportedTable {
  const columnsOf = (translation: Translation): readonly PlannedColumn[] =>
    translation.columns.find((planned) => sameName(planned.table, table))?.columns ?? [];
  const here = columnsOf(exact);
  const there = columnsOf(floor);
  const written = table.columns.map((column, i) => writtenColumn(column, here[i], there[i]));
  const postgres = written.flatMap((column) => column.postgres ?? []);
  const cockroach = written.flatMap((column) => column.cockroach ?? []);
  const alike = written.every((column) => column.postgres === column.cockroach);
  const forms: RowForms = alike ? { both: postgres } : { postgres, cockroach };
  return { schema: table.schema, name: table.name, from: source(table), forms, rowEstimate: table.rowEstimate };
}

/** Children by INHERITS are tables of their own here; partitions are not. */
function source(table: TableModel): string {
  const at = quoteTable(table.schema, table.name);
  return table.kind === 'table' ? `ONLY ${at}` : at;
}

interface BothColumns {
  /** Null: the database works it out. The same object in both: one text for both. */
  readonly postgres: WrittenColumn | null;
  readonly cockroach: WrittenColumn | null;
}

function writtenColumn(
  column: ColumnModel,
  here: PlannedColumn | undefined,
  there: PlannedColumn | undefined,
): BothColumns {
  const type = undomained(column.type);
  const name = quoteIdent(column.name);
  const convert = there?.convert ?? 'none';
  const plain: WrittenColumn = {
    name: column.name,
    // The amount alone: the sign of a currency is a matter of lc_monetary.
    select: type.name === 'money' ? `${name}::numeric` : name,
    write: writerFromPostgres(type.name, convert, there?.sqlType ?? ''),
  };
  const document: WrittenColumn = { ...plain, select: `${name}::jsonb` };
  return {
    postgres: here?.expression ? null : plain,
    cockroach: there?.expression ? null : convert === 'hstore' ? document : plain,
  };
}
