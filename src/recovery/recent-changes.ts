/**
 * Which rows of a fenced CockroachDB changed since a position, found by reading instead of waiting for the changefeed,
 * whose resolved mark is seconds behind the present. Nobody writes there any more, so the present can be read at leisure:
 *
 * - a row that was written since has a version that is younger than the position, and every row says how old it is;
 * - a row that was deleted since was there at the position and is not there now. Counting tells whether there are such
 *   rows; which ones, the sets of keys of then and now, by ranges of the key's hash.
 *
 * The present is read by ordinary reads, which see whatever was acknowledged before them. docs/decisions/0008-recovery.md
 * says why nothing is missing.
 */
import type { ClientConfig } from 'pg';
import { arrayLiteral } from '../apply/array-literal.js';
import type { TargetSession } from '../apply/target-session.js';
import { formatHlc, hlcToMs, parseHlc } from '../catchup/hlc.js';
import { quoteIdent, quoteLiteral, quoteTable } from '../core/ident.js';
import { goneKeys } from './compare.js';
import { connectWriter, writerName } from './connections.js';
import type { TouchedKey } from './journal.js';
import { rowKeyOf } from './key-shape.js';
import type { RecoveryOptions } from './options.js';
import { keyColumns, parseKey, unnestKeys } from './row-io.js';
import { streamRows, type TextRow } from './row-stream.js';
import type { RecoveryTable } from './tables.js';

export interface RecentOptions {
  readonly tables: readonly RecoveryTable[];
  /** Decimal HLC: what was committed up to it is known. */
  readonly since: string;
  readonly found: (keys: readonly TouchedKey[]) => Promise<unknown>;
  readonly signal: AbortSignal;
}

interface RecentParts extends RecentOptions {
  readonly secondary: ClientConfig;
  /** Reads of the position's moment and of the present, at the same time. */
  readonly past: TargetSession;
  readonly present: TargetSession;
}

const BATCH = 1000;
/** Beyond it, looking up which of the written rows are new costs more than comparing the keys. */
const MOST_LOOKED_UP = 50_000;

/**
 * Resolves when every row that was changed since has been handed to `found`; tables without a key, and those that have
 * other columns by now, are not told row by row: the former as a whole, the latter by a rejection.
 */
export async function readRecent(
  { secondary, stream }: Pick<RecoveryOptions, 'secondary' | 'stream'>,
  options: RecentOptions,
): Promise<void> {
  const { signal } = options;
  const sessions = await Promise.all([1, 2].map(() => connectWriter(secondary, writerName(stream))));
  const [past, present] = sessions as [TargetSession, TargetSession];
  const end = () => {
    for (const session of sessions) session.destroy();
  };
  signal.addEventListener('abort', end, { once: true });
  try {
    signal.throwIfAborted();
    await findRecent({ ...options, secondary, past, present });
  } finally {
    signal.removeEventListener('abort', end);
    end();
  }
}

async function findRecent(parts: RecentParts): Promise<void> {
  const { past, present, tables } = parts;
  const since = formatHlc(parseHlc(parts.since));
  await past.exec('BEGIN');
  await past.exec(`SET TRANSACTION AS OF SYSTEM TIME ${quoteLiteral(since)}`);
  const [shapes, shapesNow] = await Promise.all([columnsOf(past, tables), columnsOf(present, tables)]);
  if (shapes !== shapesNow) throw new Error('Columns have changed since then.');
  const [then, now] = await Promise.all([counts(past, tables), counts(present, tables)]);
  for (const [i, table] of tables.entries()) {
    parts.signal.throwIfAborted();
    const [before, after] = [then[i] ?? 0, now[i] ?? 0];
    if (table.key === null) {
      if (before !== after || (await isWritten(present, table, since)))
        await parts.found([{ table, rowKey: '*changed', at: since, atMs: hlcToMs(parseHlc(since)) }]);
      continue;
    }
    const born = await written(parts, table, since);
    if (born === null || before + born !== after) await gone(parts, table, since);
  }
}

/** A column that was added or renamed since is not known here: the changefeed tells of it, and the catalogs are read anew. */
async function columnsOf(session: TargetSession, tables: readonly RecoveryTable[]): Promise<string> {
  const names = tables.map(({ name, schema }) => [schema, name]);
  const { rows } = await session.run({
    text: `SELECT n.nspname AS s, c.relname AS t, a.attname AS c, a.atttypid::int8 AS y, a.atttypmod::int8 AS m
      FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
      WHERE n.nspname = ANY ($1::text[]) AND c.relname = ANY ($2::text[]) AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
      ORDER BY 1, 2, 3`,
    values: [arrayLiteral(names, 0, 'quoted'), arrayLiteral(names, 1, 'quoted')],
  });
  return JSON.stringify(rows.map((row) => [row.s, row.t, row.c, row.y, row.m]));
}

/** @returns how many of the written rows were not there at the position; null when that is not worth asking */
async function written(parts: RecentParts, table: RecoveryTable, since: string): Promise<number | null> {
  let total = 0;
  let there = 0;
  let batch: TouchedKey[] = [];
  const flush = async () => {
    parts.signal.throwIfAborted();
    total += batch.length;
    const asked = total <= MOST_LOOKED_UP;
    const [known] = await Promise.all([asked ? countOf(parts.past, table, batch) : 0, parts.found(batch)]);
    there += known;
    batch = [];
  };
  for await (const row of streamRows(parts.secondary, writtenSql(table, since), [], parts.signal)) {
    const at = formatHlc(parseHlc(row.at ?? ''));
    batch.push({ table, rowKey: rowKeyOf(table, textsOf(table, row)), at, atMs: hlcToMs(parseHlc(at)) });
    if (batch.length === BATCH) await flush();
  }
  if (batch.length > 0) await flush();
  return total <= MOST_LOOKED_UP ? total - there : null;
}

async function gone(parts: RecentParts, table: RecoveryTable, since: string): Promise<void> {
  const atMs = hlcToMs(parseHlc(since));
  for await (const keys of goneKeys(parts.secondary, table, since, parts.signal)) {
    parts.signal.throwIfAborted();
    await parts.found(keys.map((rowKey) => ({ table, rowKey, at: since, atMs })));
  }
}

/** All tables in one statement: one way to a database that may be a continent away. */
async function counts(session: TargetSession, tables: readonly RecoveryTable[]): Promise<number[]> {
  if (tables.length === 0) return [];
  const each = tables.map(
    (table, i) => `SELECT ${i}::int8 AS i, count(*)::text AS n FROM ${quoteTable(table.schema, table.name)}`,
  );
  const { rows } = await session.run({ text: each.join(' UNION ALL '), values: [] });
  const found: number[] = [];
  for (const row of rows) found[Number(row.i)] = Number(row.n);
  return found;
}

/** Only the primary index says how old a row is; an entry of another one may be older than its row. */
function writtenFrom(table: RecoveryTable, since: string): string {
  return `FROM ${quoteTable(table.schema, table.name)} AS r WHERE r.crdb_internal_mvcc_timestamp > ${since}::decimal`;
}

function writtenSql(table: RecoveryTable, since: string): string {
  const keys = keyColumns(table, 'secondary').map((column, i) => `, r.${quoteIdent(column.name)} AS k${i}`);
  return `SELECT r.crdb_internal_mvcc_timestamp::text AS at${keys.join('')} ${writtenFrom(table, since)}`;
}

async function isWritten(session: TargetSession, table: RecoveryTable, since: string): Promise<boolean> {
  const { rows } = await session.run({ text: `SELECT 1 AS there ${writtenFrom(table, since)} LIMIT 1`, values: [] });
  return rows.length > 0;
}

async function countOf(session: TargetSession, table: RecoveryTable, keys: readonly TouchedKey[]): Promise<number> {
  const columns = keyColumns(table, 'secondary');
  const { casts, parameters } = unnestKeys(columns, 1);
  const names = columns.map((_, i) => `c${i}`).join(', ');
  const match = columns.map((column, i) => `r.${quoteIdent(column.name)} = s.k${i}`).join(' AND ');
  const texts = keys.map(({ rowKey }) => parseKey(table, 'secondary', rowKey));
  const { rows } = await session.run({
    text:
      `SELECT count(*)::text AS n FROM (SELECT ${casts.map((cast, i) => `${cast} AS k${i}`).join(', ')} ` +
      `FROM unnest(${parameters}) AS u(${names})) AS s JOIN ${quoteTable(table.schema, table.name)} AS r ON ${match}`,
    values: columns.map((column, i) => arrayLiteral(texts, i, column.encoding)),
  });
  return Number(rows[0]?.n ?? 0);
}

function textsOf(table: RecoveryTable, row: TextRow): string[] {
  return (table.key ?? []).map((_, i) => row[`k${i}`] ?? '');
}
