/**
 * Decides about rows that the primary has changed without the secondary's knowing, and writes the winner to the
 * secondary, from where everything is copied the other way. The secondary is in use meanwhile, so in one transaction:
 * the rows are read, the journal is waited for up to that moment, and nothing may have changed when it commits. On
 * PostgreSQL locks see to that (rows that are written take their keys, and the journal is asked once more after that,
 * because a row that is not there cannot be locked); on CockroachDB the transaction is serializable and locks nothing
 * while it waits for the changefeed, which takes seconds.
 */
import type { TargetSession } from '../apply/target-session.js';
import { inTransaction } from './connections.js';
import { readRows, type StoredRow } from './row-io.js';
import { settleApart } from './settle-apart.js';
import {
  type ByTable,
  eachTable,
  keysByTable,
  lookAt,
  of,
  planOf,
  type SettleContext,
  sightsOf,
  type TailItem,
} from './settle-plan.js';
import { record, writeWinners } from './settle-write.js';
import type { RecoveryTable } from './tables.js';

/** A key was written between two looks, and is not there: only looking again tells. */
class LookAgain extends Error {}

/** Rows of the transaction are written all the time, and it cannot end. */
class Contended extends Error {}

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
  const late: TailItem[] = [];
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
      const refused = await inTransaction(context.link, (session) => {
        attempts += 1;
        if (cockroach && attempts > 1) throw new Contended();
        return settleOnce(context, session, wanted, keys, primary, last);
      });
      return [...late, ...refused];
    } catch (error) {
      if (error instanceof LookAgain) continue;
      if (!(error instanceof Contended)) throw error;
      const apart = await settleApart(context, rest, keys, primary, last);
      late.push(...apart.late);
      // What refers to a row that is written all the time must not keep the others waiting.
      if (apart.rest.length === rest.length && rest.length > 1) {
        for (const half of halves(rest, context.tables.ordered)) late.push(...(await settle(context, half, last)));
        return late;
      }
      rest = apart.rest;
    }
  }
  return late;
}

async function settleOnce(
  context: SettleContext,
  session: TargetSession,
  items: readonly TailItem[],
  keys: ByTable<readonly string[]>,
  primary: ByTable<ReadonlyMap<string, StoredRow>>,
  last: boolean,
): Promise<TailItem[]> {
  const { store, tables } = context;
  const locking = tables.dialect === 'postgres';
  if (!locking) await session.exec('SET TRANSACTION ISOLATION LEVEL SERIALIZABLE');
  const secondary = await eachTable(keys, (table, rowKeys) =>
    readRows(session, table, 'secondary', rowKeys, { values: true, lock: locking, lookup: !locking }),
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
  // Not before: the journal is written under the same lock, and has been waited for.
  return record(context, session, await store.lock(session), plan, sights, refused, last);
}

/** In an order in which rows come after those that they refer to. */
function halves(items: readonly TailItem[], ordered: readonly RecoveryTable[]): [TailItem[], TailItem[]] {
  const rank = new Map(ordered.map((table, i) => [table, i]));
  const sorted = [...items].sort((a, b) => (rank.get(a.table) ?? 0) - (rank.get(b.table) ?? 0));
  const middle = sorted.length >> 1;
  return [sorted.slice(0, middle), sorted.slice(middle)];
}
