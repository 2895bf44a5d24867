/** Which built-in type carries a column on the secondary, for the question whether it can be indexed. */
import type { ColumnModel, TypeModel } from './model.js';
import type { TranslationContext } from './translate-context.js';
import { mapType } from './type-map.js';

/** Why an ordinary index cannot have this column; null when it can. */
export function notIndexable(context: TranslationContext, column: ColumnModel): string | null {
  const { indexableTypes, indexableArrays, dialect } = context.capabilities;
  if (dialect === 'postgres') return null;
  const { sqlType } = mapType(column, context.capabilities, context.created);
  const type = typeNameOf(context, column);
  const fits = sqlType.endsWith('[]') ? indexableArrays : type === null || indexableTypes.has(type);
  return fits ? null : `column ${column.name} has a type that the secondary cannot index`;
}

/** `typname` of the carrier; null for types that can always be indexed (enums, text). */
function typeNameOf(context: TranslationContext, column: ColumnModel): string | null {
  const { convert } = mapType(column, context.capabilities, context.created);
  if (convert === 'text' || convert === 'money') return null;
  if (convert === 'json' || convert === 'hstore') return 'jsonb';
  return innermost(column.type);
}

function innermost(type: TypeModel): string | null {
  if (type.base) return innermost(type.base);
  if (type.element) return innermost(type.element);
  if (type.kind === 'enum') return null;
  return ['oid', 'name', 'char'].includes(type.name) ? null : type.name;
}

/** An array column or a JSON document: what an inverted index is for. */
export function isContainer(context: TranslationContext, column: ColumnModel): boolean {
  const mapped = mapType(column, context.capabilities, context.created);
  if (mapped.convert === 'text') return false;
  return mapped.sqlType.endsWith('[]') || ['JSONB', 'TSVECTOR'].includes(mapped.sqlType);
}
