/**
 * Columns of rows that came in binary as array parameters in binary: their elements are the bytes that came
 * (PostgreSQL, arrayfuncs.c: array_recv). One pass over the rows, whatever the number of columns.
 */
import { type BinaryRow, endOf } from '../core/binary-row.js';
import { copyWords, FEW_BYTES, viewOf } from '../core/copy-words.js';
import { arrayLiteral } from './array-literal.js';
import type { TargetColumn } from './target-table.js';

/** Element types of `$n::T[]`, by the names that `target-table` gives them. */
const ELEMENT_OIDS: Readonly<Record<string, number>> = {
  bool: 16,
  bytea: 17,
  int8: 20,
  int2: 21,
  int4: 23,
  text: 25,
  oid: 26,
  float4: 700,
  float8: 701,
  date: 1082,
  time: 1083,
  timestamp: 1114,
  timestamptz: 1184,
  timetz: 1266,
  numeric: 1700,
  uuid: 2950,
  jsonb: 3802,
};
/** Types whose bytes are those of a text. */
const TEXTUAL = new Set(['text', 'varchar', 'bpchar', 'json']);
const HEADER_BYTES = 20;

/** The element type in which the column's values can be handed on as they came; null: they travel as text. */
function elementOid({ arrayType, isEnum, typeName }: TargetColumn): number | null {
  if (arrayType !== 'text') return ELEMENT_OIDS[arrayType] ?? null;
  return isEnum || TEXTUAL.has(typeName) ? 25 : null;
}

/** One parameter a column, for the statements of `statements.ts`. */
export function binaryParameters(columns: readonly TargetColumn[], rows: readonly BinaryRow[]): (Buffer | string)[] {
  const oids = columns.map(elementOid);
  const sizes = new Array<number>(columns.length).fill(HEADER_BYTES);
  for (const { bytes, start } of rows) {
    let at = start;
    for (let i = 0; i < sizes.length; i++) {
      const end = endOf(bytes, at);
      sizes[i] = (sizes[i] as number) + end - at;
      at = end;
    }
  }
  const arrays = oids.map((oid, i) => (oid === null ? null : Buffer.allocUnsafeSlow(sizes[i] as number)));
  const views = arrays.map((array) => array && viewOf(array));
  let source: Buffer | null = null;
  let from = viewOf(Buffer.alloc(0));
  const filled = new Array<number>(columns.length).fill(HEADER_BYTES);
  const nulls = new Array<boolean>(columns.length).fill(false);
  for (const { bytes, start } of rows) {
    if (bytes !== source) {
      source = bytes;
      from = viewOf(bytes);
    }
    let at = start;
    for (let i = 0; i < arrays.length; i++) {
      const end = endOf(bytes, at);
      const view = views[i];
      if (view) {
        const to = filled[i] as number;
        if (bytes[at] === 0xff) nulls[i] = true;
        if (end - at <= FEW_BYTES) copyWords(view, to, from, at, end - at);
        else bytes.copy(arrays[i] as Buffer, to, at, end);
        filled[i] = to + end - at;
      }
      at = end;
    }
  }
  return columns.map((column, i) => {
    const out = arrays[i];
    if (!out)
      return arrayLiteral(
        rows.map((row) => [row.value(i)]),
        0,
        column.encoding,
      );
    out.writeInt32BE(1, 0);
    out.writeInt32BE(nulls[i] ? 1 : 0, 4);
    out.writeUInt32BE(oids[i] as number, 8);
    out.writeInt32BE(rows.length, 12);
    out.writeInt32BE(1, 16);
    return out;
  });
}
