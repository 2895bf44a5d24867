/** The first pass of an import: the whole file against its own checksum, before anything is touched. */
import {
  type ExportHeader,
  type ExportTrailer,
  newSum,
  parseHeader,
  parseTrailer,
  SUM_LINE_BYTES,
  sumLine,
} from './file-format.js';
import type { OpenExport } from './read-file.js';
import { BadExportFile } from './transfer-errors.js';

export interface VerifiedExport {
  readonly header: ExportHeader;
  readonly trailer: ExportTrailer;
  /** Of the content: the same file packed or not is the same import. */
  readonly sha256: string;
}

/** The trailer's line has to fit into it, and so must the header's. */
const FRAME_BYTES = 4 * 1024 * 1024;

/** @throws BadExportFile for a file that is cut anywhere, or in which any byte is another */
export async function verifyFile(
  file: OpenExport,
  signal: AbortSignal,
  onBytes: (bytes: number) => void = () => undefined,
): Promise<VerifiedExport> {
  const sum = newSum();
  let head = Buffer.alloc(0);
  let tail: Buffer[] = [];
  let tailBytes = 0;
  for await (const piece of file.text(true, onBytes)) {
    signal.throwIfAborted();
    if (head.length < FRAME_BYTES && !hasHeader(head)) head = Buffer.concat([head, piece]);
    tail.push(Buffer.from(piece));
    tailBytes += piece.length;
    while (tail.length > 1 && tailBytes - (tail[0]?.length ?? 0) >= FRAME_BYTES) {
      const first = tail.shift() as Buffer;
      sum.update(first);
      tailBytes -= first.length;
    }
  }
  const end = Buffer.concat(tail);
  tail = [];
  if (end.length < SUM_LINE_BYTES) throw new BadExportFile('it is too short to be an export');
  const before = end.subarray(0, end.length - SUM_LINE_BYTES);
  sum.update(before);
  const line = sumLine(sum);
  if (end.subarray(before.length).toString('latin1') !== line) {
    throw new BadExportFile('its checksum is not that of its content: it is cut or altered');
  }
  return {
    header: parseHeader(head.toString('utf8')),
    trailer: parseTrailer(before.toString('utf8')),
    sha256: line.trim().slice(-64),
  };
}

function hasHeader(head: Buffer): boolean {
  return head.indexOf(10, head.indexOf(10) + 1) > head.indexOf(10);
}
