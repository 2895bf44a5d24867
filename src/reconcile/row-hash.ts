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

/**
 * How rows become numbers. `md5`: over canonical texts, on any two databases. `row`: PostgreSQL's own hash of the printed
 * row, at a third of the cost, where both servers are PostgreSQL and a probe has shown that they hash alike.
 */
export type Hashing = 'md5' | 'row';

export interface HashedTable {
  readonly table: TableName;
  readonly columns: readonly CanonicalColumn[];
  readonly side: Side;
  /** The dialect of the side that runs the statement; the primary's is always `postgres`. */
  readonly server: DialectName;
  readonly hashing: Hashing;
}

export interface RangeHash {
  readonly rows: bigint;
  /** Sums of the first and of the second 60 bits of the rows' hashes; with `row`, of its 64 bits and of nothing. */
  readonly first: bigint;
  readonly second: bigint;
}

/** How the server that runs the statement makes a number of hexadecimal digits. */
export const HEX_NUMBER: Readonly<Record<DialectName, (hex: string) => string>> = {
  postgres: (hex) => `('x' || ${hex})::bit(60)::int8`,
  cockroach: (hex) => `('0x' || ${hex})::INT8`,
};

function rowField(columns: readonly CanonicalColumn[], side: Side): string {
  const fields = columns.map((column) => (side === 'primary' ? column.primaryField : column.secondaryField));
  return `hashtextextended(ROW(${fields.join(', ')})::text, 0)`;
}

/** SQL over `<table> AS r`: a text that is the same on both sides for rows that are equal column by column. */
export function rowMark(columns: readonly CanonicalColumn[], side: Side, hashing: Hashing): string {
  return hashing === 'row' ? `${rowField(columns, side)}::text` : rowHash(columns, side);
}

/**
 * `SELECT rows, first, second` as text. `where`: a condition over `r`, or null for all rows.
 * One expression a row and no subquery with `row`, so that the server may use several processes.
 */
export function rangeHashSql({ table, columns, side, server, hashing }: HashedTable, where: string | null): string {
  const from = `${quoteTable(table.schema, table.name)} AS ${ROW_ALIAS}${where === null ? '' : ` WHERE ${where}`}`;
  if (hashing === 'row')
    return `SELECT count(*)::text AS rows, coalesce(sum(${rowField(columns, side)}), 0)::text AS first, '0' AS second FROM ${from}`;
  const sum = (start: number) => `coalesce(sum(${HEX_NUMBER[server](`substr(h, ${start}, 15)`)}), 0)::text`;
  // OFFSET 0 keeps PostgreSQL from working out each hash twice.
  return `SELECT count(*)::text AS rows, ${sum(1)} AS first, ${sum(16)} AS second FROM (SELECT ${rowHash(columns, side)} AS h FROM ${from} OFFSET 0) AS hashed`;
}

/**
 * A subquery of one line a row: its two numbers as v and w, and `key` (expressions over `r`) as k0, k1 and so on. The sums
 * of `rangeHashSql` are the sums of these.
 */
export function numberedRowsSql(hashed: HashedTable, key: readonly string[]): string {
  const { table, columns, side, server, hashing } = hashed;
  const from = `${quoteTable(table.schema, table.name)} AS ${ROW_ALIAS}`;
  const keys = key.map((expression, i) => `, ${expression} AS k${i}`).join('');
  if (hashing === 'row') return `SELECT ${rowField(columns, side)} AS v, 0::int8 AS w${keys} FROM ${from} OFFSET 0`;
  const number = (start: number) => HEX_NUMBER[server](`substr(h, ${start}, 15)`);
  const names = key.map((_, i) => `, k${i}`).join('');
  return `SELECT ${number(1)} AS v, ${number(16)} AS w${names} FROM (SELECT ${rowHash(columns, side)} AS h${keys} FROM ${from} OFFSET 0) AS hashed OFFSET 0`;
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
