/** Cuts a large table into key ranges that can be loaded in parallel, from a sample: bounds need not be exact. */
import type { PoolClient } from 'pg';
import { quoteIdent, quoteTable } from '../core/ident.js';
import type { ChunkTable, Key } from './chunk-reader.js';

const SAMPLE_ROWS = 2000;
/** TABLESAMPLE SYSTEM compares a 32-bit hash of each block: of less than this it takes no block at all. */
const LEAST_PERCENT = 100 / 2 ** 32;

/**
 * Upper bounds of the ranges in key order. The last one is the last key that is there: what comes behind it later is in
 * the stream, and a load without an end would follow an application that appends faster than it reads. Null where there
 * is no row. One range for a small table.
 * @param rowEstimate the planner's; null when it has none
 */
export async function keyRanges(
  client: PoolClient,
  table: ChunkTable,
  rowEstimate: number | null,
  rowsPerRange: number,
  most: number,
): Promise<(Key | null)[]> {
  const wanted = Math.min(most, Math.floor((rowEstimate ?? 0) / rowsPerRange));
  const keys = table.key.map((column) => quoteIdent(column.name));
  const end = await client.query<string[]>({
    text: `SELECT ${keys.join(', ')} FROM ${quoteTable(table.schema, table.name)} ORDER BY ${keys.map((key) => `${key} DESC`).join(', ')} LIMIT 1`,
    rowMode: 'array',
  });
  const last = end.rows[0] ?? null;
  if (wanted < 2 || rowEstimate === null || last === null) return [last];
  const names = keys.join(', ');
  const percent = Math.min(100, Math.max(LEAST_PERCENT, (SAMPLE_ROWS / rowEstimate) * 100));
  const { rows } = await client.query<string[]>({
    text: `SELECT ${names} FROM ${quoteTable(table.schema, table.name)} TABLESAMPLE SYSTEM (${percent}) ORDER BY ${names}`,
    rowMode: 'array',
  });
  const bounds: (Key | null)[] = [];
  for (let i = 1; i < wanted; i++) {
    const key = rows[Math.floor((i * rows.length) / wanted)];
    const before = bounds.at(-1);
    if (key && !before?.every((value, j) => value === key[j])) bounds.push(key);
  }
  bounds.push(last);
  return bounds;
}
