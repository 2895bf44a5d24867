/** How a table is read when it is loaded, compared or repaired: its columns, its key, and the form that its values come in. */
import { BinaryTypes } from '../core/binary-types.js';
import { isFloat } from '../core/binary-values.js';
import type { Relation } from '../core/change.js';
import type { Binding } from '../pipeline/binding.js';
import type { TableEntry } from '../pipeline/registry.js';
import type { TableModel } from '../schema/model.js';
import type { CopiedForm } from '../snapshot/chunk-reader.js';
import type { LoadTable } from '../snapshot/load-table.js';
import type { LabelKeeper } from './label-keeper.js';
import type { TableShapes } from './table-shapes.js';

export async function loadTable(
  entry: TableEntry,
  model: TableModel,
  shapes: TableShapes,
  labels: LabelKeeper,
): Promise<LoadTable> {
  const filled = new Set(shapes.filled(entry).map((column) => column.name));
  const written = model.columns.filter(
    (column) => (column.generated === null || filled.has(column.name)) && entry.target?.byName.has(column.name),
  );
  const relation: Relation = {
    oid: model.oid,
    schema: model.schema,
    name: model.name,
    replicaIdentity: model.replicaIdentity.kind,
    columns: written.map((column) => ({
      name: column.name,
      typeOid: column.type.oid,
      typmod: column.type.typmod,
      isKey: model.replicaIdentity.columns.includes(column.name),
    })),
  };
  const version = labels.version;
  const { binding } = shapes.bindingOf(entry, relation);
  const typed = (name: string) => ({
    name,
    type: model.columns.find((column) => column.name === name)?.type.display ?? 'text',
  });
  const read = binding.sourceIndexes.map((i) => typed((relation.columns[i] as { name: string }).name));
  return {
    entry,
    outdated: () => version < labels.version,
    // The binding's rows come from the chunk, whose columns are just those that it writes.
    binding: { ...binding, sourceIndexes: binding.columns.map((_, i) => i) },
    chunk: {
      oid: model.oid,
      schema: model.schema,
      name: model.name,
      columns: read,
      key: binding.keyNames.map(typed),
      binary: await binaryForm(model, binding, shapes),
    },
    rowEstimate: model.rowEstimate,
    sizeBytes: model.sizeBytes,
  };
}

/** Null where a load takes text: the secondary, a type, or a float in the key wants it. */
async function binaryForm(
  model: TableModel,
  { binary, key, relation }: Binding,
  shapes: TableShapes,
): Promise<CopiedForm | null> {
  if (!binary || (await shapes.capabilities()).dialect !== 'postgres') return null;
  const enums = model.columns.filter(({ type }) => type.kind === 'enum');
  const types = new BinaryTypes(enums.map(({ type }) => ({ oid: type.oid, kind: 'e', base: 0, element: null })));
  const decoders = types.decoders(relation.columns);
  const oids = relation.columns.map(({ typeOid }) => typeOid);
  const named = key?.map((i) => oids[i] ?? 0) ?? [];
  return 'length' in decoders && !named.some(isFloat) ? { decoders, types: oids } : null;
}
