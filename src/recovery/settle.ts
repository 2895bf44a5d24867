/**
 * Decides about rows that the primary has changed without the secondary's knowing, and writes the winner to the
 * secondary, from where everything is copied the other way. The secondary is in use meanwhile: its rows are read, the
 * journal is brought up to that moment, and a row that is not the same when it is locked is looked at again. So no lock
 * is held while the journal catches up, which takes seconds on a changefeed. What is not seen is a key that was absent,
 * written and deleted again between the two looks: it counts as absent throughout.
 */
import type { TargetSession } from '../apply/target-session.js';
import { formatLsn, type Lsn } from '../core/lsn.js';
import type { TargetLink } from '../meta/target-link.js';
import type { CatchupStore } from './catchup-store.js';
import { type Conflict, conflictsStatement } from './conflicts.js';
import { inTransaction } from './connections.js';
import { type Decision, decide } from './decide.js';
import type { Journal, JournalRow, TouchedKey } from './journal.js';
import { readRows, type StoredRow, toSecondary, updatedAt, versionJson } from './row-io.js';
import type { RecoveryTable, RecoveryTables } from './tables.js';
import { isRowsFault, type RowWrite, tryWrite, writeOneByOne, writeStatements } from './write-rows.js';

/** A row of which the primary's present version has to be reckoned with. */
export interface TailItem {
  readonly rowKey: string;
  /** Commit of its last change there, milliseconds; null when the primary's WAL could not be read. */
  readonly changedAtMs: number | null;
  /** The tail inserted it. */
  readonly born: boolean;
}

export interface SettleContext {
  readonly stream: string;
  readonly link: TargetLink;
  readonly primary: TargetSession;
  readonly tables: RecoveryTables;
  readonly store: CatchupStore;
  readonly journal: Journal;
  /** The primary's last change lies before it. */
  readonly fence: Lsn;
  /** The journal holds everything up to now; null: it is no evidence. */
  readonly upToDate: (() => Promise<void>) | null;
  readonly nowMs: () => number;
}

interface Settled {
  readonly raced: TailItem[];
  readonly conflicts: number;
  /** Won, and refused by the secondary for now: another row of the tail may have to come first. */
  readonly refused: TailItem[];
}

/**
 * @param last what the secondary refuses now will be refused for ever: the primary's version goes to the conflicts
 * @returns rows that are to be settled again when all others are
 */
export async function settle(
  context: SettleContext,
  table: RecoveryTable,
  items: readonly TailItem[],
  last: boolean,
): Promise<TailItem[]> {
  const refused: TailItem[] = [];
  let open = items;
  while (open.length > 0) {
    const keys = open.map((item) => item.rowKey);
    const primary = await readRows(context.primary, table, 'primary', keys, { values: true });
    const before = await context.link.with((session) => readRows(session, table, 'secondary', keys));
    await context.upToDate?.();
    const round = await settleOnce(context, table, open, primary, before, last);
    refused.push(...round.refused);
    open = round.raced;
  }
  return refused;
}

async function settleOnce(
  context: SettleContext,
  table: RecoveryTable,
  items: readonly TailItem[],
  primary: ReadonlyMap<string, StoredRow>,
  before: ReadonlyMap<string, StoredRow>,
  last: boolean,
): Promise<Settled> {
  const { fence, journal, link, store, stream, tables } = context;
  return inTransaction(link, async (session) => {
    const { failoverEpoch } = await store.lock(session);
    const keys = items.map((item) => item.rowKey);
    const now = await readRows(session, table, 'secondary', keys, { values: true, lock: true });
    const known = await journal.find(session, table, [...keys, '*truncated']);
    const raced: TailItem[] = [];
    const done: TailItem[] = [];
    const conflicts: Conflict[] = [];
    const primaryWins = new Map<TailItem, Decision>();
    const secondaryWins: TailItem[] = [];
    for (const item of items) {
      const ours = primary.get(item.rowKey);
      const theirs = now.get(item.rowKey);
      if (theirs?.hash !== before.get(item.rowKey)?.hash) raced.push(item);
      else if (known.get(item.rowKey)?.settled === formatLsn(fence)) continue;
      else {
        done.push(item);
        if (ours?.hash === theirs?.hash) continue;
        const evidence = evidenceOf(context, table, item, known, ours, theirs);
        const decision = decide(evidence);
        if (decision.conflict)
          conflicts.push(
            conflictOf(table, item, fence, decision, evidence, versionJson(table, ours), versionJson(table, theirs)),
          );
        if (decision.winner === 'primary') primaryWins.set(item, decision);
        else secondaryWins.push(item);
      }
    }
    const writes = [...primaryWins.keys()].map((item): RowWrite & { item: TailItem } => {
      const row = primary.get(item.rowKey);
      return { item, table, rowKey: item.rowKey, values: row ? toSecondary(table, row.values) : null };
    });
    const refused = await writeWinners(session, writes, tables);
    if (last) {
      for (const { error, item } of refused) {
        const [ours, theirs] = [primary.get(item.rowKey), now.get(item.rowKey)];
        const decision: Decision = { winner: 'secondary', rule: 'active-side', conflict: true };
        const reason = `refused by the secondary: ${error instanceof Error ? error.message : String(error)}`;
        const evidence = evidenceOf(context, table, item, known, ours, theirs);
        const lost = conflictOf(
          table,
          item,
          fence,
          decision,
          evidence,
          versionJson(table, ours),
          versionJson(table, theirs),
        );
        conflicts.push({ ...lost, rule: reason });
        secondaryWins.push(item);
      }
    }
    const late = last ? [] : refused.map(({ item }) => item);
    const settled = done.filter((item) => !late.includes(item));
    const fresh = conflicts.filter((conflict) => settled.some((item) => item.rowKey === conflict.rowKey));
    if (settled.length > 0)
      await session.run(
        journal.settled(
          settled.map((item) => touched(context, table, item)),
          formatLsn(fence),
        ),
      );
    if (late.length > 0)
      await session.run(
        journal.settled(
          late.map((item) => touched(context, table, item)),
          'late',
        ),
      );
    if (secondaryWins.length > 0)
      await session.run(journal.toBeCopied(secondaryWins.map((item) => touched(context, table, item))));
    if (fresh.length > 0) await session.run(conflictsStatement(stream, failoverEpoch, latest(fresh)));
    return { raced, refused: late, conflicts: fresh.length };
  });
}

/** @returns those that the secondary refuses */
async function writeWinners(
  session: TargetSession,
  writes: readonly (RowWrite & { item: TailItem })[],
  tables: RecoveryTables,
): Promise<{ item: TailItem; error: unknown }[]> {
  if (writes.length === 0) return [];
  const error = await tryWrite(session, () => writeStatements(session, 'secondary', writes, tables.ordered));
  if (error === null) return [];
  if (!isRowsFault(error)) throw error;
  const refused = await writeOneByOne(session, 'secondary', writes, tables.ordered);
  return refused.map((each) => ({ item: (each.write as RowWrite & { item: TailItem }).item, error: each.error }));
}

function evidenceOf(
  context: SettleContext,
  table: RecoveryTable,
  item: TailItem,
  known: ReadonlyMap<string, JournalRow>,
  ours: StoredRow | undefined,
  theirs: StoredRow | undefined,
) {
  const entry = known.get(item.rowKey);
  // A row that is gone may have been gone with all others, which names no rows.
  const written = entry?.written ? entry : theirs === undefined ? known.get('*truncated') : undefined;
  return {
    primary: { exists: ours !== undefined, updatedAt: updatedAt(table, ours) },
    secondary: { exists: theirs !== undefined, updatedAt: updatedAt(table, theirs) },
    primaryChangedAt: item.changedAtMs === null ? null : BigInt(item.changedAtMs) * 1000n,
    born: item.born || !table.complete,
    written: written ? ('yes' as const) : context.upToDate ? ('no' as const) : ('unknown' as const),
    secondaryChangedAt: written ? BigInt(written.atMs) * 1000n : null,
  };
}

function conflictOf(
  table: RecoveryTable,
  item: TailItem,
  fence: Lsn,
  decision: Decision,
  evidence: ReturnType<typeof evidenceOf>,
  primary: string | null,
  secondary: string | null,
): Conflict {
  return {
    table,
    rowKey: item.rowKey,
    position: fence,
    winner: decision.winner,
    rule: decision.rule,
    primary,
    secondary,
    primaryAt: evidence.primary.updatedAt ?? evidence.primaryChangedAt,
    secondaryAt: evidence.secondary.updatedAt ?? evidence.secondaryChangedAt,
  };
}

/** One record a row: what was refused at last replaces what was decided before. */
function latest(conflicts: readonly Conflict[]): Conflict[] {
  return [...new Map(conflicts.map((conflict) => [conflict.rowKey, conflict])).values()];
}

function touched(context: SettleContext, table: RecoveryTable, item: TailItem): TouchedKey {
  return { table, rowKey: item.rowKey, at: '', atMs: context.nowMs() };
}
