/** Brings the secondary's columns up to the primary's, and orders a load of what has lost its values. */
import { displayName, type TableName } from '../core/ident.js';
import type { Log } from '../core/log.js';
import { classify } from '../core/policy.js';
import type { TargetLink } from '../meta/target-link.js';
import { TableEntry } from '../pipeline/registry.js';
import { type CatalogModel, sameName } from '../schema/model.js';
import { followColumns } from './follow.js';
import type { Fitted } from './schema-service.js';
import type { TableShapes } from './table-shapes.js';
import type { KnownColumn, TablesStore } from './tables-store.js';

export interface FollowerParts {
  readonly link: TargetLink;
  readonly log: Log;
  readonly store: TablesStore;
  readonly shapes: TableShapes;
  /** The primary's catalog, not older than what the stream has seen. */
  readonly catalog: (tables: readonly TableName[]) => Promise<CatalogModel>;
}

export class SchemaFollower {
  readonly #parts: FollowerParts;

  constructor(parts: FollowerParts) {
    this.#parts = parts;
  }

  /**
   * Tables that were loaded once, and of which somebody has dropped columns on the secondary, or all of it: what is about
   * to be created there has no values. Ordered before it is, so that a crash in between finds the gap again.
   */
  async orderBereft(catalog: CatalogModel, target: CatalogModel): Promise<void> {
    const { log, store } = this.#parts;
    const bereft = catalog.tables.filter((model) => {
      const known = this.#parts.shapes.known(model);
      const found = target.tables.find((table) => sameName(table, model));
      return known?.some(({ name }) => !found?.columns.some((column) => column.name === name)) === true;
    });
    if (bereft.length === 0) return;
    for (const stored of await store.list()) {
      const loaded = stored.state === 'streaming' || stored.state === 'loading';
      if (!loaded || !bereft.some((model) => sameName(model, stored))) continue;
      const name = displayName(stored);
      log.warn({ table: name }, `${name} or columns of it were dropped on the secondary: it is loaded anew`);
      await store.orderResync(stored);
    }
  }

  /** Columns that were renamed, dropped or retyped while no process streamed: before a comparison takes them for new ones. */
  async whileAway(catalog: CatalogModel): Promise<void> {
    const { shapes, store } = this.#parts;
    for (const stored of await store.list()) {
      if (!stored.columns || shapes.known(stored)) continue;
      shapes.recall(stored, stored.columns);
      if (stored.state === 'paused' || !catalog.tables.some((table) => sameName(table, stored))) continue;
      const { pause, reload } = await this.follow(new TableEntry(stored, stored.state), stored.columns);
      if (pause !== null) await store.pause(stored, pause);
      else if (reload) await store.orderResync(stored);
    }
  }

  /** Brings the secondary's columns up to the primary's current catalog. */
  async follow(entry: TableEntry, known: readonly KnownColumn[] | null): Promise<Fitted> {
    const { link, log, shapes } = this.#parts;
    const catalog = await this.#parts.catalog([entry]);
    const model = catalog.tables[0];
    // Dropped since: what is left of it in the WAL needs nothing more.
    if (!model) return { pause: null, reload: false };
    const translation = await shapes.translate(catalog);
    shapes.remember(translation, catalog);
    entry.target ??= await shapes.targetOf(entry);
    if (!entry.target || !known) {
      await shapes.store(entry, model, known ?? []);
      return { pause: null, reload: false };
    }
    const followed = followColumns(known, model, entry.target, translation);
    if (followed.pause !== null) return { pause: followed.pause, reload: false };
    for (const statement of followed.statements) {
      const refused = await link.with((session) => session.exec(statement)).then(() => null, refusal);
      if (refused === null) continue;
      const what = followed.changes.join(' and ');
      return { pause: `${what} on the primary, which the secondary refuses to follow: ${refused}`, reload: false };
    }
    if (followed.statements.length > 0) shapes.noteAltered(entry);
    if (followed.changes.length > 0) {
      log.warn(
        { table: displayName(entry), changes: followed.changes },
        `Schema of ${displayName(entry)} has changed and was followed: ${followed.changes.join('; ')}`,
      );
      entry.target = null;
      entry.bindings.clear();
    }
    await shapes.store(entry, model, known);
    return { pause: null, reload: followed.reload };
  }
}

/** A statement that the secondary refuses now and always, as the text of its error; whatever may pass is thrown. */
export function refusal(error: unknown): string {
  const { action } = classify(error);
  if (action === 'retry' || action === 'reread-checkpoint' || !(error instanceof Error)) throw error;
  return error.message;
}
