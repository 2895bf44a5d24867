/**
 * CockroachDB, where the rows of a decision are written all the time. A transaction of seconds that has read such a row
 * (or has looked through a whole table for rows that refer to it) starts over at every write, without end. So nothing of
 * the application is read in a transaction that lasts:
 * - What the secondary wins needs none: a later write there wins, too. It is recorded by what was read before.
 * - What the primary wins, of rows that are there, is written in a transaction of its own that begins when the journal is
 *   known to have everything up to the reading; each row must still be the version that was read then.
 * - What the primary wins of keys that are not there, and the secondary refuses, is late: found out by trying.
 * - The others of those are left to the long transaction, which reads nothing but those keys and what they refer to: only
 *   it sees that one was inserted and deleted in between.
 */
import { inTransaction } from './connections.js';
import { touchedId } from './journal.js';
import { readRows, type StoredRow } from './row-io.js';
import {
  type ByTable,
  eachTable,
  keysByTable,
  lookAt,
  of,
  type Plan,
  planOf,
  type SettleContext,
  type Sight,
  sightsOf,
  type TailItem,
} from './settle-plan.js';
import { type Refused, record, writeWinners } from './settle-write.js';

export interface Apart {
  /** Still to be decided upon. */
  readonly rest: TailItem[];
  readonly late: TailItem[];
}

export async function settleApart(
  context: SettleContext,
  items: readonly TailItem[],
  keys: ByTable<readonly string[]>,
  primary: ByTable<ReadonlyMap<string, StoredRow>>,
  last: boolean,
): Promise<Apart> {
  const { evidence, link, store, tables } = context;
  const read = { values: true, version: true } as const;
  const secondary = await eachTable(keys, (table, rowKeys) =>
    evidence.with((session) => readRows(session, table, 'secondary', rowKeys, read)),
  );
  let known = await lookAt(context, keys);
  // That a row was written is known by what the journal has; that one was not, only by all that it will have.
  if (items.some(({ rowKey, table }) => of(known, table).get(rowKey)?.written !== true)) {
    await context.upToDate?.();
    known = await lookAt(context, keys);
  }
  const sights = sightsOf(keys, primary, secondary, known);
  const plan = planOf(context, items, sights);
  const wins = new Set(plan.primaryWins);
  const toSecondary = only(plan, (item) => !wins.has(item));
  await inTransaction(link, async (session) =>
    record(context, session, await store.lock(session), toSecondary, sights, [], last),
  );

  const present = plan.primaryWins.filter(({ rowKey, table }) => of(secondary, table).has(rowKey));
  const isPresent = new Set(present);
  const absent = plan.primaryWins.filter((item) => !isPresent.has(item));
  const refused = await tried(context, absent, sights);
  const isRefused = new Set(refused.map(({ item }) => item));
  const late = await inTransaction(link, async (session) =>
    record(
      context,
      session,
      await store.lock(session),
      only(plan, (item) => isRefused.has(item)),
      sights,
      refused,
      last,
    ),
  );
  const rest = absent.filter((item) => !isRefused.has(item));
  if (present.length === 0) return { rest, late };
  const presentKeys = keysByTable(present);
  const written = await inTransaction(link, async (session) => {
    // First: whoever stores the journal waits, and nothing that follows is older than what it has stored.
    const owned = await store.lock(session);
    const now = await eachTable(presentKeys, (table, rowKeys) =>
      readRows(session, table, 'secondary', rowKeys, { lock: true, version: true }),
    );
    const same = present.filter(({ rowKey, table }) => {
      const [then, found] = [of(secondary, table).get(rowKey), of(now, table).get(rowKey)];
      // The values as well: a version is that of one column family.
      return found !== undefined && found.version === then?.version && found.hash === then?.hash;
    });
    const refused = await writeWinners(session, same, sights, tables);
    const late = await record(
      context,
      session,
      owned,
      only(plan, (item) => same.includes(item)),
      sights,
      refused,
      last,
    );
    return { same, late };
  });
  return {
    rest: [...rest, ...present.filter((item) => !written.same.includes(item))],
    late: [...late, ...written.late],
  };
}

/**
 * Which of the rows the secondary refuses, found out by writing them and taking that back. The long transaction would
 * depend on the row that is in their way, which may be written all the time.
 */
function tried(
  { link, tables }: SettleContext,
  items: readonly TailItem[],
  sights: ByTable<Sight>,
): Promise<Refused[]> {
  return link.with(async (session) => {
    await session.exec('BEGIN');
    try {
      return await writeWinners(session, items, sights, tables);
    } finally {
      if (!session.broken) await session.rollback();
    }
  });
}

function only(plan: Plan, wanted: (item: TailItem) => boolean): Plan {
  const settled = plan.settled.filter(wanted);
  const ids = new Set(settled.map(touchedId));
  return {
    settled,
    conflicts: plan.conflicts.filter((conflict) => ids.has(touchedId(conflict))),
    primaryWins: plan.primaryWins.filter(wanted),
    secondaryWins: plan.secondaryWins.filter(wanted),
  };
}
