/**
 * What is known of the replicated tables by name: the columns that they were last made to fit, how they are translated,
 * which rules are theirs, and from these how a relation of the WAL is written.
 */
import { readTargetTable, type TargetTable } from '../apply/target-table.js';
import type { Relation } from '../core/change.js';
import type { Clock } from '../core/clock.js';
import { displayName, type TableName, tableKey } from '../core/ident.js';
import type { TargetLink } from '../meta/target-link.js';
import { bind } from '../pipeline/binding.js';
import type { TableEntry } from '../pipeline/registry.js';
import type { TargetCapabilities } from '../schema/capabilities.js';
import type { CatalogModel, TableModel } from '../schema/model.js';
import { probeCapabilities } from '../schema/probe.js';
import { translate } from '../schema/translate.js';
import type { PlannedColumn, Translation } from '../schema/translation.js';
import { matchColumns } from './column-match.js';
import { converterFor } from './converters.js';
import { derivationOf } from './derived-values.js';
import type { LabelKeeper } from './label-keeper.js';
import { ownRules, withOwnRules } from './own-rules.js';
import type { KnownColumn, TablesStore } from './tables-store.js';

/** CockroachDB may show a column a moment after the ALTER TABLE that added it has returned. */
const SCHEMA_VISIBLE_MS = 10_000;

export interface ShapeParts {
  readonly clock: Clock;
  readonly link: TargetLink;
  readonly store: TablesStore;
  readonly labels: LabelKeeper;
}

export class TableShapes {
  readonly #parts: ShapeParts;
  readonly #known = new Map<string, readonly KnownColumn[]>();
  readonly #planned = new Map<string, readonly PlannedColumn[]>();
  /** Unique rules of the primary's table as the catalog had them last. */
  readonly #rules = new Map<string, ReadonlySet<string>>();
  /** When the secondary's table was last changed from here. */
  readonly #altered = new Map<string, number>();
  #capabilities: TargetCapabilities | null = null;

  constructor(parts: ShapeParts) {
    this.#parts = parts;
  }

  /** The columns that the secondary's table was last made to fit; undefined before the first time. */
  known(table: TableName): readonly KnownColumn[] | undefined {
    return this.#known.get(tableKey(table));
  }

  /** As a former process has stored them. */
  recall(table: TableName, columns: readonly KnownColumn[]): void {
    this.#known.set(tableKey(table), columns);
  }

  planned(table: TableName): readonly PlannedColumn[] {
    return this.#planned.get(tableKey(table)) ?? [];
  }

  /** The secondary's table was changed from here, just now. */
  noteAltered(table: TableName): void {
    this.#altered.set(tableKey(table), this.#parts.clock.monotonic());
  }

  /** What its catalog says may be from before the last change that was made from here. */
  async mayLag(table: TableName): Promise<boolean> {
    const lags = await this.#parts.link.with(async (session) => session.dialect.schemaLags);
    const altered = this.#altered.get(tableKey(table)) ?? Number.NEGATIVE_INFINITY;
    return lags && this.#parts.clock.monotonic() - altered < SCHEMA_VISIBLE_MS;
  }

  /** The column's name on the secondary; null: it is gone. */
  presentName(entry: TableEntry, relation: Relation, name: string): string | null {
    const found = matchColumns(namesOf(relation), this.known(entry) ?? []).get(name);
    return found === undefined && entry.target?.byName.has(name) ? name : (found ?? null);
  }

  bindingOf(entry: TableEntry, relation: Relation) {
    const { target } = entry;
    if (!target) throw new RangeError(`${displayName(entry)} has no table on the secondary.`);
    const known = this.known(entry) ?? [];
    const planned = this.planned(entry);
    const present = matchColumns(namesOf(relation), known);
    const rename = (name: string) => {
      const found = present.get(name);
      return found === undefined && target.byName.has(name) ? name : (found ?? null);
    };
    return bind(relation, target, {
      rename,
      derivation: derivationOf(relation, planned, this.filled(entry), rename, (typeOid) =>
        this.#parts.labels.converter(typeOid),
      ),
      converter: (column, sourceColumn) => {
        const typeOid = relation.columns.find((each) => each.name === sourceColumn)?.typeOid;
        const renamed = typeOid === undefined ? null : this.#parts.labels.converter(typeOid);
        const plan = planned.find((each) => each.name === column.name);
        const { typeName, sqlType } = column;
        // A catalog may leave the precision of a time out.
        const target = {
          dialect: this.#capabilities?.dialect ?? 'postgres',
          typeName,
          sqlType: plan?.sqlType ?? sqlType,
        };
        const convert = converterFor(plan?.convert ?? 'none', target);
        return renamed && convert ? (text) => convert(renamed(text)) : (renamed ?? convert);
      },
    });
  }

  /** Columns that are generated on the primary only, and are ordinary ones on the secondary as it is. */
  filled(entry: TableEntry): readonly PlannedColumn[] {
    const { target } = entry;
    const plain = (name: string) => target?.columns[target.byName.get(name) ?? -1]?.generated === false;
    return this.planned(entry).filter((column) => column.fill !== null && plain(column.name));
  }

  async targetOf(entry: TableEntry): Promise<TargetTable | null> {
    const target = await this.#parts.link.with((session) =>
      readTargetTable(session.client, entry, session.dialect.table),
    );
    return target && withOwnRules(target, this.#rules.get(tableKey(entry)));
  }

  async store(table: TableName, model: TableModel, before: readonly KnownColumn[]): Promise<void> {
    const columns = model.columns
      .filter((column) => column.generated === null)
      .map((column): KnownColumn => {
        const old = before.find((each) => each.attnum === column.attnum);
        const formerly = old && old.name !== column.name ? [...old.formerly, old.name] : (old?.formerly ?? []);
        const { attnum, name, nullable, type } = column;
        const dropped = old ? undefined : before.find((each) => each.name === name);
        const replaces = dropped ? [...(dropped.replaces ?? []), dropped.attnum] : old?.replaces;
        const stored = { attnum, name, nullable, type: type.display, typeOid: type.oid, typmod: type.typmod, formerly };
        return replaces ? { ...stored, replaces } : stored;
      });
    this.#known.set(tableKey(table), columns);
    await this.#parts.store.setColumns(table, columns);
  }

  remember(translation: Translation, catalog: CatalogModel): void {
    for (const { table, columns } of translation.columns) this.#planned.set(tableKey(table), columns);
    for (const model of catalog.tables) this.#rules.set(tableKey(model), ownRules(model));
  }

  async translate(catalog: CatalogModel): Promise<Translation> {
    return translate(catalog, await this.capabilities());
  }

  async capabilities(): Promise<TargetCapabilities> {
    this.#capabilities ??= await this.#parts.link.with((session) => probeCapabilities(session.client));
    return this.#capabilities;
  }
}

function namesOf(relation: Relation): string[] {
  return relation.columns.map((column) => column.name);
}
