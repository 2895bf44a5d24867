/**
 * What a column's type becomes on the secondary, and what has to be done to its text on the way. On a PostgreSQL
 * secondary every type stays itself, unless an extension is not to be had there. On CockroachDB the table in
 * `type-map-cockroach.ts` decides.
 */
import { quoteTable } from '../core/ident.js';
import type { TargetCapabilities } from './capabilities.js';
import { type CreatedTypes, type MappedType, typeKey } from './mapped-type.js';
import { type ColumnModel, type TypeModel, undomained } from './model.js';
import { mapCockroachType } from './type-map-cockroach.js';

export function mapType(
  column: Pick<ColumnModel, 'type' | 'dimensions'>,
  capabilities: TargetCapabilities,
  created: CreatedTypes,
): MappedType {
  return capabilities.dialect === 'cockroach'
    ? mapCockroachType(column.type, column.dimensions, capabilities, created)
    : mapPostgresType(column.type, capabilities, created);
}

function mapPostgresType(type: TypeModel, capabilities: TargetCapabilities, created: CreatedTypes): MappedType {
  if (type.kind === 'domain' && type.base && isUserType(type) && !created.has(typeKey(type))) {
    const base = mapPostgresType(type.base, capabilities, created);
    return { ...base, note: base.note ?? `domain ${type.display} becomes its base type` };
  }
  const extension = extensionOf(type);
  if (extension !== null && !capabilities.extensions.has(extension)) return withoutExtension(type, extension);
  const reason = unknownToPostgres(type, capabilities, created);
  if (reason !== null) return { sqlType: 'text', convert: 'text', note: reason };
  const installed = extension === null ? null : capabilities.extensions.get(extension);
  if (installed && extension === undomained(type).extension && installed !== type.schema && type.kind !== 'domain') {
    return { sqlType: relocated(type, installed), convert: 'none', note: null };
  }
  return { sqlType: type.display, convert: 'none', note: null };
}

/** The extension that a type needs, its own or that of what it is made of. */
export function extensionOf(type: TypeModel): string | null {
  return type.extension ?? (type.element ? extensionOf(type.element) : type.base ? extensionOf(type.base) : null);
}

function withoutExtension(type: TypeModel, extension: string): MappedType {
  const reason = `the secondary has no extension ${extension}`;
  const inner = undomained(type);
  if (inner.name === 'hstore' && inner.kind === 'base') {
    return { sqlType: 'jsonb', convert: 'hstore', note: `${reason}: kept as jsonb` };
  }
  return { sqlType: 'text', convert: 'text', note: `${reason}: kept as text` };
}

function unknownToPostgres(type: TypeModel, capabilities: TargetCapabilities, created: CreatedTypes): string | null {
  if (type.element) return unknownToPostgres(type.element, capabilities, created);
  if (type.kind === 'pseudo') return `type ${type.display} is a table's row type: kept as text`;
  if (type.schema === 'pg_catalog') {
    return capabilities.types.has(type.name) ? null : `the secondary has no type ${type.display}: kept as text`;
  }
  if (type.kind === 'base' && type.extension === null) return `type ${type.display} is written in C: kept as text`;
  if (BUILT_OF_OTHERS.has(type.kind) && isUserType(type) && !created.has(typeKey(type))) {
    return `type ${type.display} is made of types that the secondary lacks: kept as text`;
  }
  return type.base ? unknownToPostgres(type.base, capabilities, created) : null;
}

function isUserType(type: TypeModel): boolean {
  return type.extension === null && type.schema !== 'pg_catalog' && type.schema !== 'information_schema';
}

const BUILT_OF_OTHERS = new Set(['composite', 'range', 'multirange']);

/** The same type where the secondary has the extension in another schema. */
function relocated(type: TypeModel, schema: string): string {
  if (type.element) return `${relocated(type.element, schema)}[]`;
  const modifier = /\([^()]*\)$/.exec(type.display)?.[0] ?? '';
  return `${quoteTable(schema, type.name)}${modifier}`;
}
