import type { QualifiedName } from './model.js';

/**
 * - `none`: the same kind of type, the same text.
 * - `json`: json into JSONB: the same text, but order and duplicate keys are not kept.
 * - `text`: a type that the secondary lacks, kept as its original text; catch-up casts back to `sourceType`.
 * - `money`: `$1,234.50` into a decimal number.
 * - `hstore`: `"a"=>"1"` into a JSON object of strings.
 */
export type Conversion = 'none' | 'json' | 'text' | 'money' | 'hstore';

export interface MappedType {
  readonly sqlType: string;
  readonly convert: Conversion;
  /** Why the type is not the same; null when it is. */
  readonly note: string | null;
}

/** Domains, composite and range types of the user that the secondary gets, by `typeKey`. */
export type CreatedTypes = ReadonlySet<string>;

export function typeKey(type: QualifiedName): string {
  return JSON.stringify([type.schema, type.name]);
}
