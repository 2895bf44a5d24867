/**
 * Finds the rows of a table that differ between the sides, whole: hashes of ranges first, then the rows of the ranges
 * that differ. The ranges are of the key's hash, not of the key, because the sides do not order keys alike.
 */
import type { ClientConfig } from 'pg';
import type { DialectName } from '../apply/dialect.js';
import { quoteIdent, quoteLiteral, quoteTable } from '../core/ident.js';
import type { CanonicalColumn } from '../reconcile/canonical.js';
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
/** Ranges of keys alone may be so much smaller: their sums are cheap, and each that differs is read twice. */
const KEYS_FINER = 16;

/** Row keys of rows that differ, or are on one side only; up to 1,000 at a time. */
export async function* differingKeys(sides: CompareSides, table: RecoveryTable): AsyncGenerator<string[], void, void> {
  const digits = digitsFor(table.model.rowEstimate ?? 0);
  const key = table.key ?? [];
  const ranges: string[] = [];
  const sums = mergeJoin(
    streamRows(sides.primary, rangesSql(hashed(table, 'primary', table.canonical), 'postgres', digits), []),
    streamRows(sides.secondary, rangesSql(hashed(table, 'secondary', table.canonical), sides.dialect, digits), []),
    (a, b) => a?.n !== b?.n || a?.f !== b?.f || a?.s !== b?.s,
  );
  for await (const { left, right } of sums) ranges.push((left ?? right)?.h ?? '');
  if (ranges.length === 0) return;
  const given = [`{${ranges.map((range) => `"${range}"`).join(',')}}`];
  const rows = mergeJoin(
    streamRows(sides.primary, rowsSql(hashed(table, 'primary', table.canonical), key.length, digits), given),
    streamRows(sides.secondary, rowsSql(hashed(table, 'secondary', table.canonical), key.length, digits), given),
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

/**
 * Row keys of rows that were on a CockroachDB at a time (decimal HLC) and are not there now; up to 1,000 at a time. What
 * is compared is the set of keys, whatever became of the rows' values.
 */
export async function* goneKeys(
  secondary: ClientConfig,
  table: RecoveryTable,
  since: string,
  signal: AbortSignal,
): AsyncGenerator<string[], void, void> {
  const digits = digitsFor((table.model.rowEstimate ?? 0) * KEYS_FINER);
  const past = ` AS OF SYSTEM TIME ${quoteLiteral(since)}`;
  const keys = hashed(table, 'secondary', table.canonicalKey);
  const ranges: string[] = [];
  const sums = mergeJoin(
    streamRows(secondary, rangesSql(keys, 'cockroach', digits, past), [], signal),
    streamRows(secondary, rangesSql(keys, 'cockroach', digits), [], signal),
    (a, b) => a?.n !== b?.n || a?.f !== b?.f || a?.s !== b?.s,
  );
  for await (const { left, right } of sums) ranges.push((left ?? right)?.h ?? '');
  if (ranges.length === 0) return;
  const given = [`{${ranges.map((range) => `"${range}"`).join(',')}}`];
  const count = keyColumns(table, 'secondary').length;
  const rows = mergeJoin(
    streamRows(secondary, rowsSql(keys, count, digits, past), given, signal),
    streamRows(secondary, rowsSql(keys, count, digits), given, signal),
    (_, now) => now === null,
  );
  let batch: string[] = [];
  for await (const { left } of rows) {
    batch.push(rowKeyOf(table, textsOf(table, left as TextRow)));
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

function hashed(table: RecoveryTable, side: Side, columns: readonly CanonicalColumn[]): string {
  const keys = keyColumns(table, side).map((column, i) => `, r.${quoteIdent(column.name)} AS k${i}`);
  return `SELECT ${rowHash(table.canonicalKey, side)} AS h, ${rowHash(columns, side)} AS r${keys.join('')} FROM ${quoteTable(table.schema, table.name)} AS r OFFSET 0`;
}

/** @param at a clause behind FROM: of which time the rows are read */
function rangesSql(rows: string, server: DialectName, digits: number, at = ''): string {
  const sum = (from: number) => `sum(${HEX_NUMBER[server](`substr(x.r, ${from}, 15)`)})::text`;
  return `SELECT substr(x.h, 1, ${digits}) AS h, count(*)::text AS n, ${sum(1)} AS f, ${sum(16)} AS s FROM (${rows}) AS x${at} GROUP BY 1 ORDER BY 1`;
}

function rowsSql(rows: string, keys: number, digits: number, at = ''): string {
  const names = Array.from({ length: keys }, (_, i) => `, x.k${i}`);
  return `SELECT x.h, x.r${names.join('')} FROM (${rows}) AS x${at} WHERE substr(x.h, 1, ${digits}) = ANY ($1::text[]) ORDER BY x.h`;
}

function textsOf(table: RecoveryTable, row: TextRow): string[] {
  return (table.key ?? []).map((_, i) => row[`k${i}`] ?? '');
}
