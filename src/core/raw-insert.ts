/**
 * An insert in the form in which the primary has sent it: an object of some words instead of a string for each value. Who
 * wants its row gets it; where the secondary takes lines of COPY, bytes become bytes and no value is ever a string.
 * What it holds was checked before: ASCII throughout, and as many values as the relation has columns, none left out.
 */
import type { InsertChange, Relation, Row, Value } from './change.js';
import type { LineSource } from './line-source.js';

const NULL = 0x6e;
const BACKSLASH = 0x5c;
const TAB = 0x09;
const LINE_FEED = 0x0a;
const RETURN = 0x0d;
/** Form and length before a value. */
const VALUE_HEADER = 5;

export class RawInsert implements InsertChange, LineSource {
  readonly kind = 'insert';
  readonly binary = false;
  readonly relation: Relation;
  /** Values from `start` to `end`: each with its form, its length in four bytes, and its text. */
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
  #row: Row | null = null;

  constructor(relation: Relation, bytes: Buffer, start: number, end: number) {
    this.relation = relation;
    this.bytes = bytes;
    this.start = start;
    this.end = end;
  }

  get row(): Row {
    this.#row ??= this.#decode();
    return this.#row;
  }

  text(column: number): string | null {
    const { bytes } = this;
    let at = this.start;
    for (let i = 0; i < column; i++) at += bytes[at] === NULL ? 1 : VALUE_HEADER + lengthAt(bytes, at + 1);
    if (bytes[at] === NULL) return null;
    const from = at + VALUE_HEADER;
    return bytes.toString('latin1', from, from + lengthAt(bytes, at + 1));
  }

  get mostLineBytes(): number {
    // A null is one byte here and three there; each byte of a value may have to be escaped.
    return 3 * (this.end - this.start);
  }

  writeLine(out: Uint8Array, at: number): number {
    const { bytes, end } = this;
    let from = this.start;
    let to = at;
    while (from < end) {
      if (bytes[from] === NULL) {
        from += 1;
        out[to] = BACKSLASH;
        out[to + 1] = 0x4e;
        to += 2;
      } else {
        const last = from + VALUE_HEADER + lengthAt(bytes, from + 1);
        for (from += VALUE_HEADER; from < last; from++) {
          const byte = bytes[from] as number;
          if (byte < 0x0e || byte === BACKSLASH) to = writeEscaped(out, to, byte);
          else {
            out[to] = byte;
            to += 1;
          }
        }
      }
      out[to] = TAB;
      to += 1;
    }
    out[to - 1] = LINE_FEED;
    return to;
  }

  #decode(): Row {
    const { bytes, start } = this;
    const text = bytes.toString('latin1', start, this.end);
    const row = new Array<Value>(this.relation.columns.length);
    let at = start;
    for (let i = 0; i < row.length; i++) {
      if (bytes[at] === NULL) {
        row[i] = null;
        at += 1;
      } else {
        const length = lengthAt(bytes, at + 1);
        const from = at + VALUE_HEADER - start;
        row[i] = text.substring(from, from + length);
        at += VALUE_HEADER + length;
      }
    }
    return row;
  }
}

function lengthAt(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)
  );
}

function writeEscaped(out: Uint8Array, at: number, byte: number): number {
  const letter = byte === TAB ? 0x74 : byte === LINE_FEED ? 0x6e : byte === RETURN ? 0x72 : byte;
  if (letter === byte && byte !== BACKSLASH) {
    out[at] = byte;
    return at + 1;
  }
  out[at] = BACKSLASH;
  out[at + 1] = letter;
  return at + 2;
}
