/**
 * Rows into a table whose constraints are enforced: all at once where that goes, and where a constraint refuses, one by
 * one and in rounds, so that a row waits for the one it refers to. What is refused in every order is handed back.
 */
import { arrayLiteral } from '../apply/array-literal.js';
import { deleteSql, insertSql, upsertSql } from '../apply/statements.js';
import type { SqlStatement, TargetSession } from '../apply/target-session.js';
import type { TargetColumn, TargetTable } from '../apply/target-table.js';
import { quoteIdent, quoteTable } from '../core/ident.js';
import { classify } from '../core/policy.js';
import { slices } from '../pipeline/compile.js';
import type { Side } from '../reconcile/row-hash.js';
import { keyColumns, parseKey, sideColumns, unnestKeys } from './row-io.js';
import type { RecoveryTable } from './tables.js';

/** The final state of one row, in the texts of the side it is written to. */
export interface RowWrite {
  readonly table: RecoveryTable;
  readonly rowKey: string;
  /** Null: there is no such row any more. */
  readonly values: readonly (string | null)[] | null;
  /** It is not there: inserted, and refused where it is. On CockroachDB an upsert may look through the whole table. */
  readonly isNew?: boolean;
}

export interface RefusedRow {
  readonly write: RowWrite;
  readonly error: unknown;
}

/** Statements for all of them: parents are written first and deleted last. `ordered`: referenced tables first. */
export function writeStatements(
  session: TargetSession,
  side: Side,
  writes: readonly RowWrite[],
  ordered: readonly RecoveryTable[],
): SqlStatement[] {
  const statements: SqlStatement[] = [];
  for (const table of ordered) {
    const columns = sideColumns(table, side);
    const fixed = side === 'primary' ? table.fixed : [];
    const traits = session.dialect.statements;
    for (const isNew of [false, true]) {
      const rows = writes.flatMap((write) =>
        write.table === table && write.values && (write.isNew === true) === isNew ? [write.values] : [],
      );
      if (rows.length === 0) continue;
      const text = isNew
        ? insertSql(targetOf(table, side), columns, traits)
        : upsertSql(targetOf(table, side), columns, keyNames(table), traits, fixed);
      for (const slice of slices(rows, session.dialect)) {
        const values = columns.map((column, i) => arrayLiteral(slice, i, column.encoding));
        if (fixed.length > 0) statements.push({ text: outdatedSql(table, columns), values });
        statements.push({ text, values });
      }
    }
  }
  for (const table of [...ordered].reverse()) {
    const keys = writes.flatMap((write) =>
      write.table === table && !write.values ? [parseKey(table, side, write.rowKey)] : [],
    );
    if (keys.length === 0) continue;
    const columns = keyColumns(table, side);
    const text = deleteSql(targetOf(table, side), columns);
    for (const slice of slices(keys, session.dialect))
      statements.push({ text, values: columns.map((column, i) => arrayLiteral(slice, i, column.encoding)) });
  }
  return statements;
}

/**
 * Inside a transaction, those of a table at once, and halves of what is refused. Throws what is nobody's row; returns the
 * rows that are refused whatever their order.
 */
export async function writeInHalves(
  session: TargetSession,
  side: Side,
  writes: readonly RowWrite[],
  ordered: readonly RecoveryTable[],
): Promise<RefusedRow[]> {
  let waiting = [...writes];
  for (;;) {
    const refused: RefusedRow[] = [];
    for (const alike of groupsInOrder(waiting, ordered)) refused.push(...(await writeHalves(session, side, alike)));
    if (refused.length === 0 || refused.length === waiting.length) return refused;
    waiting = refused.map(({ write }) => write);
  }
}

/** @param writes of one table */
async function writeHalves(session: TargetSession, side: Side, writes: readonly RowWrite[]): Promise<RefusedRow[]> {
  const [first] = writes;
  if (!first) return [];
  const error = await tryWrite(session, () => writeStatements(session, side, writes, [first.table]));
  if (error === null) return [];
  if (writes.length === 1) return [{ write: first, error }];
  const middle = writes.length >> 1;
  return [
    ...(await writeHalves(session, side, writes.slice(0, middle))),
    ...(await writeHalves(session, side, writes.slice(middle))),
  ];
}

/** Under a savepoint. @returns the error of the row, null when it was written */
export async function tryWrite(session: TargetSession, statements: () => readonly SqlStatement[]): Promise<unknown> {
  try {
    await session.pipeline([
      { text: 'SAVEPOINT dbr_row', values: [] },
      ...statements(),
      { text: 'RELEASE SAVEPOINT dbr_row', values: [] },
    ]);
    return null;
  } catch (error) {
    if (session.broken || !isRowsFault(error)) throw error;
    await session.exec('ROLLBACK TO SAVEPOINT dbr_row');
    return error;
  }
}

/** A constraint or a value, not the connection or a lock. A text that cannot be brought back is a RangeError. */
export function isRowsFault(error: unknown): boolean {
  return error instanceof RangeError || classify(error).action === 'bisect';
}

/**
 * GENERATED ALWAYS AS IDENTITY outside the key can be given to a new row only: a row that was deleted and inserted again
 * on the secondary, and so has another number, makes way for itself.
 */
function outdatedSql(table: RecoveryTable, columns: readonly TargetColumn[]): string {
  const { casts, parameters } = unnestKeys(columns, 1);
  const given = (name: string) => `s.v${columns.findIndex((column) => column.name === name)}`;
  const match = keyNames(table).map((name) => `t.${quoteIdent(name)} = ${given(name)}`);
  const differs = table.fixed.map((name) => `t.${quoteIdent(name)} IS DISTINCT FROM ${given(name)}`);
  return (
    `DELETE FROM ${quoteTable(table.schema, table.name)} AS t USING (SELECT ${casts.map((cast, i) => `${cast} AS v${i}`).join(', ')} ` +
    `FROM unnest(${parameters}) AS u(${columns.map((_, i) => `c${i}`).join(', ')})) AS s WHERE ${match.join(' AND ')} AND (${differs.join(' OR ')})`
  );
}

/** Rows of one table each: written from referenced tables on, and then deleted the other way round. */
function groupsInOrder(writes: readonly RowWrite[], ordered: readonly RecoveryTable[]): RowWrite[][] {
  const of = (wanted: RecoveryTable, deleted: boolean) =>
    writes.filter(({ table, values }) => table === wanted && (values === null) === deleted);
  return [...ordered.map((table) => of(table, false)), ...[...ordered].reverse().map((table) => of(table, true))];
}

function targetOf(table: RecoveryTable, side: Side): TargetTable {
  return table[side];
}

function keyNames(table: RecoveryTable): string[] {
  return keyColumns(table, 'primary').map((column) => column.name);
}
