/** How the journal names the rows of a table: known from the secondary alone, because the primary may be away. */

import type { TargetTable } from '../apply/target-table.js';
import type { RowValues } from '../catchup/change-source.js';
import type { TableName } from '../core/ident.js';
import { type KeyText, keyText } from './key-text.js';

export interface KeyShape extends TableName {
  /** In key order; empty for a table without a key. */
  readonly keyNames: readonly string[];
  readonly keyTexts: readonly KeyText[];
}

export function keyShape(table: TargetTable): KeyShape {
  const keyNames = table.primaryKey ?? [];
  const typeOf = (name: string) => table.columns.find((column) => column.name === name)?.typeName ?? '';
  return { schema: table.schema, name: table.name, keyNames, keyTexts: keyNames.map((name) => keyText(typeOf(name))) };
}

/** From the secondary's texts of the key, in key order. */
export function rowKeyOf(shape: KeyShape, key: readonly string[]): string {
  return JSON.stringify(key.map((text, i) => shape.keyTexts[i]?.(text) ?? text));
}

/** Null for a row that the key's columns do not name. */
export function rowKeyFrom(shape: KeyShape | undefined, values: RowValues): string | null {
  if (!shape || shape.keyNames.length === 0) return null;
  const texts = shape.keyNames.map((name) => values[name]);
  return texts.every((text) => typeof text === 'string') ? rowKeyOf(shape, texts) : null;
}
