/**
 * Reads a CockroachDB catalog into the same model, as far as the comparison with a translation needs it. Types carry
 * `crdb_sql_type` as their `display`; sizes, estimates and definitions that only a primary needs are left empty.
 */
import type { TableName } from '../core/ident.js';
import { METADATA_SCHEMA } from './catalog-relations.js';
import { type CatalogClient, rows } from './catalog-session.js';
import type { CatalogModel, ColumnModel, KeyModel, SequenceModel, TableModel } from './model.js';

interface Relation {
  oid: number;
  schema: string;
  name: string;
  kind: string;
  comment: string | null;
}

const WANTED = 'JOIN unnest($1::STRING[], $2::STRING[]) AS wanted(schema, name)';

const RELATIONS = `
SELECT c.oid::INT8 AS oid, n.nspname::STRING AS schema, c.relname::STRING AS name, c.relkind::STRING AS kind,
  obj_description(c.oid) AS comment
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
${WANTED} ON wanted.schema = n.nspname AND wanted.name = c.relname
WHERE c.relkind IN ('r', 'v', 'm') ORDER BY 2, 3`;

interface Column {
  table: number;
  attnum: number;
  name: string;
  display: string;
  typname: string;
  nullable: boolean;
  default: string | null;
  identity: string | null;
  generation: string | null;
  virtual: boolean;
  comment: string | null;
}

const COLUMNS = `
SELECT a.attrelid::INT8 AS table, a.attnum::INT8 AS attnum, a.attname::STRING AS name, i.crdb_sql_type AS display,
  t.typname::STRING AS typname, i.is_nullable = 'YES' AS nullable, i.column_default AS default,
  i.identity_generation AS identity, i.generation_expression AS generation, a.attgenerated = 'v' AS virtual,
  col_description(a.attrelid, a.attnum) AS comment
FROM information_schema.columns i
${WANTED} ON wanted.schema = i.table_schema AND wanted.name = i.table_name
JOIN pg_catalog.pg_namespace n ON n.nspname = i.table_schema
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = i.table_name
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = i.column_name
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
WHERE i.is_hidden = 'NO' AND i.table_catalog = current_database()
ORDER BY 1, 2`;

interface Constraint {
  table: number;
  name: string;
  kind: string;
  columns: string[] | null;
  definition: string;
  validated: boolean;
  ref_schema: string | null;
  ref_name: string | null;
}

const CONSTRAINTS = `
SELECT k.conrelid::INT8 AS table, k.conname::STRING AS name, k.contype::STRING AS kind, k.convalidated AS validated,
  pg_get_constraintdef(k.oid) AS definition,
  (SELECT json_agg(a.attname ORDER BY o.n) FROM unnest(k.conkey) WITH ORDINALITY AS o(attnum, n)
   JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = o.attnum) AS columns,
  fn.nspname::STRING AS ref_schema, fc.relname::STRING AS ref_name
FROM pg_catalog.pg_constraint k
LEFT JOIN pg_catalog.pg_class fc ON fc.oid = k.confrelid
LEFT JOIN pg_catalog.pg_namespace fn ON fn.oid = fc.relnamespace
WHERE k.conrelid = ANY ($1::OID[]) ORDER BY 1, 2`;

interface Index {
  table: number;
  name: string;
  unique: boolean;
  method: string;
  columns: string[] | null;
}

const INDEXES = `
SELECT i.indrelid::INT8 AS table, ic.relname::STRING AS name, i.indisunique AS unique, am.amname::STRING AS method,
  (SELECT json_agg(a.attname ORDER BY o.n) FROM unnest(string_to_array(i.indkey::STRING, ' ')) WITH ORDINALITY AS o(attnum, n)
   JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = o.attnum::INT8
   WHERE o.n <= i.indnkeyatts) AS columns
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
LEFT JOIN pg_catalog.pg_am am ON am.oid = ic.relam
WHERE i.indrelid = ANY ($1::OID[]) AND NOT i.indisprimary ORDER BY 1, 2`;

const TRIGGERS = `
SELECT tgrelid::INT8 AS table, tgname::STRING AS name FROM pg_catalog.pg_trigger
WHERE tgrelid = ANY ($1::OID[]) AND NOT tgisinternal`;

const ENUMS = `
SELECT n.nspname::STRING AS schema, t.typname::STRING AS name, json_agg(e.enumlabel ORDER BY e.enumsortorder) AS labels
FROM pg_catalog.pg_enum e JOIN pg_catalog.pg_type t ON t.oid = e.enumtypid
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace GROUP BY 1, 2 ORDER BY 1, 2`;

/** pg_sequences alone knows the cache; it names no width, and a width shows in the bounds anyway. */
const SEQUENCES = `
SELECT schemaname::STRING AS schema, sequencename::STRING AS name, start_value::STRING AS start, min_value::STRING AS min,
  max_value::STRING AS max, increment_by::STRING AS increment, cache_size::STRING AS cache
FROM pg_catalog.pg_sequences WHERE schemaname <> '${METADATA_SCHEMA}' ORDER BY 1, 2`;

const SCHEMAS = `
SELECT nspname::STRING AS name FROM pg_catalog.pg_namespace
WHERE nspname NOT LIKE 'pg\\_%' AND nspname NOT IN ('information_schema', 'crdb_internal', '${METADATA_SCHEMA}') ORDER BY 1`;

export async function readCockroachCatalog(client: CatalogClient, tables: readonly TableName[]): Promise<CatalogModel> {
  const wanted = [tables.map((table) => table.schema), tables.map((table) => table.name)];
  const relations = await rows<Relation>(client, RELATIONS, wanted);
  const oids = relations.map((relation) => relation.oid);
  const parts = {
    columns: await rows<Column>(client, COLUMNS, wanted),
    constraints: await rows<Constraint>(client, CONSTRAINTS, [oids]),
    indexes: await rows<Index>(client, INDEXES, [oids]),
    triggers: await rows<{ table: number; name: string }>(client, TRIGGERS, [oids]),
  };
  const sequences = await rows<Omit<SequenceModel, 'type' | 'cycle' | 'ownedBy' | 'identity'>>(client, SEQUENCES);
  const found = new Set(relations.map((relation) => JSON.stringify([relation.schema, relation.name])));
  return {
    schemas: (await rows<{ name: string }>(client, SCHEMAS)).map((row) => row.name),
    tables: relations.filter((relation) => relation.kind === 'r').map((relation) => tableModel(relation, parts)),
    enums: await rows(client, ENUMS),
    domains: [],
    composites: [],
    ranges: [],
    sequences: sequences.map((row) => ({ ...row, type: 'bigint', cycle: false, ownedBy: null, identity: false })),
    functions: [],
    extensions: [],
    asciiCase: false,
    missing: tables.filter((table) => !found.has(JSON.stringify([table.schema, table.name]))),
    skipped: relations
      .filter((relation) => relation.kind !== 'r')
      .map(({ schema, name }) => ({ table: { schema, name }, reason: 'it is a view, not a table' })),
  };
}

interface Parts {
  readonly columns: readonly Column[];
  readonly constraints: readonly Constraint[];
  readonly indexes: readonly Index[];
  readonly triggers: readonly { table: number; name: string }[];
}

function tableModel({ oid, schema, name, comment }: Relation, parts: Parts): TableModel {
  const mine = <R extends { table: number }>(list: readonly R[]): R[] => list.filter((row) => row.table === oid);
  const columns = mine(parts.columns).map(columnModel);
  const visible = new Set(columns.map((column) => column.name));
  const constraints = mine(parts.constraints);
  const keys = (kind: string): KeyModel[] =>
    constraints.filter((row) => row.kind === kind && row.columns?.every((column) => visible.has(column))).map(keyModel);
  const uniques = keys('u');
  const constraintNames = new Set(uniques.map((key) => key.name));
  // A table without a key has one on a hidden column.
  const primaryKey = keys('p')[0] ?? null;
  return {
    oid,
    schema,
    name,
    kind: 'table',
    columns,
    primaryKey,
    uniques,
    checks: constraints
      .filter((row) => row.kind === 'c')
      .map((row) => ({ name: row.name, expression: row.definition, validated: row.validated, enforced: true })),
    foreignKeys: constraints
      .filter((row) => row.kind === 'f')
      .map((row) => ({
        ...{ name: row.name, columns: row.columns ?? [], referencedColumns: [], setColumns: [] },
        references: { schema: row.ref_schema ?? '', name: row.ref_name ?? '' },
        ...{ onUpdate: 'a', onDelete: 'a', match: 's', deferrable: false, enforced: true, definition: row.definition },
      })),
    exclusions: [],
    indexes: mine(parts.indexes)
      .filter((row) => !constraintNames.has(row.name))
      .map((row) => ({
        ...{ name: row.name, method: row.method, unique: row.unique, nullsNotDistinct: false },
        columns: (row.columns ?? []).map((column) => ({
          ...{ column, expression: null, descending: false, nullsFirst: false, operatorClass: null },
        })),
        ...{ include: [], predicate: null, extensions: [], tail: '' },
      })),
    triggers: mine(parts.triggers).map((row) => ({
      ...{ name: row.name, definition: '', function: { schema: '', name: '' }, enabled: 'O' },
    })),
    replicaIdentity: { kind: 'd', columns: primaryKey?.columns ?? [] },
    ...{ rowEstimate: null, sizeBytes: 0, comment, partitions: [], rowSecurity: false, inherits: [] },
  };
}

function columnModel(row: Column): ColumnModel {
  const generated = row.generation !== null && row.generation !== '';
  return {
    attnum: row.attnum,
    name: row.name,
    type: {
      ...{ oid: 0, schema: 'pg_catalog', name: row.typname, kind: 'base', display: row.display },
      ...{ typmod: -1, element: null, base: null, extension: null },
    },
    dimensions: 0,
    nullable: row.nullable,
    default: generated ? null : row.default,
    identity: !row.identity ? null : /always/i.test(row.identity) ? 'a' : 'd',
    generated: generated ? { kind: row.virtual ? 'virtual' : 'stored', expression: row.generation ?? '' } : null,
    ...{ ownedSequence: null, collation: null, comment: row.comment, missingValue: null },
  };
}

function keyModel(row: Constraint): KeyModel {
  return {
    ...{ name: row.name, columns: row.columns ?? [], include: [], deferrable: false, initiallyDeferred: false },
    ...{ nullsNotDistinct: false, temporal: false, definition: row.definition },
  };
}
