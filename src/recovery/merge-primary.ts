/**
 * Everything that the primary had of its own: merges the tail, and compares the tables where the tail or the journal is
 * not whole. Begins where a former attempt left off.
 */
import type { TargetSession } from '../apply/target-session.js';
import { displayName, tableKey } from '../core/ident.js';
import { syncBag } from './bags.js';
import type { CatchupRow } from './catchup-store.js';
import { differingKeys } from './compare.js';
import { conflictsStatement } from './conflicts.js';
import { inTransaction } from './connections.js';
import { mergeTail } from './merge-tail.js';
import type { PrimaryRun } from './primary-run.js';
import { settleTable } from './settle-table.js';
import type { RecoveryTable } from './tables.js';
import { TailLostError } from './tail-reader.js';

/** Until everything that the primary had of its own is decided upon, and stored as such. */
export async function mergePrimary(run: PrimaryRun, row: CatchupRow): Promise<void> {
  const { merge, onPhase } = run;
  const { link, options, store } = merge;
  onPhase('merging-tail');
  let lost = false;
  try {
    await mergeTail(merge);
  } catch (error) {
    if (!(error instanceof TailLostError)) throw error;
    lost = true;
    options.log.error({ err: error }, `${error.message} All tables are compared instead`);
  }
  await compareEmptied(run);
  if (lost || !row.journalComplete) {
    onPhase('comparing');
    await compareAll(run, lost);
  }
  await inTransaction(link, async (session) => {
    const now = await store.lock(session);
    // A gap that was found meanwhile asks for a comparison, and nothing of it is done yet.
    if (now.journalComplete === row.journalComplete) await store.setMerged(session, merge.fence);
  });
}

/** Tables that the tail emptied: rows that nobody wrote on the secondary go there as well. */
async function compareEmptied(run: PrimaryRun): Promise<void> {
  const { journal, link, tables } = run.merge;
  const marks = (await link.with((session) => journal.marks(session))).filter((mark) => mark.rowKey === '*tail');
  for (const mark of marks) {
    const table = tables.get(mark.table);
    if (table) await settleTable(run.merge, run.copy.sides, table, mark.atMs);
    await link.with((session) => session.run(journal.copied([mark])));
  }
}

async function compareAll(run: PrimaryRun, tailLost: boolean): Promise<void> {
  const { link, options, signal, store, tables } = run.merge;
  for (const table of tables.ordered) {
    const row = await link.with((session) => store.read(session));
    const compared = row?.compared ?? [];
    if (compared.includes(tableKey(table))) continue;
    signal.throwIfAborted();
    const started = options.clock.monotonic();
    if (table.key === null) await compareBag(run, table, tailLost);
    else if (tailLost || !table.complete) await settleTable(run.merge, run.copy.sides, table, null);
    else await differencesToJournal(run, table);
    await options.at?.('table-compared');
    await inTransaction(link, async (session) => {
      const now = await store.lock(session);
      // Begun anew by a gap that was found meanwhile.
      if (now.compared.join() === compared.join()) await store.setCompared(session, [...compared, tableKey(table)]);
    });
    options.log.info(
      { table: displayName(table), tookMs: Math.round(options.clock.monotonic() - started) },
      `${displayName(table)} was compared on both sides`,
    );
  }
}

/** The tail is merged, so what differs was written on the secondary. */
async function differencesToJournal(run: PrimaryRun, table: RecoveryTable): Promise<void> {
  const { journal, link, nowMs, signal } = run.merge;
  for await (const keys of differingKeys(run.copy.sides, table)) {
    signal.throwIfAborted();
    const touched = keys.map((rowKey) => ({ table, rowKey, at: '', atMs: nowMs() }));
    await link.with((session) => session.run(journal.toBeCopied(touched)));
  }
}

/** Without a key and without the tail nobody can tell a row that was inserted there from one that was deleted here. */
async function compareBag(run: PrimaryRun, table: RecoveryTable, keep: boolean): Promise<void> {
  const { fence, link, store, stream } = run.merge;
  const primary: TargetSession = run.merge.primary;
  await syncBag(
    run.copy,
    run.copy.sides,
    primary,
    table,
    !keep
      ? null
      : async (removed) => {
          await inTransaction(link, async (session) => {
            const { failoverEpoch } = await store.lock(session);
            const conflicts = removed.map(({ copies, hash, version }) => ({
              table,
              rowKey: JSON.stringify([hash, String(copies)]),
              position: fence,
              winner: 'secondary' as const,
              rule: 'active-side',
              primary: version,
              secondary: null,
              primaryAt: null,
              secondaryAt: null,
            }));
            await session.run(conflictsStatement(stream, failoverEpoch, conflicts));
          });
        },
  );
}
