/** An export file read from one open descriptor, twice: what was checked is what is imported, whatever becomes of the name. */
import { type FileHandle, open } from 'node:fs/promises';
import { PassThrough, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { ConfigurationError } from '../core/errors.js';
import { isGzip } from './export-file.js';
import { gzipSeal, newSum, SEAL_BYTES } from './file-format.js';
import { BadExportFile } from './transfer-errors.js';

const PIECE_BYTES = 256 * 1024;

export class OpenExport {
  readonly #handle: FileHandle;
  readonly #path: string;
  readonly bytes: number;

  private constructor(handle: FileHandle, path: string, bytes: number) {
    this.#handle = handle;
    this.#path = path;
    this.bytes = bytes;
  }

  static async open(path: string): Promise<OpenExport> {
    if (path === '-') {
      throw new ConfigurationError('An import cannot read from standard input: it reads its file twice.', {
        code: 'usage',
        remedy: 'Write the export to a file first.',
      });
    }
    const handle = await open(path, 'r').catch((cause: unknown) => {
      throw new ConfigurationError(`The file ${path} cannot be read.`, {
        code: 'no-input',
        remedy: 'Name an export with --input=FILE.',
        cause,
      });
    });
    return new OpenExport(handle, path, (await handle.stat()).size);
  }

  /**
   * The file's SQL, unpacked. Rejects with BadExportFile for what gzip notices.
   * @param seal check the end of a `.gz` file against all that comes before it
   */
  async *text(seal: boolean, onBytes: (bytes: number) => void = () => undefined): AsyncGenerator<Buffer, void, void> {
    const gzip = isGzip(this.#path);
    const raw = this.#raw(onBytes);
    if (!gzip) {
      yield* raw;
      return;
    }
    const unpacked = new PassThrough({ highWaterMark: PIECE_BYTES });
    const source = seal ? sealed(raw) : raw;
    const running = pipeline(source, createGunzip({ chunkSize: PIECE_BYTES }), unpacked);
    // The reader below sees the failure of the pipeline as its own.
    running.catch(() => undefined);
    try {
      yield* unpacked as Readable & AsyncIterable<Buffer>;
      await running;
    } catch (cause) {
      if (cause instanceof BadExportFile) throw cause;
      throw new BadExportFile('it is no whole gzip file', cause);
    } finally {
      unpacked.destroy();
    }
  }

  async *#raw(onBytes: (bytes: number) => void): AsyncGenerator<Buffer, void, void> {
    for (let at = 0; ; ) {
      const { bytesRead, buffer } = await this.#handle.read(Buffer.allocUnsafe(PIECE_BYTES), 0, PIECE_BYTES, at);
      if (bytesRead === 0) return;
      at += bytesRead;
      onBytes(at);
      yield buffer.subarray(0, bytesRead);
    }
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

async function* sealed(raw: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
  const sum = newSum();
  let tail = Buffer.alloc(0);
  for await (const piece of raw) {
    tail = Buffer.concat([tail, piece]);
    const before = tail.subarray(0, Math.max(0, tail.length - SEAL_BYTES));
    sum.update(before);
    tail = Buffer.from(tail.subarray(before.length));
    yield piece;
  }
  if (!tail.equals(gzipSeal(sum))) {
    throw new BadExportFile(
      'its gzip form is cut, altered, or was made by another program (then unpack it: the checksum inside holds)',
    );
  }
}
