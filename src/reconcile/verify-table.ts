/** Verifies one table: narrows down to rows in two snapshots, looks again at what differs, and repairs it if asked to. */
import type { Clock } from '../core/clock.js';
import { displayName } from '../core/ident.js';
import type { TableEntry } from '../pipeline/registry.js';
import type { Key } from '../snapshot/chunk-reader.js';
import { type Aligned, type AlignedParts, inAlignedSnapshots } from './aligned.js';
import type { ComparedTable } from './compared-table.js';
import { isDoubtful, reallyDifferent } from './doubt.js';
import { chooseHashing } from './hashing.js';
import { type LookParts, look } from './look.js';
import { narrow } from './narrow.js';
import { Differences, type VerifyOutcome } from './outcome.js';
import { type Hashing, rowMark, type Side } from './row-hash.js';

export interface VerifyParts extends AlignedParts, LookParts {
  readonly compared: (entry: TableEntry) => Promise<ComparedTable>;
  /** Makes the secondary equal for these keys, through the watermark path. */
  readonly repair: (entry: TableEntry, keys: readonly Key[]) => Promise<void>;
  /** Orders a table to be loaded anew, and resolves when it streams again. */
  readonly resync: (entry: TableEntry) => Promise<void>;
  readonly clock: Clock;
}

const BATCH = 1000;

export async function verifyTable(parts: VerifyParts, entry: TableEntry, repair: boolean): Promise<VerifyOutcome> {
  const started = parts.clock.monotonic();
  const found = new Differences(entry, parts.clock.now());
  if (entry.state !== 'streaming') found.skipped = describeState(entry);
  else {
    const table = await parts.compared(entry);
    found.notCompared.push(...table.left.map(({ name, reason }) => `${name}: ${reason}`));
    const { key, relation } = table.load.binding;
    const pair = { oid: relation.oid, keyed: key !== null };
    const done = await inAlignedSnapshots(parts, pair, (aligned) => compare(parts, table, aligned, found, repair));
    if (done === null) found.skipped = 'a table without a key that is written all the time: no quiet moment was found';
    // What was seen of a table that has stopped streaming meanwhile means nothing.
    else if (entry.state !== 'streaming') found.skipped = describeState(entry);
    else if (key === null && repair && found.remaining > 0) {
      await parts.resync(entry);
      if (entry.state === 'streaming') found.repaired = found.total;
      else found.skipped = describeState(entry);
    }
  }
  return found.outcome((parts.clock.monotonic() - started) / 1000);
}

function describeState(entry: TableEntry): string {
  return entry.state === 'paused' ? `paused: ${entry.reason}` : `its load is not finished (${displayName(entry)})`;
}

async function compare(
  parts: VerifyParts,
  table: ComparedTable,
  aligned: Aligned,
  found: Differences,
  repair: boolean,
): Promise<true> {
  const hashing = await chooseHashing(aligned);
  const { rows, lonely } = await narrow(aligned, table, hashing);
  found.rows = rows;
  const keyed = table.load.binding.key !== null;
  const pending: Record<Side, Key[]> = { primary: [], secondary: [] };
  const flush = async (side: Side) => {
    const keys = pending[side].splice(0);
    if (keys.length > 0) await lookAgain(parts, table, hashing, side, keys, found, repair);
  };
  for await (const { side, row } of lonely) {
    if (!keyed) found.count(side === 'primary' ? 'missing' : 'extra');
    else if (pending[side].push(row.key) >= BATCH) await flush(side);
  }
  await flush('primary');
  await flush('secondary');
  return true;
}

/**
 * A row that is different is lonely on both sides, once with each hash: it counts where it comes from the primary's list.
 */
async function lookAgain(
  parts: VerifyParts,
  table: ComparedTable,
  hashing: Hashing,
  form: Side,
  keys: readonly Key[],
  found: Differences,
  repair: boolean,
): Promise<void> {
  const marks = {
    form,
    primary: [rowMark(table.columns, 'primary', hashing)],
    secondary: [rowMark(table.columns, 'secondary', hashing)],
  };
  const { seen, busy } = await look(parts, table, keys, marks);
  if (form === 'primary') found.unsettle(busy);
  const wrong: Key[] = [];
  const unlike: Key[] = [];
  for (const { key, primary, secondary } of seen) {
    if (primary === null && secondary === null) continue;
    if (primary === null) wrong.push(found.name('extra', key));
    else if (form === 'secondary') continue;
    else if (secondary === null) wrong.push(found.name('missing', key));
    else if (primary[0] !== secondary[0]) unlike.push(key);
  }
  const judged =
    isDoubtful(table) && unlike.length > 0
      ? await reallyDifferent(parts, table, unlike)
      : { different: unlike, busy: [] };
  found.unsettle(judged.busy);
  wrong.push(...judged.different.map((key) => found.name('different', key)));
  if (!repair || wrong.length === 0) return;
  await parts.repair(table.load.entry, wrong);
  if (table.load.entry.state !== 'streaming') return;
  const after = await look(parts, table, wrong, marks);
  const still = after.seen.filter(({ primary, secondary }) => primary?.[0] !== secondary?.[0]);
  found.repaired += wrong.length - still.length - after.busy.length;
}
