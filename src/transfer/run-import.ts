/** One import from beginning to end: check the file, check the target, then write what is not written yet. */
import { RedundancyError } from '../core/errors.js';
import { displayName } from '../core/ident.js';
import type { Side } from '../reconcile/row-hash.js';
import { activeSide, assertFits, assertHoldsValues, assertSide, streamLeader } from './import-guards.js';
import { type ImportOptions, type ImportResult, ImportRun } from './import-run.js';
import { ImportTarget } from './import-target.js';
import { OpenExport } from './read-file.js';
import { type VerifiedExport, verifyFile } from './verify-file.js';

export async function runImport(options: ImportOptions): Promise<ImportResult> {
  const file = await OpenExport.open(options.input);
  try {
    const verified = await verifyFile(file, options.signal);
    const active = await activeSide(options.secondary, options.stream);
    if (!options.force) assertSide(options.side, active, await streamLeader(options.secondary, options.stream));
    const target = await ImportTarget.connect(options.config);
    try {
      return await importInto(target, file, verified, { ...options, active });
    } finally {
      await target.close();
    }
  } finally {
    await file.close();
  }
}

async function importInto(
  target: ImportTarget,
  file: OpenExport,
  verified: VerifiedExport,
  options: ImportOptions & { readonly active: Side },
): Promise<ImportResult> {
  assertHoldsValues(target, verified.trailer);
  const before = await target.progress(verified.sha256);
  const resumed = before !== null && !before.finished;
  const { present, filled } = await assertFits(target, verified.header, options.force || resumed);
  const merge = resumed ? before.merge : filled;
  if (!resumed) await target.begin(verified.sha256, merge);
  const run = new ImportRun(options, verified, target, present, {
    done: resumed ? before.statements : 0,
    merge,
    standby: options.side === 'secondary' && options.active !== 'secondary',
  });
  await run.all(file);
  if (!merge) await assertCounts(target, verified);
  await target.finish(verified.sha256);
  return run.result();
}

/** The target was empty: it must have just the rows of the file now. */
async function assertCounts(target: ImportTarget, { trailer }: VerifiedExport): Promise<void> {
  const wrong: string[] = [];
  for (const table of trailer.counts) {
    const found = await target.count(table);
    if (found !== table.rows) wrong.push(`${displayName(table)} has ${found} rows instead of ${table.rows}`);
  }
  if (wrong.length === 0) return;
  throw new RedundancyError(`The target is not equal to the file: ${wrong.join('; ')}.`, {
    code: 'counts-differ',
    remedy: 'Something else writes to it, or changed it since the import began. Empty the tables and import again.',
  });
}
