/**
 * Reads pieces of a table on the primary: by key range in key order, or by a list of keys. Each read is one snapshot,
 * and says which transactions were running in it.
 */
import type { PoolClient } from 'pg';
import Cursor from 'pg-cursor';
import { arrayLiteral } from '../apply/array-literal.js';
import type { BinaryDecoder } from '../core/binary-values.js';
import type { Row } from '../core/change.js';
import { quoteIdent, quoteLiteral, quoteTable, type TableName } from '../core/ident.js';
import type { LineSource } from '../core/line-source.js';
import { sqlstateOf } from '../core/policy.js';
import { copyOut } from '../source/copy-out-query.js';
import { parseSnapshot, type SourceSnapshot } from '../source/pg-snapshot.js';
import { lockForReading } from '../source/rewritten.js';
import { copiedLines } from './copied-lines.js';

/** What a reader needs to know of the table on the primary. */
export interface ChunkTable {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  /** Columns to read, in the order of the rows that come back. */
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  /** Key columns with their types, in key order. */
  readonly key: readonly { readonly name: string; readonly type: string }[];
  /** Where its rows can go to the secondary in binary. */
  readonly binary?: CopiedForm | null;
}

/** Holds for as long as the columns have these types (pg_type.oid). */
export interface CopiedForm {
  readonly decoders: readonly BinaryDecoder[];
  readonly types: readonly number[];
}

export interface ChunkLimits {
  readonly rows: number;
  /** Of text. A page may go beyond it, by as much as its rows are wider than those before it. */
  readonly bytes: number;
  /** Rows fetched at once, at most. */
  readonly fetch: number;
}

export interface Chunk {
  readonly rows: readonly Row[];
  /** Rows that were not decoded; a chunk has these or those. */
  readonly lines?: readonly LineSource[];
  readonly snapshot: SourceSnapshot;
  /** False when the limits ended the read before the range did. */
  readonly complete: boolean;
  /** Keys that were asked for and that no row has; none for a range. */
  readonly gone: readonly GoneKey[];
}

export type Key = readonly string[];

export interface GoneKey {
  readonly asked: Key;
  /** The same as the primary prints it, in whatever form it was asked for: the stream's own form. */
  readonly own: Key;
}

/** Rows with `after` < key <= `upTo`, in key order, until a limit is reached. */
export async function readRange(
  client: PoolClient,
  table: ChunkTable,
  after: Key | null,
  upTo: Key | null,
  limits: ChunkLimits,
): Promise<Chunk> {
  const values: string[] = [];
  const text = rangeSql(table, after, upTo, limits.rows, (value) => `$${values.push(value)}::text`);
  return inSnapshot(client, table, async (snapshot) => {
    const { rows, ended } = await fetchUpTo(client, text, values, limits);
    return { rows, snapshot, complete: ended && rows.length < limits.rows, gone: [] };
  });
}

/**
 * The same as lines of COPY, of which no value is decoded. The server sends as many rows as it was asked for: those beyond
 * the limit of bytes are passed over, so that whoever asks had better know how wide rows are.
 */
export async function readLines(
  client: PoolClient,
  table: ChunkTable,
  after: Key | null,
  upTo: Key | null,
  limits: Pick<ChunkLimits, 'rows' | 'bytes'>,
): Promise<Chunk> {
  const text = rangeSql(table, after, upTo, limits.rows, quoteLiteral);
  return inSnapshot(client, table, async (snapshot, types) => {
    const lines: LineSource[] = [];
    const { binary } = table;
    // Bytes of another type would be taken for those of this one, without a word.
    const stands = binary && table.columns.every(({ name }, i) => types[name] === binary.types[i]);
    const copied = copiedLines(stands ? binary.decoders : null);
    let [sent, bytes] = [0, 0];
    await copyOut(client, `COPY (${text}) TO STDOUT${copied.format}`, (message) => {
      if (copied.isEnd(message)) return;
      sent += 1;
      if (bytes >= limits.bytes) return;
      const line = copied.take(message);
      bytes += line.end - line.start;
      lines.push(line);
    });
    return { rows: [], lines, snapshot, complete: sent < limits.rows && lines.length === sent, gone: [] };
  });
}

/** @param literal a value as the statement may name it */
function rangeSql(
  table: ChunkTable,
  after: Key | null,
  upTo: Key | null,
  rows: number,
  literal: (value: string) => string,
): string {
  const bound = (key: Key) => key.map((value, i) => `${literal(value)}::${table.key[i]?.type}`).join(', ');
  const names = table.key.map((column) => quoteIdent(column.name)).join(', ');
  const conditions: string[] = [];
  if (after) conditions.push(`(${names}) > (${bound(after)})`);
  if (upTo) conditions.push(`(${names}) <= (${bound(upTo)})`);
  const where = conditions.length > 0 ? ` WHERE ${conditions.join(' AND ')}` : '';
  return `SELECT ${columnList(table)} FROM ${quoteTable(table.schema, table.name)}${where} ORDER BY ${names} LIMIT ${rows}`;
}

/** The rows that exist of the given keys, and the keys that do not. The primary compares them, as values. */
export async function readKeys(client: PoolClient, table: ChunkTable, keys: readonly Key[]): Promise<Chunk> {
  return readByKey(client, table, keys, table.columns);
}

/** Of the given keys, those that no row has; rows that exist stay where they are. */
export async function readGone(client: PoolClient, table: ChunkTable, keys: readonly Key[]): Promise<Chunk> {
  const read = async (some: readonly Key[]) => ({ ...(await readByKey(client, table, some, [])), rows: [] });
  try {
    return await read(keys);
  } catch (error) {
    if (sqlstateOf(error) !== INVALID_TEXT) throw error;
    await client.query('ROLLBACK');
  }
  // Keys of the secondary that are no values on the primary, as those with a label that only the secondary has.
  const values: Key[] = [];
  const others: GoneKey[] = [];
  for (const key of keys) {
    if (await areValues(client, table, key)) values.push(key);
    else others.push({ asked: key, own: key });
  }
  const chunk = await read(values);
  return { ...chunk, gone: [...chunk.gone, ...others] };
}

async function areValues(client: PoolClient, table: ChunkTable, key: Key): Promise<boolean> {
  const casts = table.key.map((column, i) => `$${i + 1}::text::${column.type}`).join(', ');
  try {
    await client.query({ text: `SELECT ${casts}`, values: [...key] });
    return true;
  } catch (error) {
    if (sqlstateOf(error) === INVALID_TEXT) return false;
    throw error;
  }
}

async function readByKey(
  client: PoolClient,
  table: ChunkTable,
  keys: readonly Key[],
  columns: ChunkTable['columns'],
): Promise<Chunk> {
  const width = table.key.length;
  const parameters = table.key.map((_, i) => `$${i + 2}::text[]`).join(', ');
  const fields = table.key.map((_, i) => `c${i}`).join(', ');
  const casts = table.key.map((column, i) => `u.c${i}::${column.type} AS k${i}`).join(', ');
  const match = table.key.map((column, i) => `t.${quoteIdent(column.name)} = s.k${i}`).join(' AND ');
  const own = table.key.map((_, i) => `, s.k${i}`).join('');
  const list = columns.map((column) => `, t.${quoteIdent(column.name)}`).join('');
  const text =
    `SELECT s.i, t.${quoteIdent(table.key[0]?.name ?? '')} IS NULL${own}${list} ` +
    `FROM (SELECT u.i, ${casts} FROM unnest($1::int8[], ${parameters}) AS u(i, ${fields})) AS s ` +
    `LEFT JOIN ${quoteTable(table.schema, table.name)} AS t ON ${match}`;
  const ids = `{${keys.map((_, i) => i).join(',')}}`;
  const values = [ids, ...table.key.map((_, i) => arrayLiteral(keys, i, 'quoted'))];
  return inSnapshot(client, table, async (snapshot) => {
    const answer = await client.query<string[]>({ text, values, rowMode: 'array' });
    const rows: Row[] = [];
    const gone: GoneKey[] = [];
    for (const [id, isGone, ...rest] of answer.rows) {
      if (isGone !== 't') rows.push(rest.slice(width));
      else gone.push({ asked: keys[Number(id)] as Key, own: rest.slice(0, width) });
    }
    return { rows, snapshot, complete: true, gone };
  });
}

const SNAPSHOT_SQL = `SELECT pg_current_snapshot()::text AS snapshot,
  (SELECT json_object_agg(attname, atttypid::int8) FROM pg_catalog.pg_attribute
   WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped)::text AS types`;

/**
 * One read-only snapshot, in which `table` may be read; `work` gets what was running when it was taken, and the types of
 * the table's columns (pg_type.oid), which are those for as long as it works.
 */
export async function inSnapshot<T>(
  client: PoolClient,
  table: TableName,
  work: (snapshot: SourceSnapshot, types: Readonly<Record<string, number>>) => Promise<T>,
): Promise<T> {
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  await client.query(lockForReading(table));
  const { rows } = await client.query<{ snapshot: string; types: string | null }>(SNAPSHOT_SQL, [
    quoteTable(table.schema, table.name),
  ]);
  const result = await work(parseSnapshot(rows[0]?.snapshot ?? ''), JSON.parse(rows[0]?.types ?? '{}'));
  await client.query('COMMIT');
  return result;
}

export function columnList(table: ChunkTable): string {
  return table.columns.map((column) => quoteIdent(column.name)).join(', ');
}

/** invalid_text_representation */
const INVALID_TEXT = '22P02';
const FIRST_PAGE = 8;
const GROWTH = 4;

/**
 * Through a cursor, so that rows of any size are bounded by bytes and not only by number. How wide rows are is seen page
 * by page: a page has no more rows than, like those before it, fit into what is left.
 */
async function fetchUpTo(
  client: PoolClient,
  text: string,
  values: string[],
  limits: ChunkLimits,
): Promise<{ rows: Row[]; ended: boolean }> {
  const cursor = client.query(new Cursor<Row>(text, values, { rowMode: 'array' }));
  const rows: Row[] = [];
  let bytes = 0;
  let size = FIRST_PAGE;
  try {
    for (;;) {
      const page = await cursor.read(Math.min(size, limits.fetch, limits.rows - rows.length));
      for (const row of page) {
        rows.push(row);
        for (const value of row) bytes += value?.length ?? 0;
      }
      if (page.length === 0) return { rows, ended: true };
      if (rows.length >= limits.rows || bytes >= limits.bytes) return { rows, ended: false };
      const fitting = Math.ceil(((limits.bytes - bytes) * rows.length) / Math.max(bytes, 1));
      size = Math.min(size * GROWTH, fitting);
    }
  } finally {
    await cursor.close();
  }
}
