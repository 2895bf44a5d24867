/**
 * A row as one md5, and a range of rows as their number and two sums of parts of their hashes: the order in which a server
 * reads them does not matter, and duplicates count. One scan a range.
 */

import type { DialectName } from '../apply/dialect.js';
import { quoteTable, type TableName } from '../core/ident.js';
import { type CanonicalColumn, ROW_ALIAS } from './canonical.js';

export type Side = 'primary' | 'secondary';

/** SQL over `<table> AS r`: 32 hexadecimal digits, the same on both sides for rows that are equal column by column. */
export function rowHash(columns: readonly CanonicalColumn[], side: Side): string {
  const pieces = columns.map((column) => (side === 'primary' ? column.primaryPiece : column.secondaryPiece));
  // As UTF-8, whatever a database is encoded in.
  return `md5(convert_to(${pieces.length > 0 ? pieces.map((each) => `(${each})`).join(' || ') : "''"}, 'UTF8'))`;
}

export interface RangeHash {
  readonly rows: bigint;
  /** Sums of the first and of the second 60 bits of the rows' hashes. */
  readonly first: bigint;
  readonly second: bigint;
}

/** How the server that runs the statement makes a number of hexadecimal digits. */
export const HEX_NUMBER: Readonly<Record<DialectName, (hex: string) => string>> = {
  postgres: (hex) => `('x' || ${hex})::bit(60)::int8`,
  cockroach: (hex) => `('0x' || ${hex})::INT8`,
};

/**
 * `SELECT rows, first, second` as text. `where`: a condition over `r`, or null for all rows.
 * @param server the dialect of the side that runs it; the primary is always `postgres`
 */
export function rangeHashSql(
  table: TableName,
  columns: readonly CanonicalColumn[],
  side: Side,
  server: DialectName,
  where: string | null,
): string {
  const sum = (from: number) => `coalesce(sum(${HEX_NUMBER[server](`substr(h, ${from}, 15)`)}), 0)::text`;
  const rows = `SELECT ${rowHash(columns, side)} AS h FROM ${quoteTable(table.schema, table.name)} AS ${ROW_ALIAS}`;
  // OFFSET 0 keeps PostgreSQL from working out each hash twice.
  return `SELECT count(*)::text AS rows, ${sum(1)} AS first, ${sum(16)} AS second FROM (${rows}${where === null ? '' : ` WHERE ${where}`} OFFSET 0) AS hashed`;
}

/** A row of `rangeHashSql`. */
export function parseRangeHash(row: {
  rows?: string | null;
  first?: string | null;
  second?: string | null;
}): RangeHash {
  return { rows: BigInt(row.rows ?? 0), first: BigInt(row.first ?? 0), second: BigInt(row.second ?? 0) };
}

export function sameRange(a: RangeHash, b: RangeHash): boolean {
  return a.rows === b.rows && a.first === b.first && a.second === b.second;
}
