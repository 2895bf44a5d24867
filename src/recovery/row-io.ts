/** Rows by key, on either side: values as that side's text, and the hash under which equal rows are equal on both. */
import { arrayLiteral } from '../apply/array-literal.js';
import type { TargetSession } from '../apply/target-session.js';
import type { TargetColumn } from '../apply/target-table.js';
import { quoteIdent, quoteTable } from '../core/ident.js';
import { rowHash, type Side } from '../reconcile/row-hash.js';
import { rowKeyOf } from './key-shape.js';
import { updatedAtOf } from './key-text.js';
import type { RecoveryTable, SharedColumn } from './tables.js';

export interface StoredRow {
  /** In the order of `table.columns`; empty when only hashes were asked for. */
  readonly values: readonly (string | null)[];
  readonly hash: string;
  /** When it was last written (CockroachDB); null unless it was asked for. */
  readonly version: string | null;
}

export interface ReadOptions {
  readonly values?: boolean;
  readonly lock?: boolean;
  /** On CockroachDB. */
  readonly version?: boolean;
  /**
   * On CockroachDB, where a small table would be read as a whole: only the keys, so that a serializable transaction
   * depends on no other row.
   */
  readonly lookup?: boolean;
}

/** Texts of a key, in key order, as the side takes them. */
export function parseKey(table: RecoveryTable, side: Side, rowKey: string): string[] {
  const texts = JSON.parse(rowKey) as string[];
  if (side === 'secondary') return texts;
  return texts.map((text, i) => (table.columns[table.key?.[i] ?? -1] as SharedColumn).toPrimary(text));
}

/** The journal's name of a row, from the primary's texts of its key. */
export function primaryRowKey(table: RecoveryTable, key: readonly string[]): string {
  const texts = key.map((text, i) => table.columns[table.key?.[i] ?? -1]?.toSecondary?.(text) ?? text);
  return rowKeyOf(table, texts);
}

export function sideColumns(table: RecoveryTable, side: Side): TargetColumn[] {
  return table.columns.map((column) => column[side]);
}

export function keyColumns(table: RecoveryTable, side: Side): TargetColumn[] {
  return (table.key ?? []).map((i) => (table.columns[i] as SharedColumn)[side]);
}

/** SQL text and array literals for `unnest`, numbered from `from`. */
export function unnestKeys(columns: readonly TargetColumn[], from: number): { parameters: string; casts: string[] } {
  return {
    parameters: columns.map((column, i) => `$${i + from}::${column.arrayType}[]`).join(', '),
    casts: columns.map((column, i) =>
      column.arrayType === 'text' && column.sqlType !== 'text' ? `u.c${i}::${column.sqlType}` : `u.c${i}`,
    ),
  };
}

/** Rows that are there, by the row keys that were given. */
export async function readRows(
  session: TargetSession,
  table: RecoveryTable,
  side: Side,
  rowKeys: readonly string[],
  options: ReadOptions = {},
): Promise<Map<string, StoredRow>> {
  const found = new Map<string, StoredRow>();
  if (rowKeys.length === 0) return found;
  const key = keyColumns(table, side);
  const { casts, parameters } = unnestKeys(key, 2);
  const fields = key.map((_, i) => `c${i}`).join(', ');
  const match = key.map((column, i) => `r.${quoteIdent(column.name)} = s.k${i}`).join(' AND ');
  const values = options.values
    ? table.columns.map((column, i) => `, r.${quoteIdent(column.name)} AS v${i}`).join('')
    : '';
  const version = options.version ? ', r.crdb_internal_mvcc_timestamp::text AS ts' : '';
  const text =
    `SELECT s.i AS id, ${rowHash(table.canonical, side)} AS h${values}${version} FROM (SELECT u.i, ${casts.map((cast, i) => `${cast} AS k${i}`).join(', ')} ` +
    `FROM unnest($1::int8[], ${parameters}) AS u(i, ${fields})) AS s ${options.lookup ? 'INNER LOOKUP JOIN' : 'JOIN'} ${quoteTable(table.schema, table.name)} AS r ON ${match}` +
    (options.lock ? ' FOR UPDATE OF r' : '');
  const keys = rowKeys.map((rowKey) => parseKey(table, side, rowKey));
  const { rows } = await session.run({
    text,
    values: [
      `{${rowKeys.map((_, i) => i).join(',')}}`,
      ...key.map((column, i) => arrayLiteral(keys, i, column.encoding)),
    ],
  });
  for (const row of rows) {
    found.set(rowKeys[Number(row.id)] as string, {
      hash: row.h ?? '',
      version: row.ts ?? null,
      values: options.values ? table.columns.map((_, i) => row[`v${i}`] ?? null) : [],
    });
  }
  return found;
}

/** The row as conflicts keep it: column to text. Null for a row that is not there. */
export function versionJson(table: RecoveryTable, row: StoredRow | undefined): string | null {
  if (!row) return null;
  return JSON.stringify(Object.fromEntries(table.columns.map(({ name }, i) => [name, row.values[i] ?? null])));
}

export function updatedAt(table: RecoveryTable, row: StoredRow | undefined): bigint | null {
  if (!row || table.updatedAt === null) return null;
  return updatedAtOf((table.columns[table.updatedAt] as SharedColumn).typeName, row.values[table.updatedAt]);
}

/** The primary's texts as the secondary takes them. */
export function toSecondary(table: RecoveryTable, values: readonly (string | null)[]): (string | null)[] {
  return values.map((text, i) => {
    const convert = (table.columns[i] as SharedColumn).toSecondary;
    return text === null || !convert ? text : convert(text);
  });
}

/** The secondary's texts as the primary takes them. */
export function toPrimary(table: RecoveryTable, values: readonly (string | null)[]): (string | null)[] {
  return values.map((text, i) => (text === null ? null : (table.columns[i] as SharedColumn).toPrimary(text)));
}
