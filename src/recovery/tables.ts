/** A replicated table as recovery sees it: its shape on both sides, and how values go one way and the other. */
import type { DialectName } from '../apply/dialect.js';
import { dialectOf } from '../apply/dialect.js';
import type { TargetSession } from '../apply/target-session.js';
import { readTargetTable, type TargetColumn, type TargetTable } from '../apply/target-table.js';
import { displayName, type TableName, tableKey } from '../core/ident.js';
import type { ValueConverter } from '../pipeline/binding.js';
import { backColumn } from '../reconcile/back.js';
import { type CanonicalColumn, canonicalColumns } from '../reconcile/canonical.js';
import { readCatalog } from '../schema/catalog.js';
import { type ColumnModel, type TableModel, type TriggerModel, undomained } from '../schema/model.js';
import { probeCapabilities } from '../schema/probe.js';
import { translate } from '../schema/translate.js';
import { converterFor } from '../streamer/converters.js';
import { type KeyShape, keyShape } from './key-shape.js';

/** A column that both sides store: generated ones follow from the others. */
export interface SharedColumn {
  readonly name: string;
  readonly primary: TargetColumn;
  readonly secondary: TargetColumn;
  /** pg_type.typname on the primary, below any domain. */
  readonly typeName: string;
  readonly toSecondary: ValueConverter | null;
  /** @throws RangeError when the text is none of the column's type */
  readonly toPrimary: (text: string) => string;
  /** SQL on the primary over `r`: the row's value and the text of a parameter are the same. */
  readonly same: (parameter: string) => string;
}

export interface RecoveryTable extends KeyShape {
  readonly model: TableModel;
  readonly primary: TargetTable;
  readonly secondary: TargetTable;
  readonly columns: readonly SharedColumn[];
  /** Positions in `columns`, in key order; null for a table without a key. */
  readonly key: readonly number[] | null;
  readonly canonical: readonly CanonicalColumn[];
  readonly canonicalKey: readonly CanonicalColumn[];
  /** Columns outside the key that the primary numbers itself, always: they take a value in an INSERT only. */
  readonly fixed: readonly string[];
  /** Position in `columns` of `updated_at`, where it can be compared. */
  readonly updatedAt: number | null;
  /** Columns of the secondary that the primary has no place for. */
  readonly unknown: readonly string[];
  /**
   * False for a stale table: its load has not ended, or the stream has paused it. What the secondary lacks says nothing
   * then, and what it has may be old, though nobody wrote it there.
   */
  readonly complete: boolean;
  /** Of a row on the primary. */
  readonly averageBytes: number;
  /** User triggers that would fire for copied rows. */
  readonly triggers: readonly TriggerModel[];
}

export interface RecoveryTables {
  readonly dialect: DialectName;
  /** Referenced tables before those that reference them, as far as there is such an order. */
  readonly ordered: readonly RecoveryTable[];
  get(table: TableName): RecoveryTable | undefined;
}

/** Before the first ANALYZE nobody knows how large a row is. */
const UNKNOWN_BYTES = 4096;

const TIMES = new Set(['timestamp', 'timestamptz', 'int8']);

/** Reads both catalogs. `listed`: the stream's tables, with whether they were loaded. */
export async function readTables(
  primary: TargetSession,
  secondary: TargetSession,
  listed: readonly (TableName & { readonly complete: boolean })[],
): Promise<RecoveryTables> {
  const catalog = await readCatalog(primary.client, listed);
  const translation = translate(catalog, await probeCapabilities(secondary.client));
  const dialect = secondary.dialect.name;
  const found = new Map<string, RecoveryTable>();
  for (const model of orderByReference(catalog.tables)) {
    const here = await readTargetTable(primary.client, model, dialectOf('PostgreSQL').table);
    const there = await readTargetTable(secondary.client, model, secondary.dialect.table);
    if (!here || !there) continue;
    const planned = translation.columns.find(({ table }) => tableKey(table) === tableKey(model))?.columns ?? [];
    const columns = model.columns.flatMap((column): SharedColumn[] => {
      const pair = [here, there].map((table) => table.columns.find(({ name }) => name === column.name));
      const [ours, theirs] = pair;
      if (!ours || !theirs || ours.generated || theirs.generated || column.generated) return [];
      const plan = planned.find(({ name }) => name === column.name);
      return [shared(column, ours, theirs, plan?.convert ?? 'none', plan?.sqlType ?? theirs.sqlType, dialect)];
    });
    const key = keyOf(here, there, columns);
    const { columns: canonical } = canonicalColumns(model, planned, dialect);
    const compared = canonical.filter((column) => columns.some(({ name }) => name === column.name));
    const updatedAt = columns.findIndex(({ name, typeName }) => name === 'updated_at' && TIMES.has(typeName));
    found.set(tableKey(model), {
      ...keyShape(there),
      model,
      primary: here,
      secondary: there,
      columns,
      key,
      canonical: compared,
      canonicalKey: (key ?? []).map((i) => compared.find(({ name }) => name === columns[i]?.name) as CanonicalColumn),
      fixed: model.columns
        .filter(({ identity, name }) => identity === 'a' && !there.primaryKey?.includes(name))
        .map(({ name }) => name),
      updatedAt: updatedAt < 0 ? null : updatedAt,
      unknown: there.columns.filter(({ name }) => !here.byName.has(name)).map(({ name }) => name),
      complete: listed.find((table) => tableKey(table) === tableKey(model))?.complete ?? true,
      averageBytes: model.rowEstimate ? model.sizeBytes / model.rowEstimate : UNKNOWN_BYTES,
      triggers: model.triggers.filter(
        ({ enabled, name }) => 'OA'.includes(enabled) && !name.startsWith('db_redundancy'),
      ),
    });
  }
  return { dialect, ordered: [...found.values()], get: (table) => found.get(tableKey(table)) };
}

function shared(
  column: ColumnModel,
  ours: TargetColumn,
  theirs: TargetColumn,
  convert: Parameters<typeof converterFor>[0],
  sqlType: string,
  dialect: DialectName,
): SharedColumn {
  const back = backColumn({ name: column.name, type: column.type, convert }, dialect);
  return {
    name: column.name,
    primary: ours,
    secondary: theirs,
    typeName: undomained(column.type).name,
    toSecondary: converterFor(convert, { dialect, typeName: theirs.typeName, sqlType }),
    toPrimary: back.text,
    same: back.same,
  };
}

/** The primary key, when it is the same on both sides. */
function keyOf(here: TargetTable, there: TargetTable, columns: readonly SharedColumn[]): readonly number[] | null {
  const names = there.primaryKey;
  if (!names || !here.primaryKey || [...names].sort().join('\0') !== [...here.primaryKey].sort().join('\0'))
    return null;
  const key = names.map((name) => columns.findIndex((column) => column.name === name));
  return key.includes(-1) ? null : key;
}

/** Depth first over foreign keys; in a circle the order is any. */
function orderByReference(tables: readonly TableModel[]): TableModel[] {
  const byKey = new Map(tables.map((table) => [tableKey(table), table]));
  const done = new Set<TableModel>();
  const ordered: TableModel[] = [];
  const visit = (table: TableModel): void => {
    if (done.has(table)) return;
    done.add(table);
    for (const { references } of table.foreignKeys) {
      const parent = byKey.get(tableKey(references));
      if (parent) visit(parent);
    }
    ordered.push(table);
  };
  for (const table of tables) visit(table);
  return ordered;
}

/** `public.t [1,2]`: for people. */
export function rowName(table: TableName, rowKey: string): string {
  return `${displayName(table)} ${rowKey}`;
}
