/** What the WAL has announced of a table, and how its values are read. */
import type { RelationForm } from '../core/binary-row.js';
import type { BinaryTypes } from '../core/binary-types.js';
import type { Relation, ReplicaIdentity } from '../core/change.js';
import { BinaryFormError } from './binary-tuples.js';

export interface Known {
  readonly relation: Relation;
  /** Null where values come as text. */
  readonly form: RelationForm | null;
}

/** Throws BinaryFormError for a relation that has to be asked for as text. */
export function formOf(relation: Relation, types: BinaryTypes): RelationForm {
  const decoders = types.decoders(relation.columns);
  if ('length' in decoders) return { relation, decoders };
  throw new BinaryFormError(
    `Column ${decoders.name} of ${relation.schema}.${relation.name} has a type (oid ${decoders.typeOid}) that is not read in binary.`,
    undefined,
    'Nothing to do: the stream asks for text from now on.',
  );
}

export function isReplicaIdentity(text: string): text is ReplicaIdentity {
  return text === 'd' || text === 'n' || text === 'f' || text === 'i';
}

export function sameRelation(a: Relation, b: Relation): boolean {
  return (
    a.schema === b.schema &&
    a.name === b.name &&
    a.replicaIdentity === b.replicaIdentity &&
    a.columns.length === b.columns.length &&
    a.columns.every((column, i) => {
      const other = b.columns[i];
      return (
        other !== undefined &&
        column.name === other.name &&
        column.typeOid === other.typeOid &&
        column.typmod === other.typmod &&
        column.isKey === other.isKey
      );
    })
  );
}
