/** While a session runs: slot health, the publication and what the WAL does not say of its tables, looked at on the primary every few seconds. */
import type { Clock } from '../core/clock.js';
import { displayName, type TableName } from '../core/ident.js';
import type { Log } from '../core/log.js';
import { classify } from '../core/policy.js';
import type { TableRegistry } from '../pipeline/registry.js';
import { readPublication, readSlot, readSourceState, type SlotInfo } from '../source/slot.js';
import type { SourcePool } from '../source/sql-pool.js';
import { absorbed, describeAbsorbed, unlikeTheirPartitions } from './absorbed.js';
import type { StreamSession } from './session.js';
import { missingFromPublication } from './setup.js';
import type { TableKeeper } from './table-keeper.js';
import type { TablesStore } from './tables-store.js';
import { watchUnannounced } from './unannounced.js';

export interface WatchParts {
  readonly source: SourcePool;
  readonly store: TablesStore;
  readonly registry: TableRegistry;
  readonly keeper: TableKeeper;
  readonly clock: Clock;
  readonly log: Log;
  readonly slot: string;
  readonly publication: string;
  readonly intervalMs: number;
  /** Fingerprints of tables, kept over sessions. */
  readonly fingerprints: Map<string, string>;
  readonly onSlot: (slot: SlotInfo | null) => void;
}

/** Tables are not published any more: the session ends, and the next one starts by putting that right. */
export class PublicationChangedError extends Error {
  constructor(tables: readonly TableName[]) {
    super(`The publication does not publish ${tables.map(displayName).join(', ')} any more, or not all of it`);
  }
}

/** Runs until `signal` is aborted (rejects with its reason) or something ends the session (rejects with that). */
export async function watchPrimary(parts: WatchParts, session: StreamSession, signal: AbortSignal): Promise<never> {
  for (;;) {
    try {
      await look(parts, session);
    } catch (error) {
      // A primary that does not answer ends the session by its replication connection, not here.
      const passing = ['retry', 'reread-checkpoint'].includes(classify(error).action);
      if (error instanceof PublicationChangedError || !passing) throw error;
    }
    await parts.keeper.readOrders(false);
    await parts.clock.sleep(parts.intervalMs, signal);
  }
}

async function look(parts: WatchParts, session: StreamSession): Promise<void> {
  const { fingerprints, keeper, log, onSlot, publication, registry, slot, source, store } = parts;
  await source.use(async (client) => {
    onSlot(await readSlot(client, slot));
    const current = (await readSourceState(client)).currentLsn;
    session.ledger.sourceAt(current);
    for (const table of (await readPublication(client, publication)) ?? []) await keeper.discover(table);
    const streamed = registry.all().filter((entry) => entry.state !== 'paused');
    const missing = await missingFromPublication(client, publication, streamed);
    const taken = await absorbed(client, publication, missing);
    for (const each of taken) await keeper.pause(each.table, describeAbsorbed(each));
    const unpublished = missing.filter((entry) => !taken.some(({ table }) => table === entry));
    if (unpublished.length > 0) throw new PublicationChangedError(unpublished);
    for (const { reason, ...table } of await unlikeTheirPartitions(client, publication)) {
      const entry = registry.get(table);
      if (entry && entry.state !== 'paused') await keeper.pause(entry, reason);
    }
    const isStreaming = (table: TableName) => registry.get(table)?.state === 'streaming';
    const watch = { store, publication, seen: fingerprints, isStreaming };
    await watchUnannounced(client, watch, async (table, { consequence, what }) => {
      const name = displayName(table);
      const entry = registry.get(table);
      if (consequence === 'pause' && entry) {
        await keeper.pause(entry, `${what} on the primary, which cannot be followed while streaming`);
        return;
      }
      log.warn(
        { table: name, what },
        `${name}: ${what}, which the WAL does not carry: it is compared with the primary again`,
      );
      await keeper.resync(table);
    });
    const { applied, durable } = session.ledger;
    await keeper.watchLabels(client, { applied, durable, current });
  });
}
