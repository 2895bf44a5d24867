/** The secondary's schema as the stream makes it: what the primary's catalog asks for, one catalog after the other. */
import type { ClientBase } from 'pg';
import type { Clock } from '../core/clock.js';
import { ConfigurationError } from '../core/errors.js';
import { displayName, quoteTable, type TableName } from '../core/ident.js';
import type { Log } from '../core/log.js';
import type { TargetLink } from '../meta/target-link.js';
import type { TableEntry } from '../pipeline/registry.js';
import { readCatalog } from '../schema/catalog.js';
import { diffTarget } from '../schema/diff.js';
import type { ConflictKind } from '../schema/diff-parts.js';
import type { CatalogModel, TableModel } from '../schema/model.js';
import { readTargetCatalog } from '../schema/target-catalog.js';
import type { Translation } from '../schema/translation.js';
import type { SourcePool } from '../source/sql-pool.js';
import type { LabelKeeper, Relabeled } from './label-keeper.js';
import { SchemaFollower } from './schema-follower.js';
import type { SchemaReport } from './schema-service.js';
import type { TableShapes } from './table-shapes.js';
import type { TablesStore } from './tables-store.js';

export interface BridgeParts {
  readonly clock: Clock;
  readonly source: SourcePool;
  readonly link: TargetLink;
  readonly store: TablesStore;
  readonly stream: string;
  readonly log: Log;
  /** Waits until queries on the primary see every transaction that the stream has received. */
  readonly untilVisible: (client: ClientBase) => Promise<void>;
  /** Labels of enums were renamed: tables that use them are bound anew, and loaded again or paused where it says so. */
  readonly onRelabeled: (change: Relabeled) => Promise<void>;
}

/** What only a new table can mend. */
const REBUILT_FOR: ReadonlySet<ConflictKind> = new Set([
  'column-type',
  'primary-key',
  'generated-column',
  'extra-column',
]);

export class SecondarySchema {
  readonly follower: SchemaFollower;
  readonly #parts: BridgeParts;
  readonly #shapes: TableShapes;
  readonly #labels: LabelKeeper;
  /** Catalogs are acted upon one after the other. May be waited for inside of a table's turn, never the other way round. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(parts: BridgeParts, shapes: TableShapes, labels: LabelKeeper) {
    this.#parts = parts;
    this.#shapes = shapes;
    this.#labels = labels;
    this.follower = new SchemaFollower({ ...parts, shapes, catalog: (tables) => this.catalog(tables) });
  }

  /** One at a time, so that no catalog is acted upon after a newer one: a label would be renamed back. */
  ensure(tables: readonly TableName[] | '*'): Promise<SchemaReport> {
    return this.inTurn(() => this.#ensure(tables));
  }

  /** Waits for what others do by their catalogs, and keeps them waiting. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  /**
   * The primary's catalog, not older than what the stream has seen: a commit is in the WAL a moment before queries see
   * it, and a schema change must not be judged by the catalog from before it.
   */
  async catalog(tables: readonly TableName[] | '*'): Promise<CatalogModel> {
    return this.#parts.source.use(async (client) => {
      await this.#parts.untilVisible(client);
      return readCatalog(client, tables);
    });
  }

  /**
   * A table that was ordered to be made equal again and does not fit (another type, another key) is created anew: the
   * order is a person's, and everything in it comes from the primary.
   */
  async rebuildIfOrdered(entry: TableEntry, catalog: CatalogModel): Promise<void> {
    const { link, log } = this.#parts;
    const translation = await this.#shapes.translate(catalog);
    this.#shapes.remember(translation, catalog);
    if (!entry.purge || entry.state !== 'pending') return;
    const { conflicts } = await this.#diff(catalog, translation);
    const unfit = conflicts.filter((conflict) => REBUILT_FOR.has(conflict.kind));
    if (unfit.length > 0) {
      const reasons = unfit.map((conflict) => conflict.reason);
      log.warn(
        { table: displayName(entry), reasons },
        `Table ${displayName(entry)} is created anew on the secondary: ${reasons.join('; ')}`,
      );
      await link.with((session) => session.exec(`DROP TABLE IF EXISTS ${quoteTable(entry.schema, entry.name)}`));
    } else {
      // The order is to make the table equal, and with such a rule it cannot be.
      for (const { kind, object, reason, remedy } of conflicts) {
        if (kind !== 'unique' || remedy === null) continue;
        log.warn({ table: displayName(entry), object }, `Unique rule ${object} is dropped on the secondary: ${reason}`);
        await link.with((session) => session.exec(remedy));
      }
    }
    await this.ensure([entry]);
    entry.expire();
    await this.#shapes.store(entry, catalog.tables[0] as TableModel, this.#shapes.known(entry) ?? []);
  }

  async #ensure(tables: readonly TableName[] | '*'): Promise<SchemaReport> {
    const { link, log, stream } = this.#parts;
    const catalog = await this.catalog(tables);
    refuseMissing(catalog, tables);
    const translation = await this.#shapes.translate(catalog);
    await this.follower.whileAway(catalog);
    const unfollowed = await this.#labels.follow(catalog);
    const { afterLoad, conflicts, target, ...diff } = await this.#diff(catalog, translation);
    await this.follower.orderBereft(catalog, target);
    // A renamed label looks like one that is missing.
    const statements = diff.statements.filter(({ kind, object }) => kind !== 'type' || !unfollowed.has(object));
    const deviations = translation.deviations.map((deviation) => `${deviation.object}: ${deviation.reason}`);
    for (const statement of [...statements, ...afterLoad]) {
      try {
        await link.with((session) => session.exec(statement.sql));
      } catch (error) {
        if (!statement.optional && !afterLoad.includes(statement)) throw error;
        deviations.push(
          `${statement.object}: not created on the secondary, which says: ${error instanceof Error ? error.message : error}`,
        );
      }
    }
    if (statements.length > 0) for (const table of catalog.tables) this.#shapes.noteAltered(table);
    for (const conflict of conflicts) deviations.push(`${conflict.object}: ${conflict.reason}`);
    for (const item of translation.promotion) {
      await link.run(
        `INSERT INTO db_redundancy.promotion (stream, schema_name, table_name, kind, name, statement, undo) VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (stream, schema_name, table_name, kind, name) DO UPDATE SET statement = excluded.statement, undo = excluded.undo`,
        [stream, item.table.schema, item.table.name, item.kind, item.name, item.sql, item.undo],
      );
    }
    const created = statements.filter((statement) => statement.kind === 'table').map((statement) => statement.object);
    if (created.length > 0) log.info({ tables: created.length }, `Created ${created.length} tables on the secondary`);
    this.#shapes.remember(translation, catalog);
    return { tables: catalog.tables.map(({ schema, name }) => ({ schema, name })), created, deviations, catalog };
  }

  async #diff(catalog: CatalogModel, translation: Translation) {
    return this.#parts.link.with(async (session) => {
      const target = await readTargetCatalog(session.client, catalog.tables);
      return { ...diffTarget(target, translation), target };
    });
  }
}

export function refuseMissing(catalog: CatalogModel, tables: readonly TableName[] | '*'): void {
  const wrong = [
    ...catalog.missing.map((table) => `${displayName(table)} does not exist on the primary`),
    ...(tables === '*' ? [] : catalog.skipped.map(({ table, reason }) => `${displayName(table)}: ${reason}`)),
  ];
  if (wrong.length === 0) return;
  throw new ConfigurationError(`Tables that cannot be replicated: ${wrong.join('; ')}.`, {
    code: 'tables-missing',
    remedy:
      'Create them on the primary, or name in DB_SYNC_TABLES only tables that exist (schema.table, comma-separated).',
  });
}
