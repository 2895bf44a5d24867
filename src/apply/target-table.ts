/** A replicated table as it is on the secondary, read from its catalog: what the apply pipeline binds relations to. */
import type { ClientBase } from 'pg';
import type { TableName } from '../core/ident.js';
import { quoteIdent } from '../core/ident.js';
import type { ArrayEncoding } from './array-literal.js';

export interface TargetColumn {
  readonly name: string;
  /** Type for a cast, quoted and qualified where it is a user's type. */
  readonly sqlType: string;
  /** pg_type.typname */
  readonly typeName: string;
  readonly typeOid: number;
  readonly isEnum: boolean;
  /** Element type for `$n::T[]`; `text` means: passed as text and cast to `sqlType` per row. */
  readonly arrayType: string;
  readonly encoding: ArrayEncoding;
  /** Computed by the secondary itself: never written. */
  readonly generated: boolean;
  readonly notNull: boolean;
}

export interface TargetTable extends TableName {
  readonly columns: readonly TargetColumn[];
  readonly byName: ReadonlyMap<string, number>;
  /** Column names in key order; null without a primary key. */
  readonly primaryKey: readonly string[] | null;
  /** Column lists of the other unique, non-partial indexes over plain columns. */
  readonly uniques: readonly (readonly string[])[];
  /** Foreign keys from or to the table: there should be none on a standby. */
  readonly foreignKeys: number;
  /** Hidden column that tells duplicates apart: ctid, or CockroachDB's hidden key. */
  readonly rowId: string;
}

const RAW_TYPES = new Set([
  'int2',
  'int4',
  'int8',
  'oid',
  'float4',
  'float8',
  'numeric',
  'bool',
  'uuid',
  'date',
  'time',
  'timetz',
  'timestamp',
  'timestamptz',
]);
const TYPED_ARRAYS = new Set([...RAW_TYPES, 'text', 'bytea', 'jsonb']);
/**
 * Types with a length, by typname, and what to cast to in their place: an explicit cast to the type with its length
 * would cut a value silently, where the assignment to the column refuses it. Quoted, bit is the one of any length.
 */
const UNBOUNDED: Readonly<Record<string, string>> = {
  varchar: 'text',
  bpchar: 'bpchar',
  varbit: 'varbit',
  bit: '"bit"',
  _varchar: 'varchar[]',
  _bpchar: 'bpchar[]',
  _varbit: 'varbit[]',
  _bit: '"bit"[]',
};

const COLUMNS_SQL = `
SELECT a.attname, a.attnum::int8, a.atttypid::int8::text AS type_oid, t.typname, t.typtype::text, t.typelem::int8 AS typelem, tn.nspname AS type_schema,
       format_type(a.atttypid, a.atttypmod) AS formatted, a.attgenerated::text AS generated, a.attnotnull::text AS attnotnull
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace
WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum`;

const INDEXES_SQL = `
SELECT i.indisprimary::text AS indisprimary, i.indnkeyatts::int8 AS keys, i.indkey::text AS columns
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = $2 AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL`;

/** CockroachDB only. */
const HIDDEN_SQL = `
SELECT column_name FROM information_schema.columns
WHERE table_schema = $1 AND table_name = $2 AND is_hidden = 'YES'`;

const FOREIGN_KEYS_SQL = `
SELECT count(*)::int8 AS n
FROM pg_catalog.pg_constraint k
WHERE k.contype = 'f' AND EXISTS (
  SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = $1 AND c.relname = $2 AND c.oid IN (k.conrelid, k.confrelid))`;

interface ColumnRow {
  attname: string;
  attnum: string;
  type_oid: string;
  typname: string;
  typtype: string;
  typelem: string;
  type_schema: string;
  formatted: string;
  generated: string;
  attnotnull: string;
}

export interface TargetTraits {
  /** `ctid` in PostgreSQL; CockroachDB has a hidden column in a table without a key. */
  readonly hiddenKey: 'ctid' | 'rowid';
  /** CockroachDB has no arrays of jsonb. */
  readonly jsonbArrays: boolean;
}

/** Reads a table's shape; null when it does not exist. Booleans travel as text: `client` may hand over raw values. */
export async function readTargetTable(
  client: ClientBase,
  table: TableName,
  traits: TargetTraits,
): Promise<TargetTable | null> {
  const at = [table.schema, table.name];
  const columns = (await client.query<ColumnRow>(COLUMNS_SQL, at)).rows;
  if (columns.length === 0) return null;
  const indexes = (await client.query<{ indisprimary: string; keys: string; columns: string }>(INDEXES_SQL, at)).rows;
  const foreignKeys = Number((await client.query<{ n: string }>(FOREIGN_KEYS_SQL, at)).rows[0]?.n ?? 0);

  const byNumber = new Map(columns.map((column) => [column.attnum, column.attname]));
  const hidden = traits.hiddenKey === 'rowid' ? await hiddenKeyColumn(client, at, indexes, byNumber) : null;
  const visible = columns.filter((column) => column.attname !== hidden);
  const keyLists = indexes.map((index) => ({
    primary: index.indisprimary === 'true',
    columns: index.columns
      .split(' ')
      .slice(0, Number(index.keys) || undefined)
      .map((number) => byNumber.get(number)),
  }));
  const plain = keyLists.filter((list): list is { primary: boolean; columns: string[] } =>
    list.columns.every((name) => name !== undefined && name !== hidden),
  );
  const shaped = visible.map((column) => shapeColumn(column, traits));
  return {
    ...table,
    columns: shaped,
    byName: new Map(shaped.map((column, i) => [column.name, i])),
    primaryKey: plain.find((list) => list.primary)?.columns ?? null,
    uniques: plain.filter((list) => !list.primary).map((list) => list.columns),
    foreignKeys,
    rowId: hidden === null ? 'ctid' : quoteIdent(hidden),
  };
}

/** In CockroachDB a table without a key is keyed by a hidden column named rowid (rowid_1 and so on where that is taken). */
async function hiddenKeyColumn(
  client: ClientBase,
  at: readonly string[],
  indexes: readonly { indisprimary: string; columns: string }[],
  byNumber: ReadonlyMap<string, string>,
): Promise<string | null> {
  const primary = indexes.find((index) => index.indisprimary === 'true');
  const name = primary && byNumber.get(primary.columns);
  if (name === undefined || !/^rowid(_\d+)?$/.test(name)) return null;
  const { rows } = await client.query<{ column_name: string }>(HIDDEN_SQL, [...at]);
  return rows.some((row) => row.column_name === name) ? name : null;
}

function shapeColumn(column: ColumnRow, traits: TargetTraits): TargetColumn {
  const userType = column.type_schema !== 'pg_catalog' && column.typtype !== 'b';
  const sqlType = userType ? `${quoteIdent(column.type_schema)}.${quoteIdent(column.typname)}` : column.formatted;
  const typed =
    column.type_schema === 'pg_catalog' &&
    TYPED_ARRAYS.has(column.typname) &&
    (column.typname !== 'jsonb' || traits.jsonbArrays);
  const unbounded = column.type_schema === 'pg_catalog' ? UNBOUNDED[column.typname] : undefined;
  return {
    name: column.attname,
    sqlType: unbounded ?? sqlType,
    typeName: column.typname,
    typeOid: Number(column.type_oid),
    isEnum: column.typtype === 'e',
    arrayType: typed ? column.typname : 'text',
    encoding: typed && RAW_TYPES.has(column.typname) ? 'raw' : 'quoted',
    generated: column.generated !== '' && column.generated !== ' ',
    notNull: column.attnotnull === 'true',
  };
}
