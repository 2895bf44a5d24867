/**
 * The tables of one feed and what its rows mean. A row is JSON without types: the catalog gives them, as it was at the
 * time of the row, and is looked at again when a row shows columns that no row of the table has shown yet.
 */
import type { ClientConfig } from 'pg';
import type { TableName } from '../core/ident.js';
import { SchemaChangedError } from './catchup-errors.js';
import type { RowValues } from './change-source.js';
import type { ChangefeedMessage } from './changefeed-query.js';
import { readShapes, type TableShape } from './cockroach-tables.js';
import { formatHlc, type Hlc, parseHlc } from './hlc.js';
import { arrayElements, objectMembers } from './json-text.js';
import { valueText } from './value-text.js';

export interface FollowedTable {
  readonly id: number;
  readonly name: TableName;
  /** Belongs to the latest rows that were read. */
  shape: TableShape;
  /** Shapes by the column names that a row showed. */
  readonly seen: Map<string, TableShape>;
}

export interface FeedRow {
  readonly table: FollowedTable;
  readonly key: RowValues;
  readonly updated: Hlc;
  readonly after: RowValues | null;
}

const UNREAD: TableShape = { key: [], columns: [], forms: new Map() };

export class FollowedTables {
  readonly #connection: ClientConfig;
  readonly #onColumns: (table: TableName, columns: readonly string[]) => void;
  /** By bare name, as a feed's rows say it. */
  readonly #byName: ReadonlyMap<string, FollowedTable>;

  /** @param onColumns a table has other columns than before */
  constructor(
    connection: ClientConfig,
    tables: readonly TableName[],
    onColumns: (table: TableName, columns: readonly string[]) => void,
  ) {
    this.#connection = connection;
    this.#onColumns = onColumns;
    this.#byName = new Map(
      tables.map((name, id) => [name.name, { id, name, shape: UNREAD, seen: new Map() }] as const),
    );
  }

  get all(): readonly FollowedTable[] {
    return [...this.#byName.values()];
  }

  get(bareName: string): FollowedTable | undefined {
    return this.#byName.get(bareName);
  }

  async lookAtUnread(at: string): Promise<void> {
    const unread = this.all.filter((table) => table.shape === UNREAD);
    if (unread.length > 0) await this.look(unread, at);
  }

  /** Reads the tables' shapes at a time (decimal HLC), and tells of those that have changed. */
  async look(tables: readonly FollowedTable[], at: string): Promise<void> {
    const names = tables.map((table) => table.name);
    const shapes = await readShapes(this.#connection, names, at);
    for (const [i, table] of tables.entries()) this.#reshape(table, shapes[i] as TableShape);
  }

  /** Null for a row of before `resolved`. Throws a SchemaChangedError for a table under a name that is not followed. */
  async read(message: ChangefeedMessage, resolved: Hlc): Promise<FeedRow | null> {
    const table = this.get(message.table ?? '');
    if (!table) throw new SchemaChangedError(`A followed table was renamed to ${message.table} on the secondary.`);
    const members = objectMembers(message.value);
    const updated = parseHlc(JSON.parse(members.get('updated') ?? '""') as string);
    if (updated <= resolved) return null;
    const after = members.get('after') ?? 'null';
    const columns = after === 'null' ? null : objectMembers(after);
    const key = arrayElements(message.key as string);
    const shape = await this.#shapeFor(table, key.length, columns, updated);
    return { table, key: keyOf(key, shape), updated, after: columns && valuesOf(columns, shape) };
  }

  async #shapeFor(
    table: FollowedTable,
    keyLength: number,
    columns: ReadonlyMap<string, string> | null,
    updated: Hlc,
  ): Promise<TableShape> {
    if (columns === null && table.shape.key.length === keyLength) return table.shape;
    const signature = `${keyLength}:${columns === null ? '' : [...columns.keys()].join('\u0000')}`;
    const known = table.seen.get(signature);
    if (known) return known;
    const fits =
      columns !== null &&
      table.shape.key.length === keyLength &&
      table.shape.columns.length === columns.size &&
      table.shape.columns.every((name) => columns.has(name));
    if (!fits) await this.look([table], formatHlc(updated));
    table.seen.set(signature, table.shape);
    return table.shape;
  }

  #reshape(table: FollowedTable, shape: TableShape): void {
    const before = table.shape;
    table.shape = shape;
    if (before === UNREAD || before.columns.join('\u0000') === shape.columns.join('\u0000')) return;
    table.seen.clear();
    this.#onColumns(table.name, shape.columns);
  }
}

function keyOf(elements: readonly string[], shape: TableShape): RowValues {
  return Object.fromEntries(
    elements.map((json, i) => {
      const name = shape.key[i] ?? `key ${i + 1}`;
      return [name, valueText(json, shape.forms.get(name) ?? 'plain')];
    }),
  );
}

function valuesOf(columns: ReadonlyMap<string, string>, shape: TableShape): RowValues {
  const values: Record<string, string | null> = {};
  for (const [name, json] of columns) {
    const form = shape.forms.get(name);
    // What the catalog does not show is the hidden row id.
    if (form !== undefined) values[name] = valueText(json, form);
  }
  return values;
}
