/**
 * The statements of the apply pipeline: many rows each, one array parameter a column. Pure text; a dialect differs only
 * by the few traits that it declares.
 */
import { quoteIdent, quoteTable } from '../core/ident.js';
import type { TargetColumn, TargetTable } from './target-table.js';

export interface StatementTraits {
  /** `OVERRIDING SYSTEM VALUE` is needed for GENERATED ALWAYS identities. */
  readonly overridingSystemValue: boolean;
  /** A blind `UPSERT` is cheaper than ON CONFLICT when every column is named (CockroachDB). */
  readonly upsert: boolean;
}

/** `SELECT u.c0, u.c1::type FROM unnest($1::a[], $2::b[]) AS u(c0, c1)`, parameters numbered from `from`. */
function source(columns: readonly TargetColumn[], from = 1): { select: string; rows: string } {
  const select = columns.map((column, i) => cast(column, `u.c${i}`)).join(', ');
  const parameters = columns.map((column, i) => `$${i + from}::${column.arrayType}[]`).join(', ');
  const names = columns.map((_, i) => `c${i}`).join(', ');
  return { select, rows: `unnest(${parameters}) AS u(${names})` };
}

function cast(column: TargetColumn, expression: string): string {
  return column.arrayType === 'text' && column.sqlType !== 'text' ? `${expression}::${column.sqlType}` : expression;
}

function names(columns: readonly TargetColumn[]): string {
  return columns.map((column) => quoteIdent(column.name)).join(', ');
}

/**
 * Inserts rows or replaces them by key. `key` must be covered by a unique index.
 * @param fixed columns that are inserted and never updated
 */
export function upsertSql(
  table: TargetTable,
  columns: readonly TargetColumn[],
  key: readonly string[],
  traits: StatementTraits,
  fixed: readonly string[] = [],
): string {
  const { select, rows } = source(columns);
  const into = `${quoteTable(table.schema, table.name)} (${names(columns)})`;
  const writable = table.columns.filter((column) => !column.generated).length;
  const isPrimary =
    table.primaryKey !== null &&
    key.length === table.primaryKey.length &&
    key.every((name, i) => name === table.primaryKey?.[i]);
  if (traits.upsert && isPrimary && columns.length === writable)
    return `UPSERT INTO ${into} SELECT ${select} FROM ${rows}`;
  const set = columns
    .filter((column) => !key.includes(column.name) && !fixed.includes(column.name))
    .map((column) => `${quoteIdent(column.name)} = excluded.${quoteIdent(column.name)}`);
  const action = set.length === 0 ? 'DO NOTHING' : `DO UPDATE SET ${set.join(', ')}`;
  const overriding = traits.overridingSystemValue ? ' OVERRIDING SYSTEM VALUE' : '';
  return `INSERT INTO ${into}${overriding} SELECT ${select} FROM ${rows} ON CONFLICT (${key.map(quoteIdent).join(', ')}) ${action}`;
}

/** Inserts rows that are known not to exist. */
export function insertSql(table: TargetTable, columns: readonly TargetColumn[], traits: StatementTraits): string {
  const { select, rows } = source(columns);
  const overriding = traits.overridingSystemValue ? ' OVERRIDING SYSTEM VALUE' : '';
  return `INSERT INTO ${quoteTable(table.schema, table.name)} (${names(columns)})${overriding} SELECT ${select} FROM ${rows}`;
}

export type CopyFormat = 'text' | 'binary';

/** Inserts rows that are known not to exist; the lines follow in COPY's text format, or its binary one. */
export function copySql(table: TargetTable, columns: readonly TargetColumn[], as: CopyFormat = 'text'): string {
  const format = as === 'binary' ? ' (FORMAT binary)' : '';
  return `COPY ${quoteTable(table.schema, table.name)} (${names(columns)}) FROM STDIN${format}`;
}

/**
 * Fails (22P02) unless columns have the types that they are known to have: a COPY in binary takes the bytes of one type for
 * those of another without a word. Parameters: tables, and for each column its table's place among them (from 1 on), its
 * name and its type by oid.
 */
export const SAME_TYPES_SQL = `SELECT (CASE WHEN (SELECT count(*)
  FROM (SELECT to_regclass(t) AS rel, i FROM unnest($1::text[]) WITH ORDINALITY AS u(t, i)) AS r
  JOIN unnest($2::int8[], $3::text[], $4::int8[]) AS k(i, name, type) ON k.i = r.i
  LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = r.rel AND a.attname = k.name::name AND NOT a.attisdropped
  WHERE a.atttypid IS DISTINCT FROM k.type::oid) = 0 THEN '0' ELSE 'columns have other types now' END)::int`;

/** Deletes rows by key. */
export function deleteSql(table: TargetTable, key: readonly TargetColumn[]): string {
  return `DELETE FROM ${quoteTable(table.schema, table.name)} WHERE ${keyIn(key, 1)}`;
}

/** Sets `columns` of the rows with the given keys. Parameters: key columns, then `columns`. */
export function updateSql(table: TargetTable, key: readonly TargetColumn[], columns: readonly TargetColumn[]): string {
  const all = [...key, ...columns];
  const { rows } = source(all);
  const aliased = all.map((column, i) => `${cast(column, `u.c${i}`)} AS v${i}`).join(', ');
  const set = columns.map((column, i) => `${quoteIdent(column.name)} = s.v${i + key.length}`).join(', ');
  const match = key.map((column, i) => `t.${quoteIdent(column.name)} = s.v${i}`).join(' AND ');
  return `UPDATE ${quoteTable(table.schema, table.name)} AS t SET ${set} FROM (SELECT ${aliased} FROM ${rows}) AS s WHERE ${match}`;
}

/** Moves one row to another key, keeping what the WAL did not carry. Parameters: old key, then new values, one each. */
export function moveSql(table: TargetTable, key: readonly TargetColumn[], columns: readonly TargetColumn[]): string {
  const scalar = (column: TargetColumn, i: number) => `$${i}::text::${column.sqlType}`;
  const set = columns
    .map((column, i) => `${quoteIdent(column.name)} = ${scalar(column, i + key.length + 1)}`)
    .join(', ');
  const match = key.map((column, i) => `${quoteIdent(column.name)} = ${scalar(column, i + 1)}`).join(' AND ');
  return `UPDATE ${quoteTable(table.schema, table.name)} SET ${set} WHERE ${match}`;
}

/**
 * Current values, as text, of `columns` (as v0, v1 and so on) for the given keys. Parameters: ids, then the key columns.
 * A row names its key by the id: a key's text may not be the same here as where it comes from.
 */
export function selectSql(table: TargetTable, key: readonly TargetColumn[], columns: readonly TargetColumn[]): string {
  const parameters = key.map((column, i) => `$${i + 2}::${column.arrayType}[]`).join(', ');
  const fields = key.map((_, i) => `c${i}`).join(', ');
  const keys = key.map((column, i) => `${cast(column, `u.c${i}`)} AS k${i}`).join(', ');
  const match = key.map((column, i) => `t.${quoteIdent(column.name)} = s.k${i}`).join(' AND ');
  const values = columns.map((column, i) => `, t.${quoteIdent(column.name)} AS v${i}`).join('');
  return (
    `SELECT s.i AS id${values} FROM (SELECT u.i, ${keys} FROM unnest($1::int8[], ${parameters}) AS u(i, ${fields})) AS s ` +
    `JOIN ${quoteTable(table.schema, table.name)} AS t ON ${match}`
  );
}

/**
 * The same for expressions over the table's alias `r`. Parameters: ids, then the key columns.
 */
export function selectExpressionsSql(
  table: TargetTable,
  key: readonly TargetColumn[],
  expressions: readonly string[],
): string {
  const parameters = key.map((column, i) => `$${i + 2}::${column.arrayType}[]`).join(', ');
  const fields = key.map((_, i) => `c${i}`).join(', ');
  const keys = key.map((column, i) => `${cast(column, `u.c${i}`)} AS k${i}`).join(', ');
  const match = key.map((column, i) => `r.${quoteIdent(column.name)} = s.k${i}`).join(' AND ');
  const values = expressions.map((expression, i) => `, ${expression} AS v${i}`).join('');
  return (
    `SELECT s.i AS id${values} FROM (SELECT u.i, ${keys} FROM unnest($1::int8[], ${parameters}) AS u(i, ${fields})) AS s ` +
    `JOIN ${quoteTable(table.schema, table.name)} AS r ON ${match}`
  );
}

/**
 * Deletes rows that hold one of the given unique values and none of the given keys. Parameters: unique columns, then key
 * columns. `unique` may be the key itself.
 */
export function evictSql(table: TargetTable, unique: readonly TargetColumn[], key: readonly TargetColumn[]): string {
  return `DELETE FROM ${quoteTable(table.schema, table.name)} WHERE ${keyIn(unique, 1)} AND NOT (${keyIn(key, unique.length + 1)})`;
}

/** Types of which two values that are equal are always the same: not numeric (1.0, 1.00), float (0, -0), jsonb, text. */
const IDENTITY_TYPES = new Set(['int2', 'int4', 'int8', 'oid', 'bool', 'uuid', 'date', 'timestamp', 'timestamptz']);

/**
 * Deletes n copies of each given row from a table without a key. Parameters: id, n, then the columns.
 * Values are compared by the target's own text form where equal values may differ, NULL equal to NULL.
 */
export function deleteCopiesSql(table: TargetTable, columns: readonly TargetColumn[]): string {
  const parameters = columns.map((_, i) => `$${i + 3}::text[]`).join(', ');
  const fields = columns.map((_, i) => `c${i}`).join(', ');
  const match = columns.map((column, i) => {
    const ours = `t.${quoteIdent(column.name)}`;
    const given = `u.c${i}${column.sqlType === 'text' ? '' : `::${column.sqlType}`}`;
    if (IDENTITY_TYPES.has(column.arrayType) && column.notNull) return `${ours} = ${given}`;
    return `coalesce(${ours}::text, '') = coalesce(${given}::text, '') AND (${ours} IS NULL) = (u.c${i} IS NULL)`;
  });
  const name = quoteTable(table.schema, table.name);
  return (
    `DELETE FROM ${name} WHERE ${table.rowId} IN (SELECT x.id FROM (` +
    `SELECT t.${table.rowId} AS id, u.n, row_number() OVER (PARTITION BY u.i) AS copy ` +
    `FROM unnest($1::int8[], $2::int8[], ${parameters}) AS u(i, n, ${fields}) JOIN ${name} AS t ON ${match.join(' AND ')}) AS x WHERE x.copy <= x.n)`
  );
}

function keyIn(key: readonly TargetColumn[], from: number): string {
  const [only] = key;
  if (only && key.length === 1 && only.arrayType !== 'text')
    return `${quoteIdent(only.name)} = ANY ($${from}::${only.arrayType}[])`;
  const { select, rows } = source(key, from);
  return `(${names(key)}) IN (SELECT ${select} FROM ${rows})`;
}
