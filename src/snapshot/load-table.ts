/** A table to be loaded, checked or repaired: how it is read on the primary, and where its rows go. */
import type { Row } from '../core/change.js';
import type { LineSource } from '../core/line-source.js';
import { type Binding, keyOf, project, rawKeyOf } from '../pipeline/binding.js';
import { type KeyedFold, type NetChange, RawUpsert, type Step } from '../pipeline/fold.js';
import type { TableEntry } from '../pipeline/registry.js';
import type { Chunk, ChunkLimits, ChunkTable, Key } from './chunk-reader.js';
import type { RecentCommits } from './recent-commits.js';
import type { ChunkWindow } from './window.js';

export interface LoadTable {
  readonly entry: TableEntry;
  /** Labels of enums were renamed since: the secondary may refuse what it would take by a newer description. */
  readonly outdated: () => boolean;
  readonly chunk: ChunkTable;
  /** Its source columns are `chunk.columns`, in that order. */
  readonly binding: Binding;
  /** The planner's; null when it has none. */
  readonly rowEstimate: number | null;
  readonly sizeBytes: number;
}

const MOST_ROWS = 10_000;
const MOST_BYTES = 4 << 20;

/** Chunk limits from the table's average row: wide rows make short chunks. */
export function chunkLimits(table: LoadTable): ChunkLimits {
  const average = Math.max(64, table.rowEstimate ? table.sizeBytes / table.rowEstimate : 256);
  const fetch = Math.max(1, Math.min(2000, Math.floor((1 << 20) / average)));
  return { rows: Math.max(fetch, Math.min(MOST_ROWS, Math.floor(MOST_BYTES / average))), bytes: MOST_BYTES, fetch };
}

/** How many rows like those of the chunk fit into one; null when it had none that tell. */
export function rowsThatFit({ lines }: Chunk, limits: ChunkLimits): number | null {
  if (lines === undefined || lines.length === 0) return null;
  let bytes = 0;
  for (const { end, start } of lines) bytes += end - start;
  return Math.max(1, Math.min(limits.rows, Math.floor((limits.bytes * lines.length) / bytes)));
}

export interface Reconciled {
  readonly steps: readonly Step[];
  /** Keys that the stream knows in part only: to be read once more. */
  readonly again: readonly Key[];
  readonly rows: number;
}

/**
 * What of a chunk may be written at its upper watermark; null when the chunk must be read again as a whole.
 * Keys that the stream changed in between are left out: the stream's word is newer or equal (G5).
 * Keys that were asked for and are gone on the primary are deleted.
 */
export function reconcileChunk(
  table: LoadTable,
  chunk: Chunk,
  window: ChunkWindow,
  commits: RecentCommits,
): Reconciled | null {
  if (window.spoiled || commits.anyBefore(chunk.snapshot.running, window.openedAt)) return null;
  const { binding } = table;
  const changes = new Map<string, NetChange>();
  const again: Key[] = [];
  for (const raw of chunk.rows) {
    const row = project(binding, raw);
    const key = keyOf(binding, row);
    if (!window.touched.has(key)) changes.set(key, { op: 'upsert', row });
    else if (window.partial.has(key)) again.push(keyTexts(binding, row));
  }
  for (const line of chunk.lines ?? []) {
    const key = rawKeyOf(binding, line) ?? keyOf(binding, line.row);
    // A first load finds no row where it writes, as a rule.
    if (!window.touched.has(key)) changes.set(key, new RawUpsert(line, !table.entry.purge));
    else if (window.partial.has(key)) again.push(rawKeyTexts(binding, line));
  }
  const rows = changes.size;
  for (const { asked, own } of chunk.gone) {
    const key = keyOf(binding, project(binding, rowOfKey(binding, own)));
    if (!window.touched.has(key)) changes.set(key, { op: 'delete', row: rowOfKey(binding, asked) });
  }
  const keyed: KeyedFold = { binding, changes };
  return { steps: changes.size > 0 ? [{ kind: 'rows', keyed: [keyed], bags: [] }] : [], again, rows };
}

/** The key's values of a row of the binding, in key order. */
export function keyTexts(binding: Binding, row: Row): Key {
  return (binding.key as readonly number[]).map((i) => row[i] as string);
}

function rawKeyTexts(binding: Binding, line: LineSource): Key {
  return (binding.key as readonly number[]).map((i) => line.text(i) as string);
}

/** Of a chunk's last row; null for an empty chunk. */
export function lastKey(binding: Binding, { lines, rows }: Chunk): Key | null {
  const line = lines?.at(-1);
  if (line) return rawKeyTexts(binding, line);
  const row = rows.at(-1);
  return row ? keyTexts(binding, row) : null;
}

/** A row of the binding that has nothing but the key. */
export function rowOfKey(binding: Binding, key: Key): Row {
  const row = new Array<string | null>(binding.columns.length).fill(null);
  (binding.key as readonly number[]).forEach((i, at) => {
    row[i] = key[at] as string;
  });
  return row;
}
