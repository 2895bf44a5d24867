/** A row that can be written as a line of COPY's text format without being decoded. */
import type { Row } from './change.js';

export interface LineSource {
  /** Where its bytes lie. */
  readonly start: number;
  readonly end: number;
  /** Decoded. */
  readonly row: Row;
  /** The text of a column that is not null, without decoding the others. */
  text(column: number): string;
  /** Bytes of its line, at most. */
  readonly mostLineBytes: number;
  /**
   * Writes it as a line of COPY's text format.
   * @param out with room for `mostLineBytes` from `at` on
   * @returns where the line ends
   */
  writeLine(out: Buffer, at: number): number;
}
