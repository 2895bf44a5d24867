/**
 * Unique values that went from one row to another on the secondary: on the primary none of the rows can be written
 * first. The rows that stand in the way are given other values for a moment, inside the transaction, and then their own
 * final ones. Nobody sees that, and no row is deleted for it, so that no foreign key cascades.
 */
import { arrayLiteral } from '../apply/array-literal.js';
import type { SqlStatement, TargetSession } from '../apply/target-session.js';
import type { TargetColumn } from '../apply/target-table.js';
import { quoteIdent, quoteTable } from '../core/ident.js';
import type { CopyContext } from './copy-context.js';
import { keyColumns, parseKey, primaryRowKey, readRows, toPrimary } from './row-io.js';
import { type RefusedRow, type RowWrite, writeInHalves } from './write-rows.js';

const ROUNDS = 4;

/** Inside the copying transaction. @returns what is refused all the same; nothing of this has happened then */
export async function parkAndWrite(
  context: CopyContext,
  primary: TargetSession,
  refused: readonly RefusedRow[],
): Promise<RefusedRow[]> {
  await primary.exec('SAVEPOINT dbr_park');
  const writes = new Map(refused.map(({ write }) => [idOf(write), write]));
  let left: readonly RefusedRow[] = refused;
  // A row that stands in the way may have its own final value taken by yet another one.
  for (let round = 0; round < ROUNDS && left.length > 0; round++) {
    for (const holder of await holders(context, primary, left))
      writes.set(idOf(holder), writes.get(idOf(holder)) ?? holder);
    for (const write of writes.values()) if (!(await park(primary, write))) return undo(primary, refused);
    left = await writeInHalves(primary, 'primary', [...writes.values()], context.tables.ordered);
  }
  if (left.length > 0) return undo(primary, refused);
  await primary.exec('RELEASE SAVEPOINT dbr_park');
  return [];
}

async function undo(primary: TargetSession, refused: readonly RefusedRow[]): Promise<RefusedRow[]> {
  await primary.exec('ROLLBACK TO SAVEPOINT dbr_park');
  return [...refused];
}

function idOf({ rowKey, table }: RowWrite): string {
  return `${table.schema}\0${table.name}\0${rowKey}`;
}

/** Rows of the primary that hold a unique value of one of these, as they are on the secondary. */
async function holders(
  context: CopyContext,
  primary: TargetSession,
  refused: readonly RefusedRow[],
): Promise<RowWrite[]> {
  const found: RowWrite[] = [];
  for (const table of new Set(refused.map(({ write }) => write.table))) {
    const rows = refused.flatMap(({ write }) => (write.table === table && write.values ? [write.values] : []));
    const key = keyColumns(table, 'primary');
    for (const unique of table.primary.uniques) {
      const at = unique.map((name) => table.columns.findIndex((column) => column.name === name));
      if (at.includes(-1) || rows.length === 0) continue;
      const columns = at.map((i) => table.columns[i]?.primary as TargetColumn);
      const parameters = columns.map((column, i) => `$${i + 1}::${column.arrayType}[]`).join(', ');
      const match = columns.map((column, i) => {
        const given =
          column.arrayType === 'text' && column.sqlType !== 'text' ? `u.c${i}::${column.sqlType}` : `u.c${i}`;
        return `r.${quoteIdent(column.name)} = ${given}`;
      });
      const { rows: held } = await primary.run({
        text: `SELECT DISTINCT ${key.map((column, i) => `r.${quoteIdent(column.name)}::text AS k${i}`).join(', ')}
          FROM unnest(${parameters}) AS u(${columns.map((_, i) => `c${i}`).join(', ')}) JOIN ${quoteTable(table.schema, table.name)} AS r ON ${match.join(' AND ')}`,
        values: columns.map((column, i) =>
          arrayLiteral(
            rows.map((row) => [row[at[i] as number]]),
            0,
            column.encoding,
          ),
        ),
      });
      const keys = held.map((row) =>
        primaryRowKey(
          table,
          key.map((_, i) => row[`k${i}`] ?? ''),
        ),
      );
      const theirs = await context.read((session) => readRows(session, table, 'secondary', keys, { values: true }));
      for (const rowKey of keys) {
        const row = theirs.get(rowKey);
        found.push({ table, rowKey, values: row ? toPrimary(table, row.values) : null });
      }
    }
  }
  return found;
}

/** False when a unique column takes no value of which it is certain that nobody has it. */
async function park(primary: TargetSession, { rowKey, table }: RowWrite): Promise<boolean> {
  const columns = new Set(table.primary.uniques.flat());
  const set: string[] = [];
  for (const name of columns) {
    const shared = table.columns.find((column) => column.name === name);
    if (!shared) continue;
    const value = shared.primary.notNull ? parkedValue(shared.typeName) : 'NULL';
    if (value !== null) set.push(`${quoteIdent(name)} = ${value}`);
  }
  if (set.length === 0) return columns.size === 0;
  const key = keyColumns(table, 'primary');
  const statement: SqlStatement = {
    text: `UPDATE ${quoteTable(table.schema, table.name)} SET ${set.join(', ')} WHERE ${key.map((column, i) => `${quoteIdent(column.name)} = $${i + 1}::text::${column.sqlType}`).join(' AND ')}`,
    values: parseKey(table, 'primary', rowKey),
  };
  try {
    await primary.pipeline([
      { text: 'SAVEPOINT dbr_row', values: [] },
      statement,
      { text: 'RELEASE SAVEPOINT dbr_row', values: [] },
    ]);
    return true;
  } catch (error) {
    if (primary.broken) throw error;
    await primary.exec('ROLLBACK TO SAVEPOINT dbr_row');
    return false;
  }
}

function parkedValue(typeName: string): string | null {
  switch (typeName) {
    case 'int4':
      return '-(1000000000 + (random() * 1000000000)::int4)';
    case 'int8':
      return '-(4000000000000000000 + (random() * 1e18)::int8)';
    case 'numeric':
      return '-(random() * 1000000)::numeric';
    case 'uuid':
      return 'gen_random_uuid()';
    case 'text':
    case 'varchar':
    case 'citext':
      return `left(md5(random()::text), 20)`;
    case 'bytea':
      return `decode(md5(random()::text), 'hex')`;
    default:
      return null;
  }
}
