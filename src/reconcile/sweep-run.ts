/** One sweep over all tables that stream: what it found of each, and where the next one begins. */
import type { Clock } from '../core/clock.js';
import { crashPoint } from '../core/crash-points.js';
import { displayName, type TableName, tableKey } from '../core/ident.js';
import type { Log } from '../core/log.js';
import { classify } from '../core/policy.js';
import type { TableEntry } from '../pipeline/registry.js';
import { primaryTimes } from './changed-rows.js';
import type { ComparedTable } from './compared-table.js';
import type { ResultsStore, StoredSweep } from './results-store.js';
import { type SweepParts, sweepTable } from './sweep-table.js';
import { sinceLast, sweepWindow } from './sweep-window.js';

const PASSING = new Set(['retry', 'reread-checkpoint']);

export interface SweepRunParts extends SweepParts {
  readonly results: ResultsStore;
  readonly compared: (entry: TableEntry) => Promise<ComparedTable>;
  readonly clock: Clock;
  readonly log: Log;
  readonly intervalMs: number;
  readonly overlapMs: number;
}

export interface SweepRun {
  readonly at: string;
  readonly sweeps: readonly StoredSweep[];
  readonly repaired: number;
}

/** @param last what the former sweeps have left, by table */
export async function sweepAll(
  parts: SweepRunParts,
  entries: readonly TableEntry[],
  last: ReadonlyMap<string, StoredSweep>,
): Promise<SweepRun> {
  const { clock, log, results } = parts;
  const started = clock.monotonic();
  const at = new Date(clock.now()).toISOString();
  const sweeps: StoredSweep[] = [];
  for (const entry of entries) {
    if (entry.state !== 'streaming') continue;
    const sweep = await sweepOne(parts, entry, at, last.get(tableKey(entry)) ?? null);
    if (!sweep) continue;
    sweeps.push(sweep);
    if (sweep.repaired > 0) warnOfDrift(log, entry, sweep);
  }
  crashPoint('sweep:storing');
  await results.storeSweeps(sweeps, at);
  crashPoint('sweep:stored');
  const repaired = sweeps.reduce((sum, sweep) => sum + sweep.repaired, 0);
  const compared = sweeps.reduce((sum, sweep) => sum + sweep.compared, 0);
  const uncovered = sweeps.filter(({ coveredBy }) => coveredBy === 'verify').map(displayName);
  log.info(
    {
      repaired,
      compared,
      tables: sweeps.length,
      ms: Math.round(clock.monotonic() - started),
      coveredByVerifyOnly: uncovered,
    },
    `Sync completed: ${repaired} records updated`,
  );
  return { at, sweeps, repaired };
}

/** Null for a table that stopped streaming meanwhile. */
async function sweepOne(
  parts: SweepRunParts,
  entry: TableEntry,
  at: string,
  last: StoredSweep | null,
): Promise<StoredSweep | null> {
  const { clock, intervalMs, log, overlapMs, source } = parts;
  const table = await parts.compared(entry);
  const name: TableName = { schema: entry.schema, name: entry.name };
  const nothing = { ...name, at, compared: 0, repaired: 0, newerOnSecondary: 0, cursorMs: null };
  if (!table.updatedAt || table.load.binding.key === null) return { ...nothing, coveredBy: 'verify' };
  // Before the first row is read: what commits from here on belongs to the next sweep too.
  const times = await source.use(primaryTimes);
  const window = sweepWindow({
    ...times,
    cursorMs: last?.cursorMs ?? null,
    elapsedMs: last ? sinceLast(last.at, intervalMs, clock.now()) : intervalMs,
    overlapMs,
  });
  try {
    const counts = await sweepTable(parts, table, table.updatedAt, window.fromMs);
    return { ...name, at, coveredBy: 'sweep', ...counts, cursorMs: window.nextCursorMs };
  } catch (error) {
    if (entry.state !== 'streaming') return null;
    if (parts.signal.aborted || PASSING.has(classify(error).action)) throw error;
    // The other tables go on; this one is looked at from the same place next time.
    log.error({ err: error, table: displayName(entry) }, `Sync of ${displayName(entry)} failed`);
    return null;
  }
}

function warnOfDrift(log: Log, entry: TableEntry, { newerOnSecondary, repaired }: StoredSweep): void {
  const newer =
    newerOnSecondary > 0
      ? `; ${newerOnSecondary} of them were newer there and are kept in db_redundancy.conflicts`
      : '';
  log.warn(
    { table: displayName(entry), repaired, newerOnSecondary },
    `Rows of ${displayName(entry)} differed on the secondary and were repaired: ${repaired}${newer}`,
  );
}
