/**
 * Decides about rows that the primary has changed without the secondary's knowing, and writes the winner to the
 * secondary, from where everything is copied the other way. The secondary is in use meanwhile, so in one transaction:
 * the rows are read, the journal is waited for up to that moment, and nothing may have changed when it commits. On
 * PostgreSQL locks see to that (rows that are written take their keys, and the journal is asked once more after that,
 * because a row that is not there cannot be locked); on CockroachDB the transaction is serializable and locks nothing
 * while it waits for the changefeed, which takes seconds.
 */
import type { TargetSession } from '../apply/target-session.js';
import { formatLsn, type Lsn } from '../core/lsn.js';
import type { Link } from '../meta/target-link.js';
import type { CatchupStore } from './catchup-store.js';
import { type Conflict, conflictsStatement } from './conflicts.js';
import { inTransaction } from './connections.js';
import { decide, type Evidence } from './decide.js';
import { type Journal, type JournalRow, KEPT, type TouchedKey, touchedId } from './journal.js';
import { JournalGapError } from './recovery-errors.js';
import { readRows, type StoredRow, toSecondary, updatedAt, versionJson } from './row-io.js';
import type { RecoveryTable, RecoveryTables } from './tables.js';
import { type RowWrite, tryWrite, writeOneByOne, writeStatements } from './write-rows.js';

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

/** A key was written between two looks, and is not there: only looking again tells. */
class LookAgain extends Error {}

/** Rows of the transaction are written all the time, and it cannot end. */
class Contended extends Error {}

/** What is seen of one table's rows. */
interface Sight {
  readonly primary: ReadonlyMap<string, StoredRow>;
  readonly secondary: ReadonlyMap<string, StoredRow>;
  readonly journal: ReadonlyMap<string, JournalRow>;
}

interface Plan {
  readonly settled: TailItem[];
  readonly conflicts: Conflict[];
  readonly primaryWins: TailItem[];
  readonly secondaryWins: TailItem[];
}

type ByTable<T> = ReadonlyMap<RecoveryTable, T>;

/**
 * @param written its rows are known to be written on the secondary, perhaps at this moment
 * @param last what the secondary refuses now will be refused for ever: the primary's version goes to the conflicts
 * @returns rows that won and that the secondary refuses: to be settled again when all others are
 */
export async function settle(
  context: SettleContext,
  items: readonly TailItem[],
  last: boolean,
  written = false,
): Promise<TailItem[]> {
  const cockroach = context.tables.dialect === 'cockroach';
  for (let rest = items; rest.length > 0; ) {
    const keys = keysByTable(rest);
    const primary = await eachTable(keys, (table, rowKeys) =>
      readRows(context.primary, table, 'primary', rowKeys, { values: true }),
    );
    // Locks are held while the journal catches up: most of that is done before.
    if (!cockroach) await context.upToDate?.();
    const wanted = rest;
    let attempts = written && rest === items ? 1 : 0;
    try {
      return await inTransaction(context.link, (session) => {
        attempts += 1;
        if (cockroach && attempts > 1) throw new Contended();
        return settleOnce(context, session, wanted, keys, primary, last);
      });
    } catch (error) {
      if (error instanceof Contended) rest = await settleForSecondary(context, rest, keys, primary);
      else if (!(error instanceof LookAgain)) throw error;
    }
  }
  return [];
}

/**
 * Without locks, a transaction that has read a row which is written all the time never ends. Where the secondary wins it
 * need not: whatever is written there later wins, too. So those rows are decided upon by what was read before, and no row
 * of the application is part of the transaction that says so.
 * @returns the others: rows that the primary wins as far as can be seen
 */
async function settleForSecondary(
  context: SettleContext,
  items: readonly TailItem[],
  keys: ByTable<readonly string[]>,
  primary: ByTable<ReadonlyMap<string, StoredRow>>,
): Promise<TailItem[]> {
  const { evidence, fence, journal, link, store, stream } = context;
  const secondary = await eachTable(keys, (table, rowKeys) =>
    evidence.with((session) => readRows(session, table, 'secondary', rowKeys, { values: true })),
  );
  let known = await lookAt(context, keys);
  // That a row was written is known by what the journal has; that one was not, only by all that it will have.
  if (items.some(({ rowKey, table }) => of(known, table).get(rowKey)?.written !== true)) {
    await context.upToDate?.();
    known = await lookAt(context, keys);
  }
  const plan = planOf(context, items, sightsOf(keys, primary, secondary, known));
  const settled = plan.settled.filter((item) => !plan.primaryWins.includes(item));
  const ids = new Set(settled.map(touchedId));
  const conflicts = latest(plan.conflicts.filter((conflict) => ids.has(touchedId(conflict))));
  await inTransaction(link, async (session) => {
    const { failoverEpoch, journalComplete } = await store.lock(session);
    if (context.upToDate && !journalComplete) throw new JournalGapError();
    if (settled.length > 0) await session.run(journal.settled(named(context, settled), formatLsn(fence)));
    if (plan.secondaryWins.length > 0) await session.run(journal.toBeCopied(named(context, plan.secondaryWins)));
    if (conflicts.length > 0) await session.run(conflictsStatement(stream, failoverEpoch, conflicts));
  });
  return plan.primaryWins;
}

async function settleOnce(
  context: SettleContext,
  session: TargetSession,
  items: readonly TailItem[],
  keys: ByTable<readonly string[]>,
  primary: ByTable<ReadonlyMap<string, StoredRow>>,
  last: boolean,
): Promise<TailItem[]> {
  const { fence, journal, store, stream, tables } = context;
  const locking = tables.dialect === 'postgres';
  if (!locking) await session.exec('SET TRANSACTION ISOLATION LEVEL SERIALIZABLE');
  const secondary = await eachTable(keys, (table, rowKeys) =>
    readRows(session, table, 'secondary', rowKeys, { values: true, lock: locking }),
  );
  await context.upToDate?.();
  const known = await lookAt(context, keys);
  const sights = sightsOf(keys, primary, secondary, known);
  const plan = planOf(context, items, sights);
  const refused = await writeWinners(session, plan.primaryWins, sights, tables);
  const claimed = plan.primaryWins.filter(({ rowKey, table }) => !of(secondary, table).has(rowKey));
  if (locking && context.upToDate && claimed.length > 0) {
    await context.upToDate();
    const again = await lookAt(context, keys);
    for (const { rowKey, table } of claimed)
      if (of(again, table).get(rowKey)?.at !== of(known, table).get(rowKey)?.at) throw new LookAgain();
  }
  // The secondary cannot take it, which may be why its table is stale, and nobody wrote it there: it stays as it is.
  const kept = last
    ? refused.filter(({ item }) => staysBehind(item, of(sights, item.table))).map(({ item }) => item)
    : [];
  for (const { error, item } of last ? refused : []) {
    if (kept.includes(item)) continue;
    const rule = `refused by the secondary: ${error instanceof Error ? error.message : String(error)}`;
    plan.conflicts.push(conflictOf(context, item, of(sights, item.table), { winner: 'secondary', rule }));
    plan.secondaryWins.push(item);
  }
  const late = last ? [] : refused.map(({ item }) => item);
  const settled = plan.settled.filter((item) => !late.includes(item) && !kept.includes(item));
  const ids = new Set(settled.map(touchedId));
  const conflicts = latest(plan.conflicts.filter((conflict) => ids.has(touchedId(conflict))));
  // Not before: the journal is written under the same lock, and has been waited for.
  const { failoverEpoch, journalComplete } = await store.lock(session);
  // What was decided by a journal that turned out to have a gap is decided anew.
  if (context.upToDate && !journalComplete) throw new JournalGapError();
  if (settled.length > 0) await session.run(journal.settled(named(context, settled), formatLsn(fence)));
  if (late.length > 0) await session.run(journal.settled(named(context, late), 'late'));
  if (kept.length > 0) await session.run(journal.settled(named(context, kept), KEPT));
  if (plan.secondaryWins.length > 0) await session.run(journal.toBeCopied(named(context, plan.secondaryWins)));
  if (conflicts.length > 0) await session.run(conflictsStatement(stream, failoverEpoch, conflicts));
  return late;
}

/** What the journal says of them, beside any transaction. */
function lookAt({ evidence, journal }: SettleContext, keys: ByTable<readonly string[]>) {
  return eachTable(keys, (table, rowKeys) =>
    evidence.with((session) => journal.find(session, table, [...rowKeys, '*truncated'])),
  );
}

function sightsOf(
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

function named({ nowMs }: SettleContext, items: readonly TailItem[]): TouchedKey[] {
  return items.map(({ rowKey, table }) => ({ table, rowKey, at: '', atMs: nowMs() }));
}

function staysBehind({ rowKey, table }: TailItem, { journal }: Sight): boolean {
  return !table.complete && journal.get(rowKey)?.written !== true;
}

function keysByTable(items: readonly TailItem[]): ByTable<readonly string[]> {
  const keys = new Map<RecoveryTable, string[]>();
  for (const { rowKey, table } of items) keys.set(table, [...(keys.get(table) ?? []), rowKey]);
  return keys;
}

async function eachTable<T>(
  keys: ByTable<readonly string[]>,
  read: (table: RecoveryTable, rowKeys: readonly string[]) => Promise<T>,
): Promise<ByTable<T>> {
  const found = new Map<RecoveryTable, T>();
  for (const [table, rowKeys] of keys) found.set(table, await read(table, rowKeys));
  return found;
}

function of<T>(map: ByTable<T>, table: RecoveryTable): T {
  return map.get(table) as T;
}

function planOf(context: SettleContext, items: readonly TailItem[], sights: ByTable<Sight>): Plan {
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

/** @returns those that the secondary refuses */
async function writeWinners(
  session: TargetSession,
  winners: readonly TailItem[],
  sights: ByTable<Sight>,
  tables: RecoveryTables,
): Promise<{ item: TailItem; error: unknown }[]> {
  if (winners.length === 0) return [];
  const items = new Map<RowWrite, TailItem>();
  for (const item of winners) {
    const row = of(sights, item.table).primary.get(item.rowKey);
    items.set({ ...item, values: row ? toSecondary(item.table, row.values) : null }, item);
  }
  const writes = [...items.keys()];
  const error = await tryWrite(session, () => writeStatements(session, 'secondary', writes, tables.ordered));
  if (error === null) return [];
  const refused = await writeOneByOne(session, 'secondary', writes, tables.ordered);
  return refused.map((each) => ({ item: items.get(each.write) as TailItem, error: each.error }));
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

function conflictOf(
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
function latest(conflicts: readonly Conflict[]): Conflict[] {
  return [...new Map(conflicts.map((conflict) => [touchedId(conflict), conflict])).values()];
}
