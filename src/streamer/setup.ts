/** What must exist before a stream can run: metadata, tables on the secondary, publication, slot, checkpoint. Idempotent. */
import type { ClientBase } from 'pg';
import { readCheckpoint } from '../apply/checkpoint.js';
import type { Clock } from '../core/clock.js';
import { ConfigurationError } from '../core/errors.js';
import { displayName, type TableName, tableKey } from '../core/ident.js';
import type { Log } from '../core/log.js';
import { formatLsn, type Lsn } from '../core/lsn.js';
import { migrate } from '../meta/migrate.js';
import type { TargetLink } from '../meta/target-link.js';
import { narrowness } from '../source/publication-whole.js';
import {
  createSlot,
  dropSlot,
  ensurePublication,
  readPublication,
  readSlot,
  readSourceState,
  type SlotInfo,
} from '../source/slot.js';
import type { SourcePool } from '../source/sql-pool.js';
import { absorbed, describeAbsorbed } from './absorbed.js';
import type { SchemaReport, SchemaService } from './schema-service.js';
import { decideStart } from './slot-guard.js';
import type { TablesStore } from './tables-store.js';

export interface SetupContext {
  readonly stream: string;
  readonly slot: string;
  readonly publication: string;
  readonly tables: readonly TableName[] | '*';
  readonly source: SourcePool;
  readonly link: TargetLink;
  readonly store: TablesStore;
  readonly schema: SchemaService;
  readonly clock: Clock;
  readonly log: Log;
  /** What waits is given up. */
  readonly signal: AbortSignal;
}

/** Everything but the slot. Throws ConfigurationError when something must be mended by a person first. */
export async function setUp(context: SetupContext): Promise<SchemaReport> {
  const { clock, link, log, publication, schema, source, store, tables } = context;
  await link.with((session) => migrate(session.client, 'secondary', clock, log));
  const report = await schema.ensure(tables);
  const names = new Set(report.tables.map(tableKey));
  const known = (await store.list()).filter((table) => names.has(tableKey(table)) && table.state !== 'paused');
  const unpublished = await source.use((client) => missingFromPublication(client, publication, known));
  await orderUnpublished(context, unpublished);
  const added = await source.use((client) => ensurePublication(client, publication, report.tables));
  if (added.length > 0)
    log.info({ publication, tables: added.length }, `Publication ${publication} publishes ${added.length} more tables`);
  for (const table of report.tables) await store.add(table);
  return report;
}

/**
 * Makes slot and checkpoint continue one another, before every session. Where they do not, all tables are marked for a
 * comparison with the primary before the position moves, so that a crash in between finds the gap again.
 * @returns true when a full sync was ordered
 */
export async function alignSlot(context: SetupContext): Promise<boolean> {
  const { link, log, publication, slot, source, store, stream } = context;
  return source.use(async (client) => {
    const state = await readSourceState(client);
    const checkpoint = await link.with((session) => readCheckpoint(session, stream));
    const found = await readSlot(client, slot);
    refuseForeignSlot(found, await currentDatabase(client));
    if (checkpoint === null) {
      const usable = found !== null && found.walStatus !== 'lost' ? found.confirmedFlushLsn : null;
      const lsn = usable ?? (await recreate(context, client, found !== null));
      await link.run(
        `INSERT INTO db_redundancy.checkpoint (stream, slot, publication, system_id, lsn) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (stream) DO NOTHING`,
        [stream, slot, publication, state.systemId, formatLsn(lsn)],
      );
      log.info({ slot, lsn: formatLsn(lsn) }, `Replication slot ${slot} starts at ${formatLsn(lsn)}`);
      return false;
    }
    const decision = decideStart(checkpoint, found, state);
    if (decision.kind === 'stream') return false;
    log.error(
      { slot, reason: decision.reason },
      `Changes may be missing, because ${decision.reason}: every table is compared with the primary again`,
    );
    await store.orderResync(null);
    const lsn = decision.from ?? (await recreate(context, client, found !== null));
    await link.run(
      `UPDATE db_redundancy.checkpoint SET lsn = $2, slot = $3, system_id = $4, partial_lsn = NULL, partial_changes = 0, epoch = epoch + 1, renewed_at = now() WHERE stream = $1 AND held IS NULL`,
      [stream, formatLsn(lsn), slot, state.systemId],
    );
    return true;
  });
}

/**
 * Makes the publication publish every table of the stream again, before every session and when one notices a difference.
 * What was written to a table while it was not published is not in the stream and never will be: it is compared anew.
 * @returns the tables for which that was ordered
 */
export async function alignPublication(context: SetupContext): Promise<TableName[]> {
  const { publication, source, store } = context;
  return source.use(async (client) => {
    const expected = (await store.list()).filter((table) => table.state !== 'paused');
    const unpublished = await missingFromPublication(client, publication, expected);
    if (unpublished.length === 0) return [];
    const taken = await absorbed(client, publication, unpublished);
    for (const each of taken) await store.pause(each.table, describeAbsorbed(each));
    const gone = await notThere(client, unpublished);
    for (const table of gone) await store.pause(table, 'the table was dropped or renamed on the primary');
    const back = unpublished.filter((table) => !gone.includes(table) && !taken.some((each) => each.table === table));
    await orderUnpublished(context, back);
    if (back.length > 0) await ensurePublication(client, publication, back);
    return back;
  });
}

/** Before they are published again: a crash in between must find them unpublished, or ordered. */
async function orderUnpublished(
  { log, publication, store }: SetupContext,
  tables: readonly TableName[],
): Promise<void> {
  if (tables.length === 0) return;
  const names = tables.map(displayName).join(', ');
  log.error(
    { publication, tables: tables.map(displayName) },
    `Publication ${publication} does not publish ${names} any more, or not all of it: changes to them may be missing, and they are compared with the primary again`,
  );
  for (const table of tables) await store.orderResync(table);
}

async function notThere(client: ClientBase, tables: readonly TableName[]): Promise<TableName[]> {
  const gone: TableName[] = [];
  for (const table of tables) {
    const { rows } = await client.query(
      'SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2',
      [table.schema, table.name],
    );
    if (rows.length === 0) gone.push(table);
  }
  return gone;
}

/** Tables that the publication should publish, whole, and does not; all of them when it is gone. */
export async function missingFromPublication<T extends TableName>(
  client: ClientBase,
  publication: string,
  expected: readonly T[],
): Promise<T[]> {
  const published = new Set(((await readPublication(client, publication)) ?? []).map(tableKey));
  const narrow = await narrowness(client, publication);
  const partly = new Set(narrow.tables.map(tableKey));
  return expected.filter((table) => narrow.all || !published.has(tableKey(table)) || partly.has(tableKey(table)));
}

async function currentDatabase(client: ClientBase): Promise<string> {
  const { rows } = await client.query<{ name: string }>('SELECT current_database() AS name');
  return rows[0]?.name ?? '';
}

/** A slot of that name that is not ours is never dropped. */
function refuseForeignSlot(slot: SlotInfo | null, database: string): void {
  if (slot === null || (slot.plugin === 'pgoutput' && slot.database === database)) return;
  const what = slot.plugin === null ? 'a physical slot' : `a slot of ${slot.plugin} in database ${slot.database}`;
  throw new ConfigurationError(`Replication slot ${slot.name} exists and is ${what}.`, {
    code: 'foreign-slot',
    remedy: 'Choose another name with DB_REPLICATION_SLOT.',
  });
}

async function recreate({ signal, slot, source }: SetupContext, client: ClientBase, exists: boolean): Promise<Lsn> {
  if (exists) await dropSlot(client, slot);
  return source.cancellable(client, signal, () => createSlot(client, slot));
}
