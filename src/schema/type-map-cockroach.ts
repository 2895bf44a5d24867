/** PostgreSQL types on CockroachDB. Names as `crdb_sql_type` prints them, so that both sides can be compared as text. */
import { quoteTable } from '../core/ident.js';
import type { TargetCapabilities } from './capabilities.js';
import { type CreatedTypes, type MappedType, typeKey } from './mapped-type.js';
import type { TypeModel } from './model.js';

const NAMES: Readonly<Record<string, string>> = {
  int2: 'INT2',
  int4: 'INT4',
  int8: 'INT8',
  float4: 'FLOAT4',
  float8: 'FLOAT8',
  bool: 'BOOL',
  text: 'STRING',
  bytea: 'BYTES',
  uuid: 'UUID',
  date: 'DATE',
  inet: 'INET',
  jsonb: 'JSONB',
};

/** Names that take a length or precision. */
const SIZED: Readonly<Record<string, string>> = {
  varchar: 'VARCHAR',
  bpchar: 'CHAR',
  time: 'TIME',
  timetz: 'TIMETZ',
  timestamp: 'TIMESTAMP',
  timestamptz: 'TIMESTAMPTZ',
  bit: 'BIT',
  varbit: 'VARBIT',
};

/** Small types whose text an integer or a string holds without loss. */
const PLAIN: Readonly<Record<string, string>> = { oid: 'INT8', name: 'STRING', char: 'STRING' };

export function mapCockroachType(
  type: TypeModel,
  dimensions: number,
  capabilities: TargetCapabilities,
  created: CreatedTypes,
): MappedType {
  if (type.kind === 'domain' && type.base) {
    const base = mapCockroachType(type.base, dimensions, capabilities, created);
    return { ...base, note: base.note ?? `domain ${type.display} becomes its base type` };
  }
  if (type.kind === 'array' && type.element) return mapArray(type, type.element, dimensions, capabilities, created);
  if (type.kind === 'enum') return same(quoteTable(type.schema, type.name));
  if (type.schema !== 'pg_catalog') return mapUserType(type, capabilities, created);
  return mapBuiltIn(type, capabilities);
}

function mapBuiltIn(type: TypeModel, capabilities: TargetCapabilities): MappedType {
  const { name } = type;
  const modifier = /\((\d+)(?:,(-?\d+))?\)/.exec(type.display);
  const plain = NAMES[name];
  if (plain !== undefined) return same(plain);
  if (name === 'bpchar') {
    return modifier
      ? { sqlType: `CHAR(${modifier[1]})`, convert: 'none', note: 'trailing blanks of char(n) are not kept' }
      : same('STRING');
  }
  const sized = SIZED[name];
  // Without a length it is the same type, and one that no later change has to convert.
  if (name === 'varchar' && !modifier) return same('STRING');
  if (sized !== undefined) return same(`${sized}${modifier ? `(${modifier[1]})` : ''}`);
  if (name === 'numeric') return mapNumeric(modifier);
  if (name === 'interval') return same(type.display.toUpperCase());
  if (name === 'json') {
    return { sqlType: 'JSONB', convert: 'json', note: 'json becomes JSONB: order and duplicate keys are not kept' };
  }
  if (name === 'money') {
    return { sqlType: 'DECIMAL(19,2)', convert: 'money', note: 'money becomes DECIMAL(19,2)' };
  }
  const replacement = PLAIN[name];
  if (replacement !== undefined) {
    return { sqlType: replacement, convert: 'none', note: `${type.display} becomes ${replacement}` };
  }
  if (capabilities.types.has(name)) return same(name.toUpperCase());
  return asText(type);
}

function mapNumeric(modifier: RegExpExecArray | null): MappedType {
  if (!modifier) return same('DECIMAL');
  const precision = Number(modifier[1]);
  const scale = Number(modifier[2] ?? 0);
  if (scale < 0 || scale > precision) {
    const note = `numeric(${precision},${scale}) becomes DECIMAL: the scale lies outside of what the secondary takes`;
    return { sqlType: 'DECIMAL', convert: 'none', note };
  }
  return same(scale === 0 ? `DECIMAL(${precision})` : `DECIMAL(${precision},${scale})`);
}

function mapArray(
  type: TypeModel,
  element: TypeModel,
  dimensions: number,
  capabilities: TargetCapabilities,
  created: CreatedTypes,
): MappedType {
  if (dimensions > 1) return asText(type, `array ${type.display} of ${dimensions} dimensions becomes STRING`);
  const mapped = mapCockroachType(element, 0, capabilities, created);
  const fits =
    (mapped.convert === 'none' || mapped.convert === 'json') &&
    (innerKind(element) === 'enum' || capabilities.arrayElements.has(carrier(element)));
  if (!fits) return asText(type);
  return { ...mapped, sqlType: `${mapped.sqlType}[]` };
}

/** The built-in type in which CockroachDB keeps the element. */
function carrier(type: TypeModel): string {
  if (type.base) return carrier(type.base);
  if (type.name === 'json') return 'jsonb';
  if (type.name === 'oid') return 'int8';
  return PLAIN[type.name] === undefined ? type.name : 'text';
}

function innerKind(type: TypeModel): string {
  return type.base ? innerKind(type.base) : type.kind;
}

function mapUserType(type: TypeModel, capabilities: TargetCapabilities, created: CreatedTypes): MappedType {
  if (created.has(typeKey(type))) return same(quoteTable(type.schema, type.name));
  if (type.extension !== null) {
    if (type.name === 'hstore') return { sqlType: 'JSONB', convert: 'hstore', note: 'hstore becomes JSONB' };
    if (capabilities.types.has(type.name)) {
      return same(`${type.name.toUpperCase()}${/\([^()]*\)$/.exec(type.display)?.[0] ?? ''}`);
    }
  }
  return asText(type);
}

function same(sqlType: string): MappedType {
  return { sqlType, convert: 'none', note: null };
}

function asText(type: TypeModel, note = `${type.display} becomes STRING with the original text`): MappedType {
  return { sqlType: 'STRING', convert: 'text', note };
}
