/** What becomes of a stream's tables: adopted, prepared for a new shape, ordered to be loaded again, paused. */
import type { ClientBase } from 'pg';
import type { Relation } from '../core/change.js';
import type { Clock } from '../core/clock.js';
import { ConfigurationError } from '../core/errors.js';
import { displayName, type TableName } from '../core/ident.js';
import type { Log } from '../core/log.js';
import type { TableState } from '../core/status.js';
import type { TableEntry, TableRegistry } from '../pipeline/registry.js';
import type { VerifyOrder } from '../reconcile/state.js';
import type { Relabeled } from './label-keeper.js';
import type { Fitted, SchemaService } from './schema-service.js';
import type { StoredTable, TablesStore } from './tables-store.js';

export interface KeeperParts {
  readonly registry: TableRegistry;
  readonly store: TablesStore;
  readonly schema: SchemaService;
  readonly clock: Clock;
  readonly log: Log;
  /** Tables are waiting for their load: a running session begins with it. */
  readonly loadPending: () => void;
  /** Verifies that were ordered, as they stand on the secondary. */
  readonly verifyOrders: (orders: readonly (TableName & { readonly order: VerifyOrder })[]) => void;
}

/** Orders of other processes (db:sync) are looked for so often: an idle secondary is asked seldom. */
const ORDERS_INTERVAL_MS = 60_000;

export class TableKeeper {
  readonly #parts: KeeperParts;
  #ordersReadMs = 0;

  constructor(parts: KeeperParts) {
    this.#parts = parts;
  }

  /** Takes over what the secondary remembers of every table. */
  async load(): Promise<void> {
    const { clock, registry, store } = this.#parts;
    const all = await store.list();
    for (const stored of all) {
      const entry = registry.get(stored) ?? registry.add(stored, stored.state);
      Object.assign(entry, { state: stored.state, reason: stored.reason, purge: stored.purge, again: false });
      entry.bindings.clear();
      entry.target = null;
      if (stored.rowsLoaded > 0) entry.rowsLoaded = stored.rowsLoaded;
    }
    this.#passOn(all);
    registry.deadLetters = await store.deadLetters();
    this.#ordersReadMs = clock.monotonic();
  }

  /** Reads orders for loads and verifies that other processes have left; `now` even if it was done lately. */
  async readOrders(now: boolean): Promise<void> {
    const { clock, loadPending, registry, store } = this.#parts;
    if (!now && clock.monotonic() - this.#ordersReadMs < ORDERS_INTERVAL_MS) return;
    this.#ordersReadMs = clock.monotonic();
    const all = await store.list();
    this.#passOn(all);
    for (const stored of all) {
      const entry = registry.get(stored);
      if (!entry || stored.state !== 'pending' || entry.state === 'pending' || entry.state === 'loading') continue;
      Object.assign(entry, { state: 'pending', reason: null, purge: stored.purge });
      entry.expire();
    }
    loadPending();
  }

  #passOn(all: readonly StoredTable[]): void {
    const orders = all.flatMap(({ name, schema, verifyOrder }) =>
      verifyOrder ? [{ schema, name, order: verifyOrder }] : [],
    );
    this.#parts.verifyOrders(orders);
  }

  /** A table that the publication has and the stream does not know yet. */
  async discover(table: TableName): Promise<void> {
    if (this.#parts.registry.get(table) || table.schema === 'db_redundancy') return;
    await this.#adopt(table);
    this.#parts.loadPending();
  }

  /** A table that streams is compared with the primary again. */
  async resync(table: TableName): Promise<void> {
    const { loadPending, registry, store } = this.#parts;
    const entry = registry.get(table);
    // One that is paused is compared by whoever takes it up again.
    if (!entry || entry.state === 'paused') return;
    await store.orderResync(table, { leavePaused: true });
    if ((entry.state as TableState) === 'paused') return;
    // A load that has begun meanwhile may have passed what is to be compared.
    if (entry.state === 'streaming') Object.assign(entry, { state: 'pending', purge: true });
    else entry.again = true;
    loadPending();
  }

  /** Makes the secondary's table fit a relation version that is new to the stream. */
  async prepare(relation: Relation): Promise<void> {
    const { loadPending, registry, schema } = this.#parts;
    const entry = registry.get(relation) ?? (await this.#adopt(relation));
    if (entry.state === 'paused') return;
    await this.#take(entry, await schema.prepare(entry, relation));
    if (entry.state === 'pending') loadPending();
  }

  /** The secondary refused rows of the table; true when it has been made to fit, or paused. */
  async refresh(entry: TableEntry): Promise<boolean> {
    const fitted = await this.#parts.schema.refresh(entry);
    if (fitted !== null) await this.#take(entry, fitted);
    if (entry.state === 'pending') this.#parts.loadPending();
    return fitted !== null;
  }

  /** Labels of enums were renamed. Before a session knows its tables, the orders wait on the secondary. */
  async relabeled({ pause, reload, tables }: Relabeled): Promise<void> {
    const { loadPending, registry, store } = this.#parts;
    for (const table of tables) {
      const entry = registry.get(table);
      if (entry?.state === 'paused') continue;
      if (entry) {
        entry.expire();
        await this.#take(entry, { pause, reload });
      } else if (pause !== null) await store.pause(table, pause);
      else if (reload) await store.orderResync(table);
    }
    loadPending();
  }

  async watchLabels(client: ClientBase, at: Parameters<SchemaService['watchLabels']>[1]): Promise<void> {
    await this.#parts.schema.watchLabels(client, at);
  }

  async #take(entry: TableEntry, { pause, reload }: Fitted): Promise<void> {
    if (pause !== null) await this.pause(entry, pause);
    if (!reload || entry.state === 'paused') return;
    await this.#parts.store.orderResync(entry);
    // A load that is under way may have passed the rows, or know nothing of the column: another one follows it.
    if (entry.state === 'streaming') Object.assign(entry, { state: 'pending', purge: true });
    else entry.again = true;
  }

  async pause(entry: TableEntry, reason: string): Promise<void> {
    const name = displayName(entry);
    Object.assign(entry, { state: 'paused', reason });
    await this.#parts.store.pause(entry, reason);
    const remedy = `mend the cause, then run db:sync -- --table ${name}`;
    this.#parts.log.error({ table: name, reason }, `Table ${name} is paused: ${reason}; ${remedy}`);
  }

  async #adopt(table: TableName): Promise<TableEntry> {
    const { log, registry, schema, store } = this.#parts;
    log.info({ table: displayName(table) }, `Table ${displayName(table)} was added to the publication`);
    const unfit = await schema.ensure([table]).then(
      () => null,
      (error: unknown) => {
        if (error instanceof ConfigurationError) return error;
        throw error;
      },
    );
    await store.add(table);
    // The watch of the primary and the first change in the stream may find it at the same time.
    const known = registry.get(table);
    if (known) return known;
    const entry = registry.add(table, 'pending');
    // Often a table that lived for a moment: it is gone, and its changes, which would come again and again, with it.
    if (unfit !== null) await this.pause(entry, `it cannot be replicated: ${unfit.message}`);
    return entry;
  }
}
