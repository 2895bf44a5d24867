/** Keys and `updated_at` of the rows that the primary has changed lately, a page at a time, in the order of both. */
import type { ClientBase } from 'pg';
import { quoteIdent, quoteTable } from '../core/ident.js';
import type { Key } from '../snapshot/chunk-reader.js';
import { ROW_ALIAS } from './canonical.js';
import type { ComparedTable, UpdatedAt } from './compared-table.js';

export interface ChangedRow {
  readonly key: Key;
  /** As the server prints it, to go on from; and its canonical text. */
  readonly updatedAt: string;
  readonly canonical: string;
}

/** The clock and the oldest transaction, of which our own readers are none. Those of other roles may be hidden from us. */
const TIMES_SQL = `
SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::int8::text AS now,
       floor(extract(epoch FROM least(
         (SELECT min(xact_start) FROM pg_stat_activity
          WHERE datname = current_database() AND backend_type = 'client backend' AND application_name NOT LIKE 'db-redundancy%'),
         (SELECT min(prepared) FROM pg_prepared_xacts WHERE database = current_database()))) * 1000)::int8::text AS oldest`;

export async function primaryTimes(client: ClientBase): Promise<{ nowMs: number; oldestMs: number | null }> {
  const { rows } = await client.query<{ now: string; oldest: string | null }>(TIMES_SQL);
  const oldest = rows[0]?.oldest ?? null;
  return { nowMs: Number(rows[0]?.now), oldestMs: oldest === null ? null : Number(oldest) };
}

/** Our session's own zone is UTC; what `timestamp` columns hold is local time by the server's, the role's or the database's default. */
const LOCAL = `AT TIME ZONE (SELECT reset_val FROM pg_settings WHERE name = 'TimeZone')`;

/**
 * Rows with `updated_at` from `fromMs` on that come after `after`, in the order of (updated_at, key): rows that share a
 * time are told apart by their keys, so that no page ends in the middle of them.
 */
export async function changedRows(
  client: ClientBase,
  table: ComparedTable,
  { column, type }: UpdatedAt,
  fromMs: number,
  after: ChangedRow | null,
  limit: number,
): Promise<ChangedRow[]> {
  const { key, name, schema } = table.load.chunk;
  const at = `${ROW_ALIAS}.${quoteIdent(column.name)}`;
  const keys = key.map((each) => `${ROW_ALIAS}.${quoteIdent(each.name)}`).join(', ');
  const values: string[] = [String(fromMs)];
  const from = `to_timestamp($1::float8 / 1000)`;
  const conditions = [`${at} >= ${type === 'timestamp' ? `(${from} ${LOCAL})` : from}`];
  if (after) {
    const bounds = [
      `$${values.push(after.updatedAt)}::text::${type}`,
      ...key.map((each, i) => `$${values.push(after.key[i] as string)}::text::${each.type}`),
    ];
    conditions.push(`(${at}, ${keys}) > (${bounds.join(', ')})`);
  }
  const { rows } = await client.query<string[]>({
    text: `SELECT ${at}, ${column.primary}, ${keys} FROM ${quoteTable(schema, name)} AS ${ROW_ALIAS} WHERE ${conditions.join(' AND ')} ORDER BY ${at}, ${keys} LIMIT ${limit}`,
    values,
    rowMode: 'array',
  });
  return rows.map(([updatedAt = '', canonical = '', ...texts]) => ({ updatedAt, canonical, key: texts }));
}
