/** How one version of a source relation lands on its table on the secondary. */

import type { TargetColumn, TargetTable } from '../apply/target-table.js';
import { isFloat } from '../core/binary-values.js';
import type { Relation, Row } from '../core/change.js';
import type { LineSource } from '../core/line-source.js';

/** Turns a source value's text into the text that the target's column takes (money, hstore). Null stays null. */
export type ValueConverter = (text: string) => string;

/** Columns that the WAL does not carry, because the primary generates them; see derive.ts. */
export interface Derivation {
  /** Columns that the expressions may use: index in the source row, present name and type on the primary. */
  readonly inputs: readonly {
    readonly index: number;
    readonly name: string;
    readonly type: string;
    readonly convert: ValueConverter | null;
  }[];
  /** Their values stand behind the relation's own columns in the row, in this order. */
  readonly outputs: readonly { readonly name: string; readonly expression: string }[];
  /** Type on the primary by column name. */
  readonly types: ReadonlyMap<string, string>;
}

export interface Binding {
  readonly relation: Relation;
  readonly target: TargetTable;
  /** Written columns: index in the source row, and the target's column. Same order in both. */
  readonly sourceIndexes: readonly number[];
  readonly columns: readonly TargetColumn[];
  /** Position in `columns` of the key's columns, in key order; null for a table without a key. */
  readonly key: readonly number[] | null;
  readonly keyNames: readonly string[];
  /**
   * Whether the WAL names a row by that key: it is part of the replica identity. Where it is not, an update that carries
   * no old values may have changed the key without saying so.
   */
  readonly identified: boolean;
  readonly converters: readonly (ValueConverter | null)[] | null;
  /** Null where the WAL carries every column that is written. */
  readonly derivation: Derivation | null;
  /** Source rows are rows of the binding's columns as they are. */
  readonly straight: boolean;
  /**
   * They are, but for converters, and types have the same binary form on both sides: a row that came in binary can be kept
   * so, and its key needs no converter.
   */
  readonly binary: boolean;
}

/** Restates a source row as a row of the binding's columns. */
export function project(binding: Binding, row: Row): Row {
  const { sourceIndexes, converters } = binding;
  // Nobody writes to rows: one that is right as it came is not copied.
  if (binding.straight) return row;
  const out = new Array<string | null | undefined>(sourceIndexes.length);
  for (let i = 0; i < sourceIndexes.length; i++) out[i] = row[sourceIndexes[i] as number];
  if (converters) {
    for (let i = 0; i < out.length; i++) {
      const convert = converters[i];
      const value = out[i];
      if (convert && typeof value === 'string') out[i] = convert(value);
    }
  }
  return out;
}

/** A string that two rows of one table share exactly when their keys have the same text. */
export function keyOf(binding: Binding, projected: Row): string {
  const key = binding.key as readonly number[];
  if (key.length === 1) return projected[key[0] as number] as string;
  return joined(key.map((i) => projected[i] ?? null));
}

/**
 * The same of a row that was not decoded; the binding is straight. Null where a part of the key is: the secondary refuses
 * such a row, and until then it is nobody else's.
 */
export function rawKeyOf(binding: Binding, line: LineSource): string | null {
  const key = binding.key as readonly number[];
  if (key.length === 1) return line.text(key[0] as number);
  const values = key.map((i) => line.text(i));
  return values.includes(null) ? null : joined(values);
}

function joined(values: readonly (string | null)[]): string {
  let out = '';
  for (const value of values) out += value === null ? 'n' : `${value.length}:${value}`;
  return out;
}

/** The same over all columns: a table without a key is a bag of row images. */
export function imageOf(projected: Row): string {
  let out = '';
  for (const value of projected) out += typeof value === 'string' ? `${value.length}:${value}` : 'n';
  return out;
}

export interface BindingOptions {
  /** Target column name for a source column name, or null to leave the column out. */
  readonly rename: (column: string) => string | null;
  readonly converter: (column: TargetColumn, sourceColumn: string) => ValueConverter | null;
  readonly derivation?: Derivation | null;
}

/** Columns of the relation that the target lacks are returned as `unknown`; the binding leaves them out. */
export function bind(
  relation: Relation,
  target: TargetTable,
  options: BindingOptions,
): { binding: Binding; unknown: string[] } {
  const sourceIndexes: number[] = [];
  const columns: TargetColumn[] = [];
  const converters: (ValueConverter | null)[] = [];
  const unknown: string[] = [];
  relation.columns.forEach((column, i) => {
    const name = options.rename(column.name);
    const at = name === null ? undefined : target.byName.get(name);
    const targetColumn = at === undefined ? undefined : target.columns[at];
    if (!targetColumn) unknown.push(column.name);
    else if (!targetColumn.generated) {
      sourceIndexes.push(i);
      columns.push(targetColumn);
      converters.push(options.converter(targetColumn, column.name));
    }
  });
  const derivation = options.derivation ?? null;
  derivation?.outputs.forEach(({ name }, i) => {
    const column = target.columns[target.byName.get(name) ?? -1];
    if (!column) return;
    sourceIndexes.push(relation.columns.length + i);
    columns.push(column);
    converters.push(options.converter(column, name));
  });
  const converts = converters.some((converter) => converter !== null);
  const keyNames = keyColumns(relation, target, options.rename);
  const identity = identityColumns(relation, options.rename);
  // As many as the source has, in its order, which indexes are by the way they are collected.
  const inOrder = sourceIndexes.length === relation.columns.length && derivation === null;
  // A generated column of the key is in the primary's identity, though not in the WAL.
  const derived = new Set(derivation?.outputs.map((output) => output.name));
  const key = keyNames === null ? null : keyNames.map((name) => columns.findIndex((column) => column.name === name));
  return {
    binding: {
      relation,
      target,
      sourceIndexes,
      columns,
      key: key?.includes(-1) ? null : key,
      keyNames: keyNames ?? [],
      identified: keyNames?.every((name) => identity.includes(name) || derived.has(name)) ?? false,
      converters: converts ? converters : null,
      derivation,
      straight: inOrder && !converts,
      binary:
        inOrder &&
        relation.columns.every(({ typeOid }, i) => sameForm(typeOid, columns[i])) &&
        // Equal floats may have another text where they were read; and a key is known by the text that it has there.
        !key?.some((i) => isFloat(relation.columns[i]?.typeOid ?? 0) || converters[i]),
    },
    unknown,
  };
}

/** Types of a database's own begin here; below, a number means the same type everywhere. */
const FIRST_OWN_OID = 16_384;

/** An enum's value is its label. What is no enum on the primary is refused, or is a label as well. */
function sameForm(typeOid: number, column: TargetColumn | undefined): boolean {
  if (typeOid < FIRST_OWN_OID) return column?.typeOid === typeOid;
  return column?.isEnum === true;
}

/** The primary key; under REPLICA IDENTITY USING INDEX the index's columns, which is what old tuples carry. */
function keyColumns(
  relation: Relation,
  target: TargetTable,
  rename: (name: string) => string | null,
): readonly string[] | null {
  if (relation.replicaIdentity !== 'i') return target.primaryKey;
  const identity = identityColumns(relation, rename);
  const same = (list: readonly string[]) =>
    list.length === identity.length && list.every((name) => identity.includes(name));
  if (target.primaryKey && same(target.primaryKey)) return target.primaryKey;
  return target.uniques.find(same) ?? null;
}

/** Columns of the replica identity, by their names on the secondary. Under REPLICA IDENTITY FULL: every column. */
export function identityColumns(relation: Relation, rename: (name: string) => string | null): string[] {
  return relation.columns.filter((column) => column.isKey).map((column) => rename(column.name) ?? column.name);
}
