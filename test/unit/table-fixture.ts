/** Relations and bindings without a database, for tests of the pure parts of the pipeline. */
import type { TargetColumn, TargetTable } from '../../src/apply/target-table.js';
import type { Relation, ReplicaIdentity, Row } from '../../src/core/change.js';
import { type Binding, type BindingOptions, bind } from '../../src/pipeline/binding.js';

export interface TableShape {
  readonly name?: string;
  readonly oid?: number;
  readonly columns: readonly string[];
  /** Key on both sides; null for none. */
  readonly key: readonly string[] | null;
  readonly identity?: ReplicaIdentity;
  readonly uniques?: readonly (readonly string[])[];
}

export function relationOf(shape: TableShape): Relation {
  const identity = shape.identity ?? (shape.key === null ? 'f' : 'd');
  return {
    oid: shape.oid ?? 16_384,
    schema: 'public',
    name: shape.name ?? 't',
    replicaIdentity: identity,
    columns: shape.columns.map((name) => ({
      name,
      typeOid: 25,
      typmod: -1,
      isKey: identity === 'f' || (shape.key?.includes(name) ?? false),
    })),
  };
}

export function targetOf(shape: TableShape): TargetTable {
  const columns = shape.columns.map(
    (name): TargetColumn => ({
      name,
      sqlType: 'text',
      typeOid: 25,
      isEnum: false,
      typeName: 'text',
      arrayType: 'text',
      encoding: 'quoted',
      generated: false,
      notNull: shape.key?.includes(name) ?? false,
    }),
  );
  return {
    schema: 'public',
    name: shape.name ?? 't',
    columns,
    byName: new Map(columns.map((column, i) => [column.name, i])),
    primaryKey: shape.key,
    uniques: shape.uniques ?? [],
    foreignKeys: 0,
    rowId: 'ctid',
  };
}

export const AS_IS: BindingOptions = { rename: (name) => name, converter: () => null };

export function bindingOf(shape: TableShape): Binding {
  return bind(relationOf(shape), targetOf(shape), AS_IS).binding;
}

/** A key-only old tuple as pgoutput sends it: NULL in place of everything else. */
export function keyTuple(relation: Relation, row: Row): Row {
  return row.map((value, i) => (relation.columns[i]?.isKey ? value : null));
}
