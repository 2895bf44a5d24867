/**
 * The schema side of a stream: makes the secondary's tables fit the primary's, follows what can be followed while
 * streaming, and tells loads how to read. Pipeline and schema translation meet here and in what it is made of.
 */
import type { ClientBase } from 'pg';
import type { Relation } from '../core/change.js';
import { ConfigurationError, StreamHaltError } from '../core/errors.js';
import { displayName, type TableName, tableKey } from '../core/ident.js';
import type { Lsn } from '../core/lsn.js';
import { type Binding, identityColumns } from '../pipeline/binding.js';
import type { TableEntry } from '../pipeline/registry.js';
import { type ComparedTable, comparedTable } from '../reconcile/compared-table.js';
import type { TableModel } from '../schema/model.js';
import type { LoadTable } from '../snapshot/load-table.js';
import { pauseRemedy } from './follow.js';
import { LabelKeeper } from './label-keeper.js';
import { loadTable } from './load-description.js';
import { refusal } from './schema-follower.js';
import type { Fitted, SchemaReport, SchemaService } from './schema-service.js';
import { type BridgeParts, refuseMissing, SecondarySchema } from './secondary-schema.js';
import { TableShapes } from './table-shapes.js';
import type { KnownColumn } from './tables-store.js';

/** A refused row makes the table's schema be looked at again, at most so often. */
const REFRESH_INTERVAL_MS = 5000;

const SCHEMA_VISIBLE_POLL_MS = 100;

export class SchemaBridge implements SchemaService {
  readonly #parts: BridgeParts;
  readonly #shapes: TableShapes;
  readonly #secondary: SecondarySchema;
  readonly #refreshed = new Map<string, number>();
  readonly #compared = new Map<string, ComparedTable>();
  readonly #labels: LabelKeeper;
  /** What names of labels meant when the table was bound. */
  readonly #boundAt = new Map<string, number>();
  /** Where the stream must be before a rename that was noticed is followed. */
  #noticedAt: Lsn | null = null;
  readonly #tableTurns = new Map<string, Promise<unknown>>();

  constructor(parts: BridgeParts) {
    this.#parts = parts;
    this.#labels = new LabelKeeper(parts);
    this.#shapes = new TableShapes({ ...parts, labels: this.#labels });
    this.#secondary = new SecondarySchema(parts, this.#shapes, this.#labels);
  }

  ensure(tables: readonly TableName[] | '*'): Promise<SchemaReport> {
    return this.#secondary.ensure(tables);
  }

  prepare(entry: TableEntry, relation: Relation): Promise<Fitted> {
    return this.#inTableTurn(entry, () => this.#prepare(entry, relation));
  }

  async #prepare(entry: TableEntry, relation: Relation): Promise<Fitted> {
    const known = this.#shapes.known(entry);
    let reload = false;
    if (!known || !sameColumns(known, relation) || !(await this.#keyStands(entry, relation))) {
      const followed = await this.#secondary.follower.follow(entry, known ?? null);
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
    const refused = await this.#secondary.ensure([entry]).then(() => null, refusal);
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
    const followed = await this.#secondary.follower.follow(entry, this.#shapes.known(entry) ?? null);
    // Bindings hold the target's shape: they are made anew.
    entry.target = null;
    entry.bindings.clear();
    this.#boundAt.set(tableKey(entry), this.#labels.version);
    if (followed.pause !== null) return followed;
    const dropped = await this.#dropped(entry);
    if (dropped !== null) return { pause: dropped, reload: false };
    await this.#secondary.ensure([entry]);
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
    return this.#secondary.inTurn(async () => {
      if ((this.#boundAt.get(tableKey(entry)) ?? 0) < this.#labels.version) return true;
      const behind = await source.use(async (client) => {
        await untilVisible(client);
        return this.#labels.behind(client, entry);
      });
      return behind || this.#labels.learn(entry);
    });
  }

  async watchLabels(client: ClientBase, at: { applied: Lsn; durable: Lsn; current: Lsn }): Promise<void> {
    await this.#secondary.inTurn(() => this.#labels.settle(client, at.durable, at.current));
    if (!(await this.#secondary.inTurn(() => this.#labels.behind(client, null)))) {
      this.#noticedAt = null;
      return;
    }
    // Not before the stream is where it was renamed; a row that needs it before that is refused, and it is followed then.
    this.#noticedAt ??= at.current;
    if (at.applied < this.#noticedAt) return;
    this.#noticedAt = null;
    const tables = (await this.#parts.store.list()).filter((table) => table.state !== 'paused');
    await this.#secondary.ensure(tables.map(({ schema, name }) => ({ schema, name }))).catch((error: unknown) => {
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
    const catalog = await this.#secondary.catalog([entry]);
    refuseMissing(catalog, [entry]);
    const model = catalog.tables[0] as TableModel;
    await this.#secondary.rebuildIfOrdered(entry, catalog);
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
    return loadTable(entry, model, this.#shapes, this.#labels);
  }

  async compared(entry: TableEntry, fresh = true): Promise<ComparedTable> {
    const cached = this.#compared.get(tableKey(entry));
    const unchanged = entry.target === cached?.load.binding.target;
    if (cached && unchanged && !fresh) return cached;
    const load = await this.describe(entry);
    const { dialect } = await this.#shapes.capabilities();
    const catalog = await this.#secondary.catalog([entry]);
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
    await this.#secondary.ensure([entry]);
    entry.target = null;
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
        await this.#secondary.ensure([entry]);
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
    await this.#secondary.ensure([entry]);
    entry.target = await this.#shapes.targetOf(entry);
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
