/** Catalog models by hand, for translations without a database. */

import { capabilitiesOf, type TargetCapabilities } from '../../src/schema/capabilities.js';
import type {
  CatalogModel,
  ColumnModel,
  IndexModel,
  KeyModel,
  SequenceModel,
  TableModel,
  TypeModel,
} from '../../src/schema/model.js';
import { translate } from '../../src/schema/translate.js';

const BUILT_IN: Readonly<Record<string, string>> = {
  int2: 'smallint',
  int4: 'integer',
  int8: 'bigint',
  float4: 'real',
  float8: 'double precision',
  bool: 'boolean',
  varchar: 'character varying',
  bpchar: 'character',
  time: 'time without time zone',
  timetz: 'time with time zone',
  timestamp: 'timestamp without time zone',
  timestamptz: 'timestamp with time zone',
  varbit: 'bit varying',
  char: '"char"',
};

/** `int4`, or `varchar` with a display of `character varying(20)`. */
export function builtIn(name: string, display = BUILT_IN[name] ?? name): TypeModel {
  const kind = name.endsWith('multirange') ? 'multirange' : name.endsWith('range') ? 'range' : 'base';
  return { oid: 1, schema: 'pg_catalog', name, kind, display, typmod: -1, element: null, base: null, extension: null };
}

export function arrayOf(element: TypeModel): TypeModel {
  return { ...element, name: `_${element.name}`, kind: 'array', display: `${element.display}[]`, element, base: null };
}

export function userType(
  kind: TypeModel['kind'],
  schema: string,
  name: string,
  more: Partial<TypeModel> = {},
): TypeModel {
  const plain = { oid: 2, typmod: -1, element: null, base: null, extension: null };
  return { ...plain, schema, name, kind, display: `${schema}.${name}`, ...more };
}

export function column(name: string, type: TypeModel | string, more: Partial<ColumnModel> = {}): ColumnModel {
  const plain = { default: null, identity: null, generated: null, ownedSequence: null, collation: null, comment: null };
  const model = typeof type === 'string' ? builtIn(type) : type;
  return { attnum: 1, name, type: model, dimensions: 0, nullable: true, missingValue: null, ...plain, ...more };
}

export function key(name: string, columns: readonly string[], more: Partial<KeyModel> = {}): KeyModel {
  const plain = { include: [], deferrable: false, initiallyDeferred: false, nullsNotDistinct: false, temporal: false };
  return { name, columns, definition: '', ...plain, ...more };
}

export function table(name: string, columns: readonly ColumnModel[], more: Partial<TableModel> = {}): TableModel {
  const lists = { uniques: [], checks: [], foreignKeys: [], exclusions: [], indexes: [], triggers: [], partitions: [] };
  return {
    ...lists,
    ...{ oid: 3, schema: 'public', name, kind: 'table', primaryKey: key(`${name}_pkey`, ['id']) },
    columns: columns.map((each, i) => ({ ...each, attnum: i + 1 })),
    replicaIdentity: { kind: 'd', columns: ['id'] },
    ...{ rowEstimate: null, sizeBytes: 0, comment: null, rowSecurity: false, inherits: [] },
    ...more,
  };
}

export function catalog(tables: readonly TableModel[], more: Partial<CatalogModel> = {}): CatalogModel {
  const none = { enums: [], domains: [], composites: [], ranges: [], sequences: [], functions: [], extensions: [] };
  return { schemas: ['public'], tables, ...none, asciiCase: false, missing: [], skipped: [], ...more };
}

const FUNCTIONS = 'now gen_random_uuid lower upper length btrim timezone random uuid_generate_v4 coalesce'.split(' ');
const COCKROACH_TYPES =
  'int2 int4 int8 numeric float4 float8 bool text varchar bpchar bytea uuid date time timetz timestamp timestamptz interval inet bit varbit jsonb'.split(
    ' ',
  );

export function cockroach(version = 'v22.1.0', types: readonly string[] = []): TargetCapabilities {
  return capabilitiesOf({
    version: `CockroachDB CCL ${version} (x86_64)`,
    types: [...COCKROACH_TYPES, ...types],
    functions: FUNCTIONS,
  });
}

export function postgres(extensions: Readonly<Record<string, string | null>> = {}, major = 16): TargetCapabilities {
  const more = [
    'json',
    'xml',
    'money',
    'tsvector',
    'name',
    'oid',
    'char',
    'int4range',
    'int4multirange',
    'cidr',
    'point',
  ];
  return capabilitiesOf({
    version: `PostgreSQL ${major}.1 on x86_64`,
    types: [...COCKROACH_TYPES, ...more],
    functions: FUNCTIONS,
    collations: ['C'],
    extensions: new Map(Object.entries(extensions)),
  });
}

export function sequence(name: string, more: Partial<SequenceModel> = {}): SequenceModel {
  const owner = { table: { schema: 'public', name: 'users' }, column: 'id' };
  const numbers = { start: '1', increment: '1', min: '1', max: '2147483647', cache: '1' };
  return {
    schema: 'public',
    name,
    type: 'integer',
    ...numbers,
    cycle: false,
    ownedBy: owner,
    identity: false,
    ...more,
  };
}

export function index(name: string, columns: readonly string[], more: Partial<IndexModel> = {}): IndexModel {
  const plain = { expression: null, descending: false, nullsFirst: false, operatorClass: null };
  return {
    ...{ name, method: 'btree', unique: false, nullsNotDistinct: false, include: [], predicate: null, extensions: [] },
    columns: columns.map((each) => ({ column: each, ...plain })),
    tail: `btree (${columns.join(', ')})`,
    ...more,
  };
}

/** The translation for CockroachDB, with its texts alone. */
export function onCockroach(source: CatalogModel, capabilities = cockroach()) {
  const result = translate(source, capabilities);
  return {
    ...result,
    sql: result.statements.map((statement) => statement.sql),
    reasons: result.deviations.map(({ object, kind, reason }) => `${object} [${kind}] ${reason}`),
  };
}
