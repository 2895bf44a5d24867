/**
 * Finds the rows of a table that differ between the sides, whole: hashes of ranges first, then the rows of the ranges
 * that differ. The ranges are of the key's hash, not of the key, because the sides do not order keys alike.
 */
import type { ClientConfig } from 'pg';
import type { DialectName } from '../apply/dialect.js';
import { quoteIdent, quoteTable } from '../core/ident.js';
import { HEX_NUMBER, rowHash, type Side } from '../reconcile/row-hash.js';
import { rowKeyOf } from './key-shape.js';
import { keyColumns, primaryRowKey } from './row-io.js';
import { mergeJoin, streamRows, type TextRow } from './row-stream.js';
import type { RecoveryTable } from './tables.js';

export interface CompareSides {
  readonly primary: ClientConfig;
  readonly secondary: ClientConfig;
  readonly dialect: DialectName;
}

/** A range holds about so many rows; 65,536 ranges at most. */
const RANGE_ROWS = 500;
const MOST_DIGITS = 4;
const BATCH = 1000;

/** Row keys of rows that differ, or are on one side only; up to 1,000 at a time. */
export async function* differingKeys(sides: CompareSides, table: RecoveryTable): AsyncGenerator<string[], void, void> {
  const digits = digitsFor(table.model.rowEstimate ?? 0);
  const ranges: string[] = [];
  const sums = mergeJoin(
    streamRows(sides.primary, rangesSql(table, 'primary', 'postgres', digits), []),
    streamRows(sides.secondary, rangesSql(table, 'secondary', sides.dialect, digits), []),
    (a, b) => a?.n !== b?.n || a?.f !== b?.f || a?.s !== b?.s,
  );
  for await (const { left, right } of sums) ranges.push((left ?? right)?.h ?? '');
  if (ranges.length === 0) return;
  const given = [`{${ranges.map((range) => `"${range}"`).join(',')}}`];
  const rows = mergeJoin(
    streamRows(sides.primary, rowsSql(table, 'primary', digits), given),
    streamRows(sides.secondary, rowsSql(table, 'secondary', digits), given),
    (a, b) => a?.r !== b?.r,
  );
  let batch: string[] = [];
  for await (const { left, right } of rows) {
    batch.push(right ? rowKeyOf(table, textsOf(table, right)) : primaryRowKey(table, textsOf(table, left as TextRow)));
    if (batch.length < BATCH) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

function digitsFor(rows: number): number {
  for (let digits = 0; digits < MOST_DIGITS; digits++) if (rows / 16 ** digits <= RANGE_ROWS) return digits;
  return MOST_DIGITS;
}

function hashed(table: RecoveryTable, side: Side): string {
  const keys = keyColumns(table, side).map((column, i) => `, r.${quoteIdent(column.name)} AS k${i}`);
  return `SELECT ${rowHash(table.canonicalKey, side)} AS h, ${rowHash(table.canonical, side)} AS r${keys.join('')} FROM ${quoteTable(table.schema, table.name)} AS r OFFSET 0`;
}

function rangesSql(table: RecoveryTable, side: Side, server: DialectName, digits: number): string {
  const sum = (from: number) => `sum(${HEX_NUMBER[server](`substr(x.r, ${from}, 15)`)})::text`;
  return `SELECT substr(x.h, 1, ${digits}) AS h, count(*)::text AS n, ${sum(1)} AS f, ${sum(16)} AS s FROM (${hashed(table, side)}) AS x GROUP BY 1 ORDER BY 1`;
}

function rowsSql(table: RecoveryTable, side: Side, digits: number): string {
  const keys = keyColumns(table, side).map((_, i) => `, x.k${i}`);
  return `SELECT x.h, x.r${keys.join('')} FROM (${hashed(table, side)}) AS x WHERE substr(x.h, 1, ${digits}) = ANY ($1::text[]) ORDER BY x.h`;
}

function textsOf(table: RecoveryTable, row: TextRow): string[] {
  return (table.key ?? []).map((_, i) => row[`k${i}`] ?? '');
}
