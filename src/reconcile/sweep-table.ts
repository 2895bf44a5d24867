/**
 * Sweeps one table: `updated_at` of the rows that the primary has changed lately is compared with the secondary's, and
 * rows that differ are looked at once more at a watermark; what is left is drift, and goes through the watermark path.
 */
import { crashPoint } from '../core/crash-points.js';
import { project } from '../pipeline/binding.js';
import type { TableEntry } from '../pipeline/registry.js';
import type { Key } from '../snapshot/chunk-reader.js';
import { rowOfKey } from '../snapshot/load-table.js';
import { type ChangedRow, changedRows } from './changed-rows.js';
import type { ComparedTable, UpdatedAt } from './compared-table.js';
import type { ConflictKeeper } from './conflict-keeper.js';
import { type LookParts, look, readSecondaryRows } from './look.js';
import { judgeSwept } from './sweep-window.js';

export interface SweepParts extends LookParts {
  readonly repair: (entry: TableEntry, keys: readonly Key[]) => Promise<void>;
  readonly conflicts: ConflictKeeper;
}

export interface SweepCounts {
  readonly compared: number;
  readonly repaired: number;
  /** Of the repaired, those whose `updated_at` on the secondary was the later one: its version is in `conflicts`. */
  readonly newerOnSecondary: number;
}

const PAGE = 1000;

export async function sweepTable(
  parts: SweepParts,
  table: ComparedTable,
  updatedAt: UpdatedAt,
  fromMs: number,
): Promise<SweepCounts> {
  let [compared, repaired, newerOnSecondary] = [0, 0, 0];
  let after: ChangedRow | null = null;
  for (;;) {
    parts.signal.throwIfAborted();
    const page: ChangedRow[] = await parts.source.use((client) =>
      changedRows(client, table, updatedAt, fromMs, after, PAGE),
    );
    compared += page.length;
    const suspects = await differing(parts, table, updatedAt, page);
    if (suspects.length > 0) {
      crashPoint('sweep:suspects');
      const mended = await mend(parts, table, updatedAt, suspects);
      crashPoint('sweep:mended');
      repaired += mended.repaired;
      newerOnSecondary += mended.newer;
    }
    after = page.at(-1) ?? null;
    if (page.length < PAGE) return { compared, repaired, newerOnSecondary };
  }
}

/** By a plain look at the secondary: what differs may only be on its way. */
async function differing(
  parts: SweepParts,
  table: ComparedTable,
  { column }: UpdatedAt,
  page: readonly ChangedRow[],
): Promise<Key[]> {
  const { binding } = table.load;
  const rows = page.map(({ key }) => project(binding, rowOfKey(binding, key)));
  const theirs = await readSecondaryRows(parts.link, table, rows, [column.secondary]);
  return page.filter(({ canonical }, i) => theirs[i]?.[0] !== canonical).map(({ key }) => key);
}

async function mend(
  parts: SweepParts,
  table: ComparedTable,
  { column }: UpdatedAt,
  suspects: readonly Key[],
): Promise<{ repaired: number; newer: number }> {
  const { seen } = await look(parts, table, suspects, {
    form: 'primary',
    primary: [column.primary],
    secondary: [column.secondary],
  });
  const wrong: Key[] = [];
  const newer: { key: Key; primaryAt: string | null; secondaryAt: string | null }[] = [];
  for (const { key, primary, secondary } of seen) {
    // Deleted on the primary meanwhile: that comes by the stream.
    if (primary === null) continue;
    const [primaryAt, secondaryAt] = [primary[0] ?? null, secondary?.[0] ?? null];
    const verdict = judgeSwept(primaryAt, secondary === null ? undefined : secondaryAt);
    if (verdict === 'equal') continue;
    wrong.push(key);
    if (verdict === 'newer') newer.push({ key, primaryAt, secondaryAt });
  }
  // Kept before it is replaced: it may be the only copy of a write.
  if (newer.length > 0) await parts.conflicts.keep(table, newer);
  if (wrong.length > 0) await parts.repair(table.load.entry, wrong);
  return { repaired: wrong.length, newer: newer.length };
}
