/**
 * Columns of a batch as PostgreSQL array literals: one parameter a column, whatever the number of rows.
 * PostgreSQL is the oracle of the property test for this file.
 */

/** `raw`: the type's text never holds a character that an array literal would need quoted. `quoted`: anything else. */
export type ArrayEncoding = 'raw' | 'quoted';

export function arrayLiteral(
  rows: readonly (readonly (string | null | undefined)[])[],
  column: number,
  encoding: ArrayEncoding,
): string {
  let out = '{';
  for (let i = 0; i < rows.length; i++) {
    if (i > 0) out += ',';
    const value = (rows[i] as readonly (string | null | undefined)[])[column];
    if (value === null || value === undefined) out += 'NULL';
    else out += encoding === 'raw' ? value : quoteElement(value);
  }
  return `${out}}`;
}

function quoteElement(value: string): string {
  // Two searches cost less than one replace with a pattern, and most values need neither.
  const escaped = value.includes('\\') ? value.replaceAll('\\', '\\\\') : value;
  return escaped.includes('"') ? `"${escaped.replaceAll('"', '\\"')}"` : `"${escaped}"`;
}
