/**
 * Merges the tail in commit order, with bounded memory. The primary is fenced, so what a key has become there can be
 * read there: the WAL only says which keys changed, and when. Tables without a key have no row to read again: their
 * inserts and deletes are applied as they stand, which needs each of them exactly once, and therefore moves the tail's
 * position in the same transaction.
 */
import { readCheckpoint } from '../apply/checkpoint.js';
import type { Change, Relation, Row, RowChange } from '../core/change.js';
import { StreamHaltError } from '../core/errors.js';
import { displayName, type TableName, tableKey } from '../core/ident.js';
import type { Lsn } from '../core/lsn.js';
import { type Binding, bind } from '../pipeline/binding.js';
import { compileSteps } from '../pipeline/compile.js';
import type { TransactionPart } from '../pipeline/entries.js';
import { fold } from '../pipeline/fold.js';
import { readSlot, readSourceState } from '../source/slot.js';
import { decideStart } from '../streamer/slot-guard.js';
import type { TailProgress } from './catchup-store.js';
import { inTransaction } from './connections.js';
import { type TableMark, touchedId } from './journal.js';
import type { RecoveryOptions } from './options.js';
import { primaryRowKey } from './row-io.js';
import { settle } from './settle.js';
import type { SettleContext, TailItem } from './settle-plan.js';
import type { RecoveryTable } from './tables.js';
import { readTail, TailLostError } from './tail-reader.js';

/** Keys, or changes of tables without a key, that are settled together. */
const BATCH_ROWS = 2000;
const BATCH_BYTES = 8 << 20;

export interface MergeContext extends SettleContext {
  readonly options: RecoveryOptions;
  readonly signal: AbortSignal;
}

interface Batch {
  readonly keys: Map<string, TailItem>;
  rows: number;
  /** Changes of tables without a key, in their order. */
  bags: Change[];
  /** Tables that were emptied, and when. */
  readonly emptied: Map<RecoveryTable, number>;
}

/** Rejects with a TailLostError when the tail cannot be read; what was merged until then stays merged. */
export async function mergeTail(context: MergeContext): Promise<void> {
  const { link, options, primary, signal, store, stream } = context;
  const checkpoint = await link.with((session) => readCheckpoint(session, stream));
  if (!checkpoint) throw new TailLostError('the stream has no checkpoint');
  const state = await readSourceState(primary.client);
  const decision = decideStart(checkpoint, await readSlot(primary.client, options.slot), state);
  if (decision.kind !== 'stream') throw new TailLostError(decision.reason);
  let progress = (await link.with((session) => store.read(session)))?.tail ?? { lsn: null, changes: 0 };
  const merged = progress.lsn ?? checkpoint.lsn;
  const late: TailItem[] = [];
  let batch = emptyBatch();
  let skip = progress.changes;
  let seen = 0;
  const flush = async (next: TailProgress): Promise<void> => {
    await settleBatch(context, batch, late, progress, next);
    progress = next;
    batch = emptyBatch();
  };
  let last: Lsn = merged;
  for await (const part of readTail({ options, primary, checkpoint: checkpoint.lsn, merged, signal })) {
    if (part.first) seen = 0;
    for (const change of part.changes) {
      seen += 1;
      // Of the one transaction that was begun before a restart.
      if (seen > skip) collect(context, batch, part, change);
    }
    if (part.commit) {
      last = part.commit.endLsn;
      skip = 0;
    }
    if (batch.rows >= BATCH_ROWS)
      await flush(part.commit ? { lsn: last, changes: 0 } : { lsn: last, changes: Math.max(seen, skip) });
  }
  await flush({ lsn: last, changes: 0 });
  await settleLate(context, late);
}

function emptyBatch(): Batch {
  return { keys: new Map(), rows: 0, bags: [], emptied: new Map() };
}

function collect(context: MergeContext, batch: Batch, part: TransactionPart, change: Change): void {
  batch.rows += 1;
  if (change.kind === 'truncate') {
    const keyless: Relation[] = [];
    for (const relation of change.relations) {
      const table = context.tables.get(relation);
      if (!table || isStaleBag(table)) continue;
      if (table.key === null) keyless.push(relation);
      batch.emptied.set(table, part.commitAtMs);
    }
    if (keyless.length > 0) batch.bags.push({ ...change, relations: keyless });
    return;
  }
  const table = context.tables.get(change.relation);
  if (!table || isStaleBag(table)) return;
  if (table.key === null) {
    batch.bags.push(change);
    return;
  }
  const add = (rowKey: string, born: boolean): void => {
    const id = touchedId({ table, rowKey });
    const before = batch.keys.get(id);
    batch.keys.set(id, { table, rowKey, changedAtMs: part.commitAtMs, born: before?.born ?? born });
  };
  const [before, after] = keysOf(table, change);
  if (before !== null && before !== after) add(before, false);
  if (after !== null) add(after, change.kind === 'insert' || (before !== null && before !== after));
}

/** The secondary lacks changes of before the tail, which cannot be applied to it out of their order. */
function isStaleBag(table: RecoveryTable): boolean {
  return table.key === null && !table.complete;
}

/** The row's key before and after; null where there is none. */
function keysOf(table: RecoveryTable, change: RowChange): [before: string | null, after: string | null] {
  if (change.kind === 'insert') return [null, keyIn(table, change.relation, change.row, null)];
  if (change.kind === 'delete') return [keyIn(table, change.relation, change.old, null), null];
  const before = change.old ? keyIn(table, change.relation, change.old, null) : null;
  return [before, keyIn(table, change.relation, change.row, change.old)];
}

function keyIn(table: RecoveryTable, relation: Relation, row: Row, old: Row | null): string {
  const texts = (table.key ?? []).map((i) => {
    const name = table.columns[i]?.name;
    const at = relation.columns.findIndex((column) => column.name === name);
    const text = row[at] ?? old?.[at];
    if (text == null)
      throw new StreamHaltError(`A change of ${displayName(table)} on the primary does not carry the row's key.`, {
        code: 'key-missing',
        remedy: `Run on the primary: ALTER TABLE ${displayName(table)} REPLICA IDENTITY FULL, and compare with db:verify.`,
      });
    return text;
  });
  return primaryRowKey(table, texts);
}

/** Rows first, each of which may be settled twice; then what must happen once, with the position. */
async function settleBatch(
  context: MergeContext,
  batch: Batch,
  late: TailItem[],
  from: TailProgress,
  to: TailProgress,
): Promise<void> {
  const { journal, link, options, store, tables } = context;
  for (const items of portions([...batch.keys.values()])) {
    context.signal.throwIfAborted();
    late.push(...(await settle(context, items, false)));
  }
  await options.at?.('tail-settled');
  await inTransaction(link, async (session) => {
    const { tail } = await store.lock(session);
    if (tail.lsn !== from.lsn || tail.changes !== from.changes) return;
    const bindings = new Map<Relation, Binding | null>();
    const steps = fold(batch.bags, (relation) => {
      const known = bindings.get(relation);
      if (known !== undefined) return known;
      const binding = bagBinding(tables.get(relation), relation);
      bindings.set(relation, binding);
      return binding;
    });
    for (const statement of compileSteps(steps, session.dialect)) await session.run(statement);
    const marks = [...batch.emptied].filter(([table]) => table.key !== null);
    if (marks.length > 0) {
      const rowKey: TableMark = '*tail';
      await session.run(
        journal.touched(
          marks.map(([table, atMs]) => ({ table, rowKey, at: '', atMs })),
          false,
        ),
      );
    }
    // They are rows of the primary alone, or of both: which, only a comparison can tell.
    const bags = new Map<string, TableName>();
    for (const change of batch.bags) for (const each of relationsOf(change)) bags.set(tableKey(each), each);
    if (bags.size > 0) {
      const rowKey: TableMark = '*changed';
      const names = [...bags.values()].map(({ schema, name }) => ({ schema, name }));
      await session.run(journal.toBeCopied(names.map((table) => ({ table, rowKey, at: '', atMs: context.nowMs() }))));
    }
    await store.setTail(session, to);
  });
  await options.at?.('tail-moved');
}

function relationsOf(change: Change): readonly Relation[] {
  return change.kind === 'truncate' ? change.relations : [change.relation];
}

/** Rows that the secondary refused while others were missing: in rounds, and in the end for good. */
export async function settleLate(context: SettleContext, late: readonly TailItem[]): Promise<void> {
  const waiting = new Map(late.map((item) => [touchedId(item), item]));
  // Those of a former run, whose commit times are not known any more.
  for (const row of await context.link.with((session) => context.journal.late(session))) {
    const table = context.tables.get(row.table);
    if (table && !waiting.has(touchedId(row)))
      waiting.set(touchedId(row), { table, rowKey: row.rowKey, changedAtMs: null, born: false });
  }
  let items = [...waiting.values()];
  for (let before = Number.POSITIVE_INFINITY; items.length > 0; ) {
    const last = items.length >= before;
    before = items.length;
    const refused: TailItem[] = [];
    for (const portion of portions(items)) refused.push(...(await settle(context, portion, last)));
    items = refused;
  }
}

/** Of so many rows, and of about so many bytes as the catalog's averages tell (G4). */
export function* portions(items: readonly TailItem[]): Generator<TailItem[], void, void> {
  let portion: TailItem[] = [];
  let bytes = 0;
  for (const item of items) {
    portion.push(item);
    bytes += item.table.averageBytes;
    if (portion.length < BATCH_ROWS && bytes < BATCH_BYTES) continue;
    yield portion;
    portion = [];
    bytes = 0;
  }
  if (portion.length > 0) yield portion;
}

function bagBinding(table: RecoveryTable | undefined, relation: Relation): Binding | null {
  if (!table || table.key !== null) return null;
  const { binding } = bind(relation, table.secondary, {
    rename: (name) => (table.columns.some((column) => column.name === name) ? name : null),
    converter: (column) => table.columns.find(({ name }) => name === column.name)?.toSecondary ?? null,
  });
  return { ...binding, key: null };
}
