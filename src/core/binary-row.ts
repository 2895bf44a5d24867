/**
 * A row in the bytes in which the primary has sent it in binary: each value is its length in four bytes, -1 for NULL, and
 * itself, which is what COPY's binary format and arrays in binary consist of ("PostgreSQL manual, COPY, Binary Format";
 * arrayfuncs.c, array_recv). Who looks at its values gets their text.
 */
import type { BinaryDecoder } from './binary-values.js';
import type { InsertChange, Relation, Row, UpdateChange, Value } from './change.js';
import type { LineSource } from './line-source.js';

const LENGTH_BYTES = 4;
const COUNT_BYTES = 2;

/** How the values of a table's rows are read. */
export interface BinaryForm {
  /** One for each column. */
  readonly decoders: readonly BinaryDecoder[];
}

/** Millions of them come and go: what is the same for all is on the prototype. */
export class BinaryRow implements LineSource {
  readonly bytes: Buffer;
  /** Of its values, which end at `end`; their number stands in the two bytes before. */
  readonly start: number;
  readonly end: number;
  protected readonly form: BinaryForm;
  #row: Row | null = null;

  constructor(form: BinaryForm, bytes: Buffer, start: number, end: number) {
    this.form = form;
    this.bytes = bytes;
    this.start = start;
    this.end = end;
  }

  get binary(): true {
    return true;
  }

  get row(): Row {
    this.#row ??= this.#decode();
    return this.#row;
  }

  text(column: number): string | null {
    const at = this.#valueAt(column);
    if (this.bytes[at] === 0xff) return null;
    return (this.form.decoders[column] as BinaryDecoder)(this.bytes, at + LENGTH_BYTES, endOf(this.bytes, at));
  }

  /** A line begins with the number of its columns, which stands before the values. */
  get lineStart(): number {
    return this.start - COUNT_BYTES;
  }

  get mostLineBytes(): number {
    return this.end - this.lineStart;
  }

  writeLine(out: Buffer, at: number): number {
    return at + this.bytes.copy(out, at, this.lineStart, this.end);
  }

  #valueAt(column: number): number {
    let at = this.start;
    for (let i = 0; i < column; i++) at = endOf(this.bytes, at);
    return at;
  }

  #decode(): Row {
    const { bytes } = this;
    const { decoders } = this.form;
    const row = new Array<Value>(decoders.length);
    let at = this.start;
    for (let i = 0; i < row.length; i++) {
      const end = endOf(bytes, at);
      row[i] = bytes[at] === 0xff ? null : (decoders[i] as BinaryDecoder)(bytes, at + LENGTH_BYTES, end);
      at = end;
    }
    return row;
  }
}

/** Where the value ends whose length is at `at`. No value has 4 GiB less a few: the first byte tells NULL. */
export function endOf(bytes: Uint8Array, at: number): number {
  const first = bytes[at] as number;
  if (first === 0xff) return at + LENGTH_BYTES;
  return (
    at +
    LENGTH_BYTES +
    ((first << 24) | ((bytes[at + 1] as number) << 16) | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number))
  );
}

export interface RelationForm extends BinaryForm {
  readonly relation: Relation;
}

export class BinaryInsert extends BinaryRow implements InsertChange {
  declare protected readonly form: RelationForm;

  constructor(form: RelationForm, bytes: Buffer, start: number, end: number) {
    super(form, bytes, start, end);
  }

  get kind(): 'insert' {
    return 'insert';
  }

  get relation(): Relation {
    return this.form.relation;
  }
}

/** Of a row whose replica identity is as it was, and of which every value is there. */
export class BinaryUpdate extends BinaryRow implements UpdateChange {
  declare protected readonly form: RelationForm;

  constructor(form: RelationForm, bytes: Buffer, start: number, end: number) {
    super(form, bytes, start, end);
  }

  get kind(): 'update' {
    return 'update';
  }

  get relation(): Relation {
    return this.form.relation;
  }

  get old(): null {
    return null;
  }

  get oldIs(): null {
    return null;
  }
}

/** Rows in a COPY are preceded and followed by these. */
export const COPY_HEADER = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1');
export const COPY_TRAILER = Buffer.from([0xff, 0xff]);
