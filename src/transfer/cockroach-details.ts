/** What an export of CockroachDB needs beyond the catalog model: indexes and foreign keys as they are defined. */
import { quoteIdent, quoteTable, type TableName, tableKey } from '../core/ident.js';
import { type CatalogClient, rows } from '../schema/catalog-session.js';

export interface CockroachIndex {
  readonly table: TableName;
  readonly name: string;
  readonly unique: boolean;
  readonly primary: boolean;
  /** After USING. */
  readonly tail: string;
  /** Of expressions, for some rows only, or with columns beside the key: no plain constraint. */
  readonly special: boolean;
}

export interface CockroachForeignKey {
  readonly table: TableName;
  readonly name: string;
  readonly references: TableName;
  /** From FOREIGN KEY on. */
  readonly definition: string;
}

export interface CockroachDetails {
  readonly indexes: readonly CockroachIndex[];
  readonly foreignKeys: readonly CockroachForeignKey[];
  /** Rows by tableKey; only where statistics know them. */
  readonly estimates: ReadonlyMap<string, number>;
}

const WANTED = 'JOIN unnest($1::STRING[], $2::STRING[]) AS wanted(schema, name)';

const INDEXES = `
SELECT n.nspname::STRING AS schema, c.relname::STRING AS name, ic.relname::STRING AS index, i.indisunique AS unique,
  i.indisprimary AS primary, pg_get_indexdef(i.indexrelid) AS definition
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
${WANTED} ON wanted.schema = n.nspname AND wanted.name = c.relname
ORDER BY 1, 2, 3`;

const FOREIGN_KEYS = `
SELECT n.nspname::STRING AS schema, c.relname::STRING AS name, k.conname::STRING AS key,
  fn.nspname::STRING AS ref_schema, fc.relname::STRING AS ref_name,
  k.confupdtype::STRING AS on_update, k.confdeltype::STRING AS on_delete, k.confmatchtype::STRING AS match,
  k.convalidated AS validated,
  (SELECT json_agg(a.attname ORDER BY o.n) FROM unnest(k.conkey) WITH ORDINALITY AS o(attnum, n)
   JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = o.attnum) AS columns,
  (SELECT json_agg(a.attname ORDER BY o.n) FROM unnest(k.confkey) WITH ORDINALITY AS o(attnum, n)
   JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = o.attnum) AS referenced
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
${WANTED} ON wanted.schema = n.nspname AND wanted.name = c.relname
JOIN pg_catalog.pg_class fc ON fc.oid = k.confrelid
JOIN pg_catalog.pg_namespace fn ON fn.oid = fc.relnamespace
WHERE k.contype = 'f' ORDER BY 1, 2, 3`;

const ESTIMATES = `
SELECT n.nspname::STRING AS schema, c.relname::STRING AS name, c.reltuples::FLOAT8 AS rows
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
${WANTED} ON wanted.schema = n.nspname AND wanted.name = c.relname WHERE c.relkind = 'r'`;

export async function readDetails(client: CatalogClient, tables: readonly TableName[]): Promise<CockroachDetails> {
  const wanted = [tables.map((table) => table.schema), tables.map((table) => table.name)];
  const indexes = await rows<IndexRow>(client, INDEXES, wanted);
  const keys = await rows<KeyRow>(client, FOREIGN_KEYS, wanted);
  const estimates = await rows<TableName & { rows: number | null }>(client, ESTIMATES, wanted);
  return {
    indexes: indexes.map(indexOf),
    foreignKeys: keys.map(foreignKeyOf),
    estimates: new Map(estimates.flatMap(({ rows: n, ...table }) => (n && n > 0 ? [[tableKey(table), n]] : []))),
  };
}

interface IndexRow extends TableName {
  index: string;
  unique: boolean;
  primary: boolean;
  definition: string;
}

/** `CREATE UNIQUE INDEX i ON db.public.t USING btree (a ASC) STORING (b) WHERE (c)`; names may hold anything. */
function indexOf({ schema, name, index, unique, primary, definition }: IndexRow): CockroachIndex {
  const outside = definition.replace(/"(?:[^"]|"")*"/g, (quoted) => '_'.repeat(quoted.length));
  const tail = definition.slice(outside.indexOf(' USING ') + ' USING '.length);
  const special = !/^btree \((?:"(?:[^"]|"")*"|\w+)(?: ASC)?(?:, (?:"(?:[^"]|"")*"|\w+)(?: ASC)?)*\)$/.test(tail);
  return { table: { schema, name }, name: index, unique, primary, tail, special };
}

interface KeyRow extends TableName {
  key: string;
  ref_schema: string;
  ref_name: string;
  on_update: string;
  on_delete: string;
  match: string;
  validated: boolean;
  columns: string[] | null;
  referenced: string[] | null;
}

const ACTIONS: Readonly<Record<string, string>> = { r: 'RESTRICT', c: 'CASCADE', n: 'SET NULL', d: 'SET DEFAULT' };

function foreignKeyOf(row: KeyRow): CockroachForeignKey {
  const list = (columns: readonly string[] | null): string => (columns ?? []).map(quoteIdent).join(', ');
  const references = { schema: row.ref_schema, name: row.ref_name };
  const parts = [
    `FOREIGN KEY (${list(row.columns)}) REFERENCES ${quoteTable(references.schema, references.name)} (${list(row.referenced)})`,
  ];
  if (row.match === 'f') parts.push('MATCH FULL');
  const [onDelete, onUpdate] = [ACTIONS[row.on_delete], ACTIONS[row.on_update]];
  if (onDelete !== undefined) parts.push(`ON DELETE ${onDelete}`);
  if (onUpdate !== undefined) parts.push(`ON UPDATE ${onUpdate}`);
  if (!row.validated) parts.push('NOT VALID');
  return { table: { schema: row.schema, name: row.name }, name: row.key, references, definition: parts.join(' ') };
}
