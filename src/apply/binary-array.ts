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
  const sizes = sizesOf(rows, columns.length);
  // One buffer for all: with few rows for each of many tables, buffers would be most of the work.
  const starts: number[] = [];
  let size = 0;
  oids.forEach((oid, i) => {
    starts.push(size);
    if (oid !== null) size += HEADER_BYTES + (sizes[i] as number);
  });
  const out = Buffer.allocUnsafe(size);
  const view = viewOf(out);
  const ends = starts.map((start) => start + HEADER_BYTES);
  const nulls = new Array<boolean>(columns.length).fill(false);
  let source: Buffer | null = null;
  let from = view;
  for (const { bytes, start } of rows) {
    if (bytes !== source) {
      source = bytes;
      from = viewOf(bytes);
    }
    let at = start;
    for (let i = 0; i < oids.length; i++) {
      const end = endOf(bytes, at);
      if (oids[i] !== null) {
        const to = ends[i] as number;
        if (bytes[at] === 0xff) nulls[i] = true;
        if (end - at <= FEW_BYTES) copyWords(view, to, from, at, end - at);
        else bytes.copy(out, to, at, end);
        ends[i] = to + end - at;
      }
      at = end;
    }
  }
  return columns.map((column, i) => {
    const oid = oids[i];
    if (oid === null || oid === undefined)
      return arrayLiteral(
        rows.map((row) => [row.text(i)]),
        0,
        column.encoding,
      );
    const start = starts[i] as number;
    view.setInt32(start, 1);
    view.setInt32(start + 4, nulls[i] ? 1 : 0);
    view.setUint32(start + 8, oid);
    view.setInt32(start + 12, rows.length);
    view.setInt32(start + 16, 1);
    return out.subarray(start, ends[i]);
  });
}

/** Bytes of each column, with the lengths of its values. */
function sizesOf(rows: readonly BinaryRow[], columns: number): number[] {
  const sizes = new Array<number>(columns).fill(0);
  for (const { bytes, start } of rows) {
    let at = start;
    for (let i = 0; i < columns; i++) {
      const end = endOf(bytes, at);
      sizes[i] = (sizes[i] as number) + end - at;
      at = end;
    }
  }
  return sizes;
}
