/** A row that can be written as a line of a COPY, in its text or its binary format, without being decoded. */
import type { Row } from './change.js';

export interface LineSource {
  /** Its line is one of COPY's binary format. */
  readonly binary: boolean;
  /** Where its bytes lie. */
  readonly start: number;
  readonly end: number;
  /** Decoded. */
  readonly row: Row;
  /** A column's text, without decoding the others; null is SQL NULL. */
  text(column: number): string | null;
  /** Bytes of its line, at most. */
  readonly mostLineBytes: number;
  /**
   * Writes it as a line of COPY.
   * @param out with room for `mostLineBytes` from `at` on
   * @returns where the line ends
   */
  writeLine(out: Buffer, at: number): number;
}
