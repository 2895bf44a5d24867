/** A table as both sides are compared: what is hashed, how rows are named, and what becomes of a doubtful hash. */
import type { DialectName } from '../apply/dialect.js';
import { type TableModel, undomained } from '../schema/model.js';
import type { PlannedColumn } from '../schema/translation.js';
import type { LoadTable } from '../snapshot/load-table.js';
import { type BackColumn, backColumn } from './back.js';
import { type CanonicalColumn, canonicalColumns } from './canonical.js';

export interface ComparedTable {
  readonly load: LoadTable;
  readonly dialect: DialectName;
  readonly columns: readonly CanonicalColumn[];
  /** The way back of each of `columns`, in the same order. */
  readonly back: readonly BackColumn[];
  /** Columns that are not compared, and why. */
  readonly left: readonly { readonly name: string; readonly reason: string }[];
  /** The column that the sweep goes by; null where verify alone covers the table. */
  readonly updatedAt: UpdatedAt | null;
}

export interface UpdatedAt {
  readonly column: CanonicalColumn;
  /** `timestamp` means a local time; whose, only the application knows: the server's default is assumed. */
  readonly type: 'timestamp' | 'timestamptz';
}

const UPDATED_AT = 'updated_at';

export function comparedTable(
  load: LoadTable,
  model: TableModel,
  planned: readonly PlannedColumn[],
  dialect: DialectName,
): ComparedTable {
  const { columns, left } = canonicalColumns(model, planned, dialect);
  const back = columns.map(({ name }) => {
    const type = model.columns.find((column) => column.name === name)?.type;
    const convert = planned.find((column) => column.name === name)?.convert ?? 'none';
    if (!type) throw new RangeError(`${model.name} has no column ${name}.`);
    return backColumn({ name, type, convert }, dialect);
  });
  return { load, dialect, columns, back, left, updatedAt: updatedAt(model, columns) };
}

function updatedAt(model: TableModel, columns: readonly CanonicalColumn[]): UpdatedAt | null {
  const column = columns.find(({ name }) => name === UPDATED_AT);
  const source = model.columns.find(({ name }) => name === UPDATED_AT);
  if (!column || !source) return null;
  const type = undomained(source.type).name;
  return type === 'timestamp' || type === 'timestamptz' ? { column, type } : null;
}
