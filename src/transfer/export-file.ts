/** Where an export goes: a file that is there only when it is whole, or standard output. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { open, rename, rm, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { ConfigurationError } from '../core/errors.js';
import { gzipSeal, newSum, sumLine } from './file-format.js';

export function isGzip(path: string): boolean {
  return path.endsWith('.gz');
}

/**
 * Writes the text, its checksum and, by the file's ending, gzip. The text is asked for as fast as it can be written. A
 * file appears under its name when all of it is on the disk; on failure there is none, and a former one stays.
 */
export async function writeExport(
  text: AsyncIterable<string>,
  path: string,
  stdout: Writable,
  signal: AbortSignal,
): Promise<void> {
  if (path === '-') {
    await writeTo(stdout, withSum(text), signal);
    return;
  }
  const target = resolve(path);
  await assertFolder(dirname(target));
  const draft = `${target}.${randomBytes(4).toString('hex')}.part`;
  try {
    // Private: it holds everything that the database holds. It is there before anything can fail: one that was opened
    // beside the text could appear after it had been taken away.
    const file = (await open(draft, 'wx', 0o600)).createWriteStream();
    if (isGzip(path)) await pipeline(text, withSum, createGzip({ level: 6 }), withSeal, file, { signal });
    else await pipeline(text, withSum, file, { signal });
    await sync(draft);
    await rename(draft, target);
    await sync(dirname(target));
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}

/** Standard output stays open for others. Its reader may be slow, or gone (EPIPE). */
async function writeTo(stdout: Writable, pieces: AsyncIterable<Buffer>, signal: AbortSignal): Promise<void> {
  let failure: Error | null = null;
  const onError = (error: Error): void => {
    failure ??= error;
  };
  stdout.on('error', onError);
  try {
    for await (const piece of pieces) {
      signal.throwIfAborted();
      if (failure) throw failure;
      if (!stdout.write(piece)) await once(stdout, 'drain', { signal });
    }
    await new Promise<void>((resolve, reject) => {
      stdout.write('', (error) => (error ? reject(error) : resolve()));
    });
  } finally {
    stdout.off('error', onError);
  }
}

async function* withSum(text: AsyncIterable<string>): AsyncGenerator<Buffer> {
  const sum = newSum();
  for await (const piece of text) {
    const bytes = Buffer.from(piece, 'utf8');
    sum.update(bytes);
    yield bytes;
  }
  yield Buffer.from(sumLine(sum), 'latin1');
}

/** Byte 9 of a gzip file names the system that wrote it; without it, a file is the same wherever it was written. */
const SYSTEM_BYTE = 9;
const UNKNOWN_SYSTEM = 255;

async function* withSeal(bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const sum = newSum();
  let at = 0;
  for await (const piece of bytes) {
    if (at <= SYSTEM_BYTE && at + piece.length > SYSTEM_BYTE) piece[SYSTEM_BYTE - at] = UNKNOWN_SYSTEM;
    at += piece.length;
    sum.update(piece);
    yield piece;
  }
  yield gzipSeal(sum);
}

async function assertFolder(folder: string): Promise<void> {
  const found = await stat(folder).catch(() => null);
  if (found?.isDirectory()) return;
  throw new ConfigurationError(`There is no folder ${folder}.`, {
    code: 'no-folder',
    remedy: 'Create it, or name another file with --output.',
  });
}

async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
