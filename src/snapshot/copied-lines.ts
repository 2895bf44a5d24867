/** Rows of COPY ... TO STDOUT, kept as they came: the socket's buffer is used again. */
import { type BinaryForm, BinaryRow, COPY_HEADER, COPY_TRAILER, endOf } from '../core/binary-row.js';
import type { BinaryDecoder } from '../core/binary-values.js';
import { CopiedLine } from '../core/copied-line.js';
import { DecodeError } from '../core/errors.js';
import type { LineSource } from '../core/line-source.js';

/** Takes one message of a COPY. */
export interface CopiedLines {
  /** For the statement, behind TO STDOUT. */
  readonly format: string;
  /** Brings no row: the end of the binary format. */
  isEnd(message: Buffer): boolean;
  /** Its row. Throws DecodeError. */
  take(message: Buffer): LineSource;
}

export function copiedLines(decoders: readonly BinaryDecoder[] | null): CopiedLines {
  return decoders ? new BinaryLines(decoders) : new TextLines();
}

class TextLines implements CopiedLines {
  readonly format = '';
  readonly #slabs = new Slabs();

  isEnd(): boolean {
    return false;
  }

  take(message: Buffer): LineSource {
    const { buffer, start } = this.#slabs.keep(message, 0);
    return new CopiedLine(buffer, start, start + message.length);
  }
}

const COUNT_BYTES = 2;
const LENGTH_BYTES = 4;

/** The header comes with the first row, and the trailer with nothing, or with the header where there are no rows. */
class BinaryLines implements CopiedLines {
  readonly format = ' (FORMAT binary)';
  readonly #form: BinaryForm;
  readonly #slabs = new Slabs();
  #begun = false;

  constructor(decoders: readonly BinaryDecoder[]) {
    this.#form = { decoders };
  }

  isEnd(message: Buffer): boolean {
    return message.subarray(this.#begun ? 0 : COPY_HEADER.length).equals(COPY_TRAILER);
  }

  take(message: Buffer): LineSource {
    let at = COUNT_BYTES;
    if (!this.#begun) {
      if (!message.subarray(0, COPY_HEADER.length).equals(COPY_HEADER)) throw strange('header');
      this.#begun = true;
      at += COPY_HEADER.length;
    }
    if (message.length < at || message.readInt16BE(at - COUNT_BYTES) !== this.#form.decoders.length)
      throw strange('row');
    let end = at;
    for (let i = 0; i < this.#form.decoders.length; i++) {
      if (end + LENGTH_BYTES > message.length) throw strange('row');
      end = endOf(message, end);
    }
    if (end !== message.length) throw strange('row');
    const { buffer, start } = this.#slabs.keep(message, at - COUNT_BYTES);
    return new BinaryRow(this.#form, buffer, start + COUNT_BYTES, start + COUNT_BYTES + end - at);
  }
}

function strange(what: string): DecodeError {
  return new DecodeError(`A COPY of the primary has sent a ${what} that is none of the binary format.`);
}

const SLAB_BYTES = 256 << 10;

/** Copies of rows, many to a buffer. */
class Slabs {
  #buffer = Buffer.alloc(0);
  #length = 0;

  keep(message: Buffer, from: number): { buffer: Buffer; start: number } {
    const size = message.length - from;
    if (this.#length + size > this.#buffer.length) {
      this.#buffer = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, size));
      this.#length = 0;
    }
    const start = this.#length;
    this.#length += message.copy(this.#buffer, start, from);
    return { buffer: this.#buffer, start };
  }
}
