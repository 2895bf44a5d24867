/** Rows of pgoutput in binary, kept as `core/binary-row` has them: the socket's buffer is used again. */
import { copyWords, FEW_BYTES, viewOf } from '../core/copy-words.js';
import { DecodeError } from '../core/errors.js';

/** It lives as long as the last row in it. */
const SLAB_BYTES = 64 << 10;
const NULL = 0x6e;
const BINARY = 0x62;
/** Form and length before a value. */
const VALUE_HEADER = 5;
const LENGTH_BYTES = 4;
const COUNT_BYTES = 2;

/** A column has a type whose binary form is not known here: the primary must be asked for text. */
export class BinaryFormError extends DecodeError {}

export class BinaryTuples {
  /** Where the last row lies. */
  bytes: Buffer = Buffer.alloc(0);
  start = 0;
  end = 0;
  #out = viewOf(this.bytes);
  #buffer = this.bytes;
  #in = this.#out;

  /**
   * Keeps a message's row: `at` is where its number of columns stands, and the message ends with it.
   * @returns false for one that has not `columns` values, each null or there in binary
   */
  keep(buffer: Buffer, at: number, end: number, columns: number): boolean {
    let from = at + 2;
    if (columns === 0 || from > end || ((buffer[at] as number) << 8) + (buffer[at + 1] as number) !== columns)
      return false;
    // A null is one byte there and four here.
    const room = COUNT_BYTES + end - from + columns * (LENGTH_BYTES - 1);
    if (this.end + room > this.bytes.length) {
      this.bytes = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, room));
      this.#out = viewOf(this.bytes);
      this.end = 0;
    }
    if (buffer !== this.#buffer) {
      this.#buffer = buffer;
      this.#in = viewOf(buffer);
    }
    const out = this.bytes;
    // As a line of COPY has it before its values: rows lie one behind the other, ready to be sent.
    out[this.end] = columns >> 8;
    out[this.end + 1] = columns & 0xff;
    const start = this.end + COUNT_BYTES;
    let to = start;
    for (let i = 0; i < columns; i++) {
      const form = buffer[from];
      if (form === NULL) {
        this.#out.setInt32(to, -1);
        from += 1;
        to += LENGTH_BYTES;
      } else if (form === BINARY && from + VALUE_HEADER <= end) {
        const length = this.#in.getUint32(from + 1);
        if (length > end - from - VALUE_HEADER) return false;
        const size = LENGTH_BYTES + length;
        from += 1;
        if (size <= FEW_BYTES) copyWords(this.#out, to, this.#in, from, size);
        else buffer.copy(out, to, from, from + size);
        from += size;
        to += size;
      } else return false;
      if (from > end) return false;
    }
    if (from !== end) return false;
    this.start = start;
    this.end = to;
    return true;
  }
}
