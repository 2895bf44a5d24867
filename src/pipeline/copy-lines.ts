/** Lines of a COPY from rows that nobody has decoded. */
import { type BinaryRow, COPY_HEADER, COPY_TRAILER } from '../core/binary-row.js';
import type { LineSource } from '../core/line-source.js';

/** A line takes no more than the row did where it comes from, unless much of it has to be escaped. */
export function textLines(rows: readonly LineSource[]): Buffer {
  let size = 0;
  for (const { end, start } of rows) size += end - start;
  let lines = Buffer.allocUnsafeSlow(size);
  let length = 0;
  for (const row of rows) {
    if (length + row.mostLineBytes > lines.length) {
      const larger = Buffer.allocUnsafeSlow(2 * lines.length + row.mostLineBytes);
      lines.copy(larger, 0, 0, length);
      lines = larger;
    }
    length = row.writeLine(lines, length);
  }
  return lines.subarray(0, length);
}

/** Runs shorter than this are gathered: a buffer of its own, and a write, cost more than a copy of them. */
const LEAST_RUN_BYTES = 8192;

/** Rows that came one behind the other lie so, and are sent from where they lie. */
export function binaryLines(rows: readonly BinaryRow[]): Buffer[] {
  const runs: Buffer[] = [COPY_HEADER];
  let bytes: Buffer | null = null;
  let from = 0;
  let to = 0;
  let size = 0;
  for (const row of rows) {
    if (row.bytes !== bytes || row.lineStart !== to) {
      if (bytes) runs.push(bytes.subarray(from, to));
      bytes = row.bytes;
      from = row.lineStart;
    }
    to = row.end;
    size += to - row.lineStart;
  }
  if (bytes) runs.push(bytes.subarray(from, to));
  runs.push(COPY_TRAILER);
  return size / runs.length < LEAST_RUN_BYTES ? [Buffer.concat(runs)] : runs;
}
