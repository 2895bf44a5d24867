/**
 * A row that is deleted on the primary may take rows of other tables with it, or empty their references, by ON DELETE
 * rules that the secondary did not have while it was in use. Rows that the secondary still has are copied again then: the
 * primary refuses them for their missing parent, and that is told, instead of the two sides differing in silence.
 */
import { arrayLiteral } from '../apply/array-literal.js';
import type { TargetSession } from '../apply/target-session.js';
import type { TargetColumn } from '../apply/target-table.js';
import { quoteIdent, quoteTable, tableKey } from '../core/ident.js';
import type { ForeignKeyModel } from '../schema/model.js';
import { rowKeyOf } from './key-shape.js';
import { keyColumns, parseKey, unnestKeys } from './row-io.js';
import type { RecoveryTable, RecoveryTables } from './tables.js';
import type { RowWrite } from './write-rows.js';

export interface LeftBehind {
  readonly table: RecoveryTable;
  /** Null: any row of the table. */
  readonly rowKey: string | null;
}

const NO_ACTION = 'ar';

/** Rows of the secondary that refer to rows which were deleted, through foreign keys that act on a deletion. */
export async function leftBehind(
  secondary: TargetSession,
  tables: RecoveryTables,
  writes: readonly RowWrite[],
): Promise<LeftBehind[]> {
  const found: LeftBehind[] = [];
  for (const parent of new Set(writes.filter(({ values }) => values === null).map(({ table }) => table))) {
    const deleted = writes.filter(({ table, values }) => table === parent && values === null);
    for (const child of tables.ordered) {
      for (const foreignKey of child.model.foreignKeys) {
        if (tableKey(foreignKey.references) !== tableKey(parent) || NO_ACTION.includes(foreignKey.onDelete)) continue;
        found.push(...(await rowsOf(secondary, parent, child, foreignKey, deleted)));
      }
    }
  }
  return found;
}

async function rowsOf(
  secondary: TargetSession,
  parent: RecoveryTable,
  child: RecoveryTable,
  foreignKey: ForeignKeyModel,
  deleted: readonly RowWrite[],
): Promise<LeftBehind[]> {
  const at = foreignKey.referencedColumns.map((name) => parent.keyNames.indexOf(name));
  const referring = foreignKey.columns.map((name) => child.columns.find((column) => column.name === name)?.secondary);
  // The values that were referred to are not known any more.
  if (child.key === null || at.includes(-1) || referring.includes(undefined)) return [{ table: child, rowKey: null }];
  const columns = referring as TargetColumn[];
  const keys = deleted.map(({ rowKey }) => parseKey(parent, 'secondary', rowKey));
  const { casts, parameters } = unnestKeys(columns, 1);
  const own = keyColumns(child, 'secondary').map((column, i) => `r.${quoteIdent(column.name)} AS k${i}`);
  const match = columns.map((column, i) => `r.${quoteIdent(column.name)} = s.v${i}`).join(' AND ');
  const { rows } = await secondary.run({
    text:
      `SELECT ${own.join(', ')} FROM (SELECT ${casts.map((cast, i) => `${cast} AS v${i}`).join(', ')} FROM unnest(${parameters}) AS u(${columns.map((_, i) => `c${i}`).join(', ')})) AS s ` +
      `JOIN ${quoteTable(child.schema, child.name)} AS r ON ${match}`,
    values: columns.map((column, i) =>
      arrayLiteral(
        keys.map((key) => [key[at[i] as number]]),
        0,
        column.encoding,
      ),
    ),
  });
  return rows.map((row) => ({
    table: child,
    rowKey: rowKeyOf(
      child,
      own.map((_, i) => row[`k${i}`] ?? ''),
    ),
  }));
}
