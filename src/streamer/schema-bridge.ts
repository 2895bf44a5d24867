/**
 * The schema side of a stream: makes the secondary's tables fit the primary's, follows what can be followed while
 * streaming, and tells loads how to read. The only place where pipeline and schema translation meet.
 */
import type { ClientBase } from 'pg';
import { BinaryTypes } from '../core/binary-types.js';
import { isFloat } from '../core/binary-values.js';
import type { Relation } from '../core/change.js';
import type { Clock } from '../core/clock.js';
import { ConfigurationError, StreamHaltError } from '../core/errors.js';
import { displayName, quoteTable, type TableName, tableKey } from '../core/ident.js';
import type { Log } from '../core/log.js';
import type { Lsn } from '../core/lsn.js';
import type { TargetLink } from '../meta/target-link.js';
import { type Binding, identityColumns } from '../pipeline/binding.js';
import type { TableEntry } from '../pipeline/registry.js';
import { type ComparedTable, comparedTable } from '../reconcile/compared-table.js';
import { readCatalog } from '../schema/catalog.js';
import { diffTarget } from '../schema/diff.js';
import type { ConflictKind } from '../schema/diff-parts.js';
import type { CatalogModel, TableModel } from '../schema/model.js';
import { readTargetCatalog } from '../schema/target-catalog.js';
import type { Translation } from '../schema/translation.js';
import type { CopiedForm } from '../snapshot/chunk-reader.js';
import type { LoadTable } from '../snapshot/load-table.js';
import type { SourcePool } from '../source/sql-pool.js';
import { pauseRemedy } from './follow.js';
import { LabelKeeper, type Relabeled } from './label-keeper.js';
import { refusal, SchemaFollower } from './schema-follower.js';
import type { Fitted, SchemaReport, SchemaService } from './schema-service.js';
import { TableShapes } from './table-shapes.js';
import type { KnownColumn, TablesStore } from './tables-store.js';

/** A refused row makes the table's schema be looked at again, at most so often. */
const REFRESH_INTERVAL_MS = 5000;

/** What only a new table can mend. */
const REBUILT_FOR: ReadonlySet<ConflictKind> = new Set([
  'column-type',
  'primary-key',
  'generated-column',
  'extra-column',
]);

const SCHEMA_VISIBLE_POLL_MS = 100;

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

export class SchemaBridge implements SchemaService {
  readonly #parts: BridgeParts;
  readonly #shapes: TableShapes;
  readonly #follower: SchemaFollower;
  readonly #refreshed = new Map<string, number>();
  readonly #compared = new Map<string, ComparedTable>();
  readonly #labels: LabelKeeper;
  /** What names of labels meant when the table was bound. */
  readonly #boundAt = new Map<string, number>();
  /** Where the stream must be before a rename that was noticed is followed. */
  #noticedAt: Lsn | null = null;
  /** Catalogs are acted upon one after the other. May be waited for inside of a table's turn, never the other way round. */
  #catalogTurn: Promise<unknown> = Promise.resolve();
  readonly #tableTurns = new Map<string, Promise<unknown>>();

  constructor(parts: BridgeParts) {
    this.#parts = parts;
    this.#labels = new LabelKeeper(parts);
    this.#shapes = new TableShapes({ ...parts, labels: this.#labels });
    this.#follower = new SchemaFollower({ ...parts, shapes: this.#shapes, catalog: (tables) => this.#catalog(tables) });
  }

  /** One at a time, so that no catalog is acted upon after a newer one: a label would be renamed back. */
  ensure(tables: readonly TableName[] | '*'): Promise<SchemaReport> {
    return this.#inCatalogTurn(() => this.#ensure(tables));
  }

  #inCatalogTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#catalogTurn.then(work);
    this.#catalogTurn = turn.catch(() => undefined);
    return turn;
  }

  async #ensure(tables: readonly TableName[] | '*'): Promise<SchemaReport> {
    const { link, log, stream } = this.#parts;
    const catalog = await this.#catalog(tables);
    refuseMissing(catalog, tables);
    const translation = await this.#shapes.translate(catalog);
    await this.#follower.whileAway(catalog);
    const unfollowed = await this.#labels.follow(catalog);
    const { afterLoad, conflicts, target, ...diff } = await this.#diff(catalog, translation);
    await this.#follower.orderBereft(catalog, target);
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

  prepare(entry: TableEntry, relation: Relation): Promise<Fitted> {
    return this.#inTableTurn(entry, () => this.#prepare(entry, relation));
  }

  async #prepare(entry: TableEntry, relation: Relation): Promise<Fitted> {
    const known = this.#shapes.known(entry);
    let reload = false;
    if (!known || !sameColumns(known, relation) || !(await this.#keyStands(entry, relation))) {
      const followed = await this.#follower.follow(entry, known ?? null);
      if (followed.pause !== null) return { reload: false, pause: followed.pause };
      reload = followed.reload;
    }
    if (entry.expired) entry.bindAnew();
    const unfit = await this.#bind(entry, relation);
    return { reload, pause: unfit ?? (await this.#identify(entry, relation)) };
  }

  /**
   * Whether the WAL says that the primary key is the secondary's. An identity that is not the primary key says nothing of
   * it, and then the catalog is asked: under another key two rows of the primary might become one here.
   */
  async #keyStands(entry: TableEntry, relation: Relation): Promise<boolean> {
    entry.target ??= await this.#shapes.targetOf(entry);
    const key = entry.target?.primaryKey;
    if (!key || relation.replicaIdentity !== 'd') return false;
    const identity = identityColumns(relation, (name) => this.#shapes.presentName(entry, relation, name));
    return identity.length === key.length && key.every((name) => identity.includes(name));
  }

  /**
   * A replica identity index that is newer than the secondary's table: rows are found by its columns, so the secondary
   * needs it too. Returns why it cannot be had.
   */
  async #identify(entry: TableEntry, relation: Relation): Promise<string | null> {
    const found = () => entry.bindings.get(relation)?.key != null;
    if (relation.replicaIdentity !== 'i' || found()) return null;
    const refused = await this.ensure([entry]).then(() => null, refusal);
    entry.target = null;
    const unfit = await this.#bind(entry, relation);
    if (unfit !== null || found()) return unfit;
    const columns = relation.columns.filter((column) => column.isKey).map((column) => column.name);
    return `its replica identity on the primary is an index over (${columns.join(', ')}) that the secondary lacks${refused === null ? '' : `: ${refused}`}`;
  }

  refresh(entry: TableEntry): Promise<Fitted | null> {
    return this.#inTableTurn(entry, () => this.#refresh(entry));
  }

  async #refresh(entry: TableEntry): Promise<Fitted | null> {
    const now = this.#parts.clock.monotonic();
    const relabeled = await this.relabeled(entry);
    if (!relabeled && now - (this.#refreshed.get(tableKey(entry)) ?? Number.NEGATIVE_INFINITY) < REFRESH_INTERVAL_MS)
      return null;
    this.#refreshed.set(tableKey(entry), now);
    const bindings = [...entry.bindings];
    const followed = await this.#follower.follow(entry, this.#shapes.known(entry) ?? null);
    // Bindings hold the target's shape: they are made anew.
    entry.target = null;
    entry.bindings.clear();
    this.#boundAt.set(tableKey(entry), this.#labels.version);
    if (followed.pause !== null) return followed;
    const dropped = await this.#dropped(entry);
    if (dropped !== null) return { pause: dropped, reload: false };
    await this.ensure([entry]);
    entry.target = null;
    for (const [relation, before] of bindings) {
      const unfit = await this.#bind(entry, relation);
      if (unfit !== null) return { pause: unfit, reload: false };
      refuseOtherOutputs(entry, before, entry.bindings.get(relation));
    }
    return followed;
  }

  async relabeled(entry: TableEntry): Promise<boolean> {
    const { source, untilVisible } = this.#parts;
    return this.#inCatalogTurn(async () => {
      if ((this.#boundAt.get(tableKey(entry)) ?? 0) < this.#labels.version) return true;
      const behind = await source.use(async (client) => {
        await untilVisible(client);
        return this.#labels.behind(client, entry);
      });
      return behind || this.#labels.learn(entry);
    });
  }

  async watchLabels(client: ClientBase, at: { applied: Lsn; durable: Lsn; current: Lsn }): Promise<void> {
    await this.#inCatalogTurn(() => this.#labels.settle(client, at.durable, at.current));
    if (!(await this.#inCatalogTurn(() => this.#labels.behind(client, null)))) {
      this.#noticedAt = null;
      return;
    }
    // Not before the stream is where it was renamed; a row that needs it before that is refused, and it is followed then.
    this.#noticedAt ??= at.current;
    if (at.applied < this.#noticedAt) return;
    this.#noticedAt = null;
    const tables = (await this.#parts.store.list()).filter((table) => table.state !== 'paused');
    await this.ensure(tables.map(({ schema, name }) => ({ schema, name }))).catch((error: unknown) => {
      // One that was dropped meanwhile: the next look at the publication deals with it.
      if (!(error instanceof ConfigurationError)) throw error;
    });
  }

  describe(entry: TableEntry): Promise<LoadTable> {
    return this.#inTableTurn(entry, () => this.#describe(entry));
  }

  /** The stream follows a table and loads ask for it: in the middle of one the other would see a column neither here nor there. */
  #inTableTurn<T>(entry: TableEntry, work: () => Promise<T>): Promise<T> {
    const key = tableKey(entry);
    const turn = (this.#tableTurns.get(key) ?? Promise.resolve()).then(work);
    this.#tableTurns.set(
      key,
      turn.catch(() => undefined),
    );
    return turn;
  }

  async #describe(entry: TableEntry): Promise<LoadTable> {
    const catalog = await this.#catalog([entry]);
    refuseMissing(catalog, [entry]);
    const model = catalog.tables[0] as TableModel;
    await this.#rebuildIfOrdered(entry, catalog);
    if (!this.#shapes.known(entry)) {
      await this.#fitFirst(entry, model);
      await this.#shapes.store(entry, model, []);
    }
    const dropped = await this.#dropped(entry);
    if (dropped !== null)
      throw new ConfigurationError(`${displayName(entry)}: ${dropped}.`, {
        code: 'dropped-on-secondary',
        remedy: `Run ${pauseRemedy(entry)}.`,
      });
    await this.#readTarget(entry);
    const filled = new Set(this.#shapes.filled(entry).map((column) => column.name));
    const written = model.columns.filter(
      (column) => (column.generated === null || filled.has(column.name)) && entry.target?.byName.has(column.name),
    );
    const relation: Relation = {
      oid: model.oid,
      schema: model.schema,
      name: model.name,
      replicaIdentity: model.replicaIdentity.kind,
      columns: written.map((column) => ({
        name: column.name,
        typeOid: column.type.oid,
        typmod: column.type.typmod,
        isKey: model.replicaIdentity.columns.includes(column.name),
      })),
    };
    const version = this.#labels.version;
    const { binding } = this.#shapes.bindingOf(entry, relation);
    const typed = (name: string) => ({
      name,
      type: model.columns.find((column) => column.name === name)?.type.display ?? 'text',
    });
    const read = binding.sourceIndexes.map((i) => typed((relation.columns[i] as { name: string }).name));
    return {
      entry,
      outdated: () => version < this.#labels.version,
      // The binding's rows come from the chunk, whose columns are just those that it writes.
      binding: { ...binding, sourceIndexes: binding.columns.map((_, i) => i) },
      chunk: {
        oid: model.oid,
        schema: model.schema,
        name: model.name,
        columns: read,
        key: binding.keyNames.map(typed),
        binary: await this.#binaryForm(model, binding),
      },
      rowEstimate: model.rowEstimate,
      sizeBytes: model.sizeBytes,
    };
  }

  /** Null where a load takes text: the secondary, a type, or a float in the key wants it. */
  async #binaryForm(model: TableModel, { binary, key, relation }: Binding): Promise<CopiedForm | null> {
    if (!binary || (await this.#shapes.capabilities()).dialect !== 'postgres') return null;
    const enums = model.columns.filter(({ type }) => type.kind === 'enum');
    const types = new BinaryTypes(enums.map(({ type }) => ({ oid: type.oid, kind: 'e', base: 0, element: null })));
    const decoders = types.decoders(relation.columns);
    const oids = relation.columns.map(({ typeOid }) => typeOid);
    const named = key?.map((i) => oids[i] ?? 0) ?? [];
    return 'length' in decoders && !named.some(isFloat) ? { decoders, types: oids } : null;
  }

  async compared(entry: TableEntry, fresh = true): Promise<ComparedTable> {
    const cached = this.#compared.get(tableKey(entry));
    const unchanged = entry.target === cached?.load.binding.target;
    if (cached && unchanged && !fresh) return cached;
    const load = await this.describe(entry);
    const { dialect } = await this.#shapes.capabilities();
    const catalog = await this.#catalog([entry]);
    refuseMissing(catalog, [entry]);
    const planned = this.#shapes.planned(entry);
    const compared = comparedTable(load, catalog.tables[0] as TableModel, planned, dialect);
    this.#compared.set(tableKey(entry), compared);
    return compared;
  }

  /** Columns that the primary has added since the secondary's table was created: before they count as known. */
  async #fitFirst(entry: TableEntry, model: TableModel): Promise<void> {
    entry.target = await this.#shapes.targetOf(entry);
    const { target } = entry;
    if (model.columns.every((column) => column.generated !== null || target?.byName.has(column.name))) return;
    await this.ensure([entry]);
    entry.target = null;
  }

  /**
   * A table that was ordered to be made equal again and does not fit (another type, another key) is created anew: the
   * order is a person's, and everything in it comes from the primary.
   */
  async #rebuildIfOrdered(entry: TableEntry, catalog: CatalogModel): Promise<void> {
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

  async #diff(catalog: CatalogModel, translation: Translation) {
    return this.#parts.link.with(async (session) => {
      const target = await readTargetCatalog(session.client, catalog.tables);
      return { ...diffTarget(target, translation), target };
    });
  }

  /** Returns why the table must be paused, where the secondary lacks what the relation has. */
  async #bind(entry: TableEntry, relation: Relation): Promise<string | null> {
    this.#boundAt.set(tableKey(entry), this.#labels.version);
    const dropped = await this.#dropped(entry);
    if (dropped !== null) return dropped;
    await this.#readTarget(entry);
    const { binding, unknown } = this.#shapes.bindingOf(entry, relation);
    if (unknown.length > 0) this.#warnLeftOut(entry, unknown);
    entry.bindings.set(relation, binding);
    return null;
  }

  /**
   * What the table had when it was last made to fit and has no more: somebody dropped it on the secondary. Created anew it
   * would have no values, and what the stream knows of its rows is not all of them.
   */
  async #dropped(entry: TableEntry): Promise<string | null> {
    const known = this.#shapes.known(entry);
    if (!known) return null;
    let creates = entry.state === 'pending';
    for (;;) {
      entry.target ??= await this.#shapes.targetOf(entry);
      const { target } = entry;
      const lacking = known.filter(({ name }) => !target?.byName.has(name)).map(({ name }) => name);
      if (lacking.length === 0) return null;
      if (creates) {
        // Every row of it is about to be read.
        creates = false;
        await this.ensure([entry]);
        entry.target = null;
        continue;
      }
      if (!(await this.#shapes.mayLag(entry))) {
        entry.target = null;
        if (target === null) return 'its table was dropped on the secondary';
        return `column ${lacking.join(', ')} was dropped on the secondary, though the primary has it`;
      }
      await this.#parts.clock.sleep(SCHEMA_VISIBLE_POLL_MS);
      entry.target = null;
    }
  }

  #warnLeftOut(entry: TableEntry, columns: readonly string[]): void {
    this.#parts.log.warn(
      { table: displayName(entry), columns },
      `Columns of ${displayName(entry)} that the primary has dropped since are left out: ${columns.join(', ')}`,
    );
  }

  async #readTarget(entry: TableEntry): Promise<void> {
    entry.target ??= await this.#shapes.targetOf(entry);
    if (entry.target) return;
    await this.ensure([entry]);
    entry.target = await this.#shapes.targetOf(entry);
  }

  /**
   * The primary's catalog, not older than what the stream has seen: a commit is in the WAL a moment before queries see
   * it, and a schema change must not be judged by the catalog from before it.
   */
  async #catalog(tables: readonly TableName[] | '*'): Promise<CatalogModel> {
    return this.#parts.source.use(async (client) => {
      await this.#parts.untilVisible(client);
      return readCatalog(client, tables);
    });
  }
}

/** The batch in hand has values for the columns of before, in their order: it is read again rather than taken apart. */
function refuseOtherOutputs(table: TableName, before: Binding, after: Binding | undefined): void {
  const names = (binding: Binding | undefined) => JSON.stringify(binding?.derivation?.outputs ?? []);
  if (names(before) === names(after)) return;
  throw new StreamHaltError(`Generated columns of ${displayName(table)} have changed under a batch.`, {
    code: 'derived-column',
    remedy: 'Nothing to do: the stream reads the batch again.',
  });
}

function refuseMissing(catalog: CatalogModel, tables: readonly TableName[] | '*'): void {
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

/**
 * The WAL's idea of the table is the one that the secondary was last made to fit. Generated columns are not known here:
 * where the WAL has one, the catalog is looked at, for it may have become an ordinary one.
 * Both are in the order of the columns' numbers: a column that was dropped and added again, and two that have swapped
 * their names, show by their place.
 */
function sameColumns(known: readonly KnownColumn[], relation: Relation): boolean {
  const byNumber = [...known].sort((a, b) => a.attnum - b.attnum);
  return (
    byNumber.length === relation.columns.length &&
    relation.columns.every((column, i) => {
      const each = byNumber[i];
      return each?.name === column.name && each.typeOid === column.typeOid && each.typmod === column.typmod;
    })
  );
}
