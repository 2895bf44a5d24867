/** What is seen of rows on both sides and in the journal, and what follows from it: pure, but for the looking. */
import type { TargetSession } from '../apply/target-session.js';
import { formatLsn, type Lsn } from '../core/lsn.js';
import type { Link } from '../meta/target-link.js';
import type { CatchupStore } from './catchup-store.js';
import type { Conflict } from './conflicts.js';
import { decide, type Evidence } from './decide.js';
import { type Journal, type JournalRow, type TouchedKey, touchedId } from './journal.js';
import { type StoredRow, updatedAt, versionJson } from './row-io.js';
import type { RecoveryTable, RecoveryTables } from './tables.js';

/** A row of which the primary's present version has to be reckoned with. */
export interface TailItem {
  readonly table: RecoveryTable;
  readonly rowKey: string;
  /** Commit of its last change there, milliseconds; null when the primary's WAL could not be read. */
  readonly changedAtMs: number | null;
  /** The tail inserted it. */
  readonly born: boolean;
}

export interface SettleContext {
  readonly stream: string;
  readonly link: Link;
  readonly primary: TargetSession;
  readonly tables: RecoveryTables;
  readonly store: CatchupStore;
  readonly journal: Journal;
  /** The primary's last change lies before it. */
  readonly fence: Lsn;
  /** The journal holds everything up to now; null: it is no evidence. */
  readonly upToDate: (() => Promise<void>) | null;
  /** Beside the transaction, which may not see what was stored since it began. */
  readonly evidence: Link;
  readonly nowMs: () => number;
}

/** What is seen of one table's rows. */
export interface Sight {
  readonly primary: ReadonlyMap<string, StoredRow>;
  readonly secondary: ReadonlyMap<string, StoredRow>;
  readonly journal: ReadonlyMap<string, JournalRow>;
}

export interface Plan {
  readonly settled: TailItem[];
  readonly conflicts: Conflict[];
  readonly primaryWins: TailItem[];
  readonly secondaryWins: TailItem[];
}

export type ByTable<T> = ReadonlyMap<RecoveryTable, T>;

/** What the journal says of them, beside any transaction. */
export function lookAt({ evidence, journal }: SettleContext, keys: ByTable<readonly string[]>) {
  return eachTable(keys, (table, rowKeys) =>
    evidence.with((session) => journal.find(session, table, [...rowKeys, '*truncated'])),
  );
}

export function sightsOf(
  keys: ByTable<readonly string[]>,
  primary: ByTable<ReadonlyMap<string, StoredRow>>,
  secondary: ByTable<ReadonlyMap<string, StoredRow>>,
  journal: ByTable<ReadonlyMap<string, JournalRow>>,
): ByTable<Sight> {
  const sight = (table: RecoveryTable) => ({
    ...{ primary: of(primary, table), secondary: of(secondary, table), journal: of(journal, table) },
  });
  return new Map([...keys.keys()].map((table) => [table, sight(table)]));
}

export function named({ nowMs }: SettleContext, items: readonly TailItem[]): TouchedKey[] {
  return items.map(({ rowKey, table }) => ({ table, rowKey, at: '', atMs: nowMs() }));
}

export function keysByTable(items: readonly TailItem[]): ByTable<readonly string[]> {
  const keys = new Map<RecoveryTable, string[]>();
  for (const { rowKey, table } of items) keys.set(table, [...(keys.get(table) ?? []), rowKey]);
  return keys;
}

export async function eachTable<T>(
  keys: ByTable<readonly string[]>,
  read: (table: RecoveryTable, rowKeys: readonly string[]) => Promise<T>,
): Promise<ByTable<T>> {
  const found = new Map<RecoveryTable, T>();
  for (const [table, rowKeys] of keys) found.set(table, await read(table, rowKeys));
  return found;
}

export function of<T>(map: ByTable<T>, table: RecoveryTable): T {
  return map.get(table) as T;
}

export function planOf(context: SettleContext, items: readonly TailItem[], sights: ByTable<Sight>): Plan {
  const plan: Plan = { settled: [], conflicts: [], primaryWins: [], secondaryWins: [] };
  for (const item of items) {
    const sight = of(sights, item.table);
    if (sight.journal.get(item.rowKey)?.settled === formatLsn(context.fence)) continue;
    plan.settled.push(item);
    if (sight.primary.get(item.rowKey)?.hash === sight.secondary.get(item.rowKey)?.hash) continue;
    const decision = decide(evidenceOf(context, item, sight));
    if (decision.conflict) plan.conflicts.push(conflictOf(context, item, sight, decision));
    (decision.winner === 'primary' ? plan.primaryWins : plan.secondaryWins).push(item);
  }
  return plan;
}

function evidenceOf(context: SettleContext, item: TailItem, sight: Sight): Evidence {
  const { rowKey, table } = item;
  const [ours, theirs] = [sight.primary.get(rowKey), sight.secondary.get(rowKey)];
  const entry = sight.journal.get(rowKey);
  // A row that is gone may have been gone with all others, which names no rows.
  const written = entry?.written ? entry : theirs === undefined ? sight.journal.get('*truncated') : undefined;
  return {
    primary: { exists: ours !== undefined, updatedAt: updatedAt(table, ours) },
    secondary: { exists: theirs !== undefined, updatedAt: updatedAt(table, theirs) },
    primaryChangedAt: item.changedAtMs === null ? null : BigInt(item.changedAtMs) * 1000n,
    born: item.born || !table.complete,
    written: written ? 'yes' : context.upToDate ? 'no' : 'unknown',
    secondaryChangedAt: written ? BigInt(written.atMs) * 1000n : null,
    stale: !table.complete,
  };
}

export function conflictOf(
  context: SettleContext,
  item: TailItem,
  sight: Sight,
  { rule, winner }: { readonly rule: string; readonly winner: 'primary' | 'secondary' },
): Conflict {
  const { rowKey, table } = item;
  const evidence = evidenceOf(context, item, sight);
  return {
    table,
    rowKey,
    position: context.fence,
    winner,
    rule,
    primary: versionJson(table, sight.primary.get(rowKey)),
    secondary: versionJson(table, sight.secondary.get(rowKey)),
    primaryAt: evidence.primary.updatedAt ?? evidence.primaryChangedAt,
    secondaryAt: evidence.secondary.updatedAt ?? evidence.secondaryChangedAt,
  };
}

/** One record a row: what was refused at last replaces what was decided before. */
export function latest(conflicts: readonly Conflict[]): Conflict[] {
  return [...new Map(conflicts.map((conflict) => [touchedId(conflict), conflict])).values()];
}
