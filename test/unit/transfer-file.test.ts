/** A file that is cut at any byte, or in which any byte is another, is refused before the first write. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { gunzipSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import { writeExport } from '../../src/transfer/export-file.js';
import { headerLines, rowsLine } from '../../src/transfer/file-format.js';
import { runImport } from '../../src/transfer/run-import.js';
import { BadExportFile } from '../../src/transfer/transfer-errors.js';
import { testSeed } from '../integration/support/random.js';

const LONG = process.env.DB_TEST_LONG === '1';
const RUNS = LONG ? 3_000 : 250;
/** The first and the last bytes are the ones with a meaning of their own: all of them. */
const FRAME = LONG ? 1_000_000 : 160;

const NEVER = new AbortController().signal;

async function* exportOf(rows: number): AsyncGenerator<string> {
  const table = { schema: 'public', name: 't' };
  yield headerLines({
    ...{ version: '0.1.0', source: 'primary', dialect: 'postgres', server: 'PostgreSQL 18.4', position: '0/1' },
    ...{ at: '2026-01-24T20:00:00.000Z', tables: [{ ...table, columns: ['id', 'note'] }] },
  });
  yield '-- part: rows\nINSERT INTO "public"."t" ("id", "note") VALUES\n';
  for (let i = 0; i < rows; i++) yield `${i === 0 ? '' : ',\n'}(${i},'ü${(i * 7919) % 1000}')`;
  yield ';\n';
  yield rowsLine({ counts: [{ ...table, rows }], notForCockroach: [] });
}

/** An import that gets past the file finds no database there: that nothing was touched needs no further proof. */
const NOWHERE = { host: '127.0.0.1', port: 1, user: 'nobody', database: 'nowhere' };

function importOf(input: string): Promise<unknown> {
  return runImport({
    ...{ side: 'secondary', config: NOWHERE, secondary: NOWHERE, stream: 's', input, force: true },
    ...{ clock: systemClock, signal: NEVER, onProgress: () => undefined },
  });
}

describe.each(['sql', 'sql.gz'])('an export as %s', (ending) => {
  const seed = testSeed();
  let folder: string;
  let whole: Buffer;
  const path = (name: string) => join(folder, `${name}.${ending}`);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'db-redundancy-file-'));
    await writeExport(exportOf(60), path('whole'), new PassThrough(), NEVER);
    whole = await readFile(path('whole'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  async function expectRefused(bytes: Buffer, what: string) {
    await writeFile(path('altered'), bytes);
    const error: unknown = await importOf(path('altered')).catch((thrown: unknown) => thrown);
    expect(error, `${what}, seed ${seed}`).toBeInstanceOf(BadExportFile);
  }

  it('passes the check when it is whole', async () => {
    await expect(importOf(path('whole'))).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('is refused when it is cut at any byte', async () => {
    const near = Array.from({ length: Math.min(FRAME, whole.length) }, (_, i) => i);
    const places = new Set([...near, ...near.map((i) => whole.length - 1 - i)]);
    for (const at of places) await expectRefused(whole.subarray(0, at), `cut at ${at}`);
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), (at) => expectRefused(whole.subarray(0, at), `cut at ${at}`)),
      { seed, numRuns: RUNS },
    );
  }, 600_000);

  it('is refused when any byte is another', async () => {
    const change = (at: number, by: number) => {
      const altered = Buffer.from(whole);
      altered[at] = (altered[at] as number) ^ by;
      return expectRefused(altered, `byte ${at} changed by ${by}`);
    };
    for (let i = 0; i < Math.min(FRAME, whole.length); i++) {
      await change(i, 1 << (i % 8));
      await change(whole.length - 1 - i, 1 << (i % 8));
    }
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), (at, by) => change(at, by)),
      { seed, numRuns: RUNS },
    );
  }, 600_000);

  it('is refused when something follows it, or stands in it twice', async () => {
    for (const more of ['\n', ' ', '-- more\n', '\0']) {
      await expectRefused(Buffer.concat([whole, Buffer.from(more)]), JSON.stringify(more));
    }
    await expectRefused(Buffer.concat([whole, whole]), 'twice');
    await expectRefused(Buffer.concat([whole.subarray(0, 400), whole.subarray(380)]), 'a piece twice');
  });
});

it('a gzip file is the same SQL unpacked; packed by another program it is refused with what helps', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'db-redundancy-file-'));
  try {
    const [plain, packed] = [join(folder, 'a.sql'), join(folder, 'a.sql.gz')];
    await writeExport(exportOf(9), plain, new PassThrough(), NEVER);
    await writeExport(exportOf(9), packed, new PassThrough(), NEVER);
    expect(gunzipSync(await readFile(packed))).toEqual(await readFile(plain));
    await writeFile(packed, gzipSync(await readFile(plain)));
    await expect(importOf(packed)).rejects.toThrow(/another program \(then unpack it/);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

it('a failed export leaves the former file and no draft; its text is not asked for faster than it is written', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'db-redundancy-file-'));
  try {
    const path = join(folder, 'a.sql');
    await writeFile(path, 'former');
    async function* broken(): AsyncGenerator<string> {
      yield 'some';
      throw new Error('source lost');
    }
    await expect(writeExport(broken(), path, new PassThrough(), NEVER)).rejects.toThrow('source lost');
    expect(await readFile(path, 'utf8')).toBe('former');
    expect(await readdir(folder)).toEqual(['a.sql']);

    let asked = 0;
    async function* endless(): AsyncGenerator<string> {
      for (;;) {
        asked += 1;
        yield 'x'.repeat(64 * 1024);
      }
    }
    const stop = new AbortController();
    const stuck = new PassThrough();
    const writing = writeExport(endless(), '-', stuck, stop.signal);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(asked).toBeLessThan(20);
    stop.abort(new Error('enough'));
    await expect(writing).rejects.toMatchObject({ name: 'AbortError' });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
