/**
 * What the WAL does not say of a table. It names tables and columns, and a name may have gone to another one: the table
 * was dropped and created again, two tables swapped their names, the last column was dropped and added again. It says
 * nothing of a new expression of a generated column. And of a partitioned table that is published through its root it
 * does not say that a partition was emptied by TRUNCATE, dropped, detached, or attached with rows in it: each of these
 * gives the table another set of storage files. (A rewrite by VACUUM FULL or CLUSTER does too, and costs a comparison
 * that finds nothing.) Under REPLICA IDENTITY FULL or an index it says nothing of the primary key: without one, or under
 * another, two rows of the primary may be one row here.
 */
import type { ClientBase } from 'pg';
import { type TableName, tableKey } from '../core/ident.js';
import type { TableState } from '../core/status.js';
import type { TablesStore } from './tables-store.js';

const FINGERPRINTS_SQL = `
SELECT n.nspname AS schema, c.relname AS name, concat_ws('|', c.oid, columns.shape, columns.numbers, columns.expressions,
       (SELECT coalesce(string_agg(leaf.oid::text || ':' || leaf.relfilenode::text, ',' ORDER BY leaf.oid), '')
        FROM pg_partition_tree(c.oid) t JOIN pg_class leaf ON leaf.oid = t.relid
        WHERE t.isleaf AND c.relkind = 'p'),
       (SELECT coalesce(string_agg(k.oid::text || ':' || k.conkey::text, ''), '')
        FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'p')) AS fingerprint
FROM pg_publication_tables p
JOIN pg_namespace n ON n.nspname = p.schemaname
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
CROSS JOIN LATERAL (
  SELECT md5(coalesce(string_agg(concat_ws(':', quote_ident(a.attname), a.atttypid, a.atttypmod), ',' ORDER BY a.attnum), '')) AS shape,
         md5(coalesce(string_agg(a.attnum::text, ',' ORDER BY a.attnum), '')) AS numbers,
         md5(coalesce(string_agg(pg_get_expr(d.adbin, d.adrelid), ',' ORDER BY a.attnum) FILTER (WHERE a.attgenerated <> ''), '')) AS expressions
  FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns
WHERE p.pubname = $1`;

export interface Watch {
  readonly store: TablesStore;
  readonly publication: string;
  /** Fingerprints as last seen, by table; kept by the caller for as long as the process lives. */
  readonly seen: Map<string, string>;
  /** A table that is being loaded is looked at when it streams: the load may have passed what has changed. */
  readonly isStreaming: (table: TableName) => boolean;
}

/** What has happened to a table, for people, and what must become of it. */
export interface Unannounced {
  readonly what: string;
  readonly consequence: 'compare' | 'pause';
}

/** Looks at every streaming table, and has `act` deal with those that have changed since the last look of any process. */
export async function watchUnannounced(
  client: ClientBase,
  watch: Watch,
  act: (table: TableName, change: Unannounced) => Promise<void>,
): Promise<void> {
  const { rows } = await client.query<TableName & { fingerprint: string }>(FINGERPRINTS_SQL, [watch.publication]);
  let stored: Map<string, string | null> | null = null;
  for (const { schema, name, fingerprint } of rows) {
    const table = { schema, name };
    if (!watch.isStreaming(table)) continue;
    const key = tableKey(table);
    if (!watch.seen.has(key)) {
      stored ??= new Map((await watch.store.list()).map((each) => [tableKey(each), each.partitions]));
      const former = stored.get(key);
      if (former) watch.seen.set(key, former);
    }
    const before = watch.seen.get(key);
    if (before === fingerprint) continue;
    const change = before === undefined ? null : await difference(client, parse(before), parse(fingerprint));
    // Ordered before it counts as seen: a crash in between finds it again.
    if (change !== null) await act(table, change);
    watch.seen.set(key, fingerprint);
    await watch.store.setPartitions(table, fingerprint);
  }
}

/**
 * How a table looks before its load reads the first row: what happens to it from here on the load may have passed. One
 * that goes on where it was has its look from then.
 */
export async function lookBeforeLoad(
  client: ClientBase,
  { publication, seen, store }: Pick<Watch, 'publication' | 'seen' | 'store'>,
  table: TableName & { readonly state: TableState },
): Promise<void> {
  if (table.state !== 'pending' && (table.state !== 'loading' || seen.has(tableKey(table)))) return;
  if (table.state === 'loading') {
    const stored = (await store.list()).find((each) => tableKey(each) === tableKey(table));
    if (stored?.partitions) return;
  }
  const text = `${FINGERPRINTS_SQL} AND p.schemaname = $2 AND p.tablename = $3`;
  const { rows } = await client.query<{ fingerprint: string }>(text, [publication, table.schema, table.name]);
  const fingerprint = rows[0]?.fingerprint;
  if (fingerprint === undefined) return;
  await store.setPartitions(table, fingerprint);
  seen.set(tableKey(table), fingerprint);
}

interface Fingerprint {
  readonly oid: string | undefined;
  readonly shape: string | undefined;
  readonly numbers: string | undefined;
  readonly expressions: string | undefined;
  readonly leaves: readonly string[];
  /** Oid of the primary key's constraint, and its columns' numbers; undefined in a look of a former version. */
  readonly key: string | undefined;
}

function parse(text: string): Fingerprint {
  const [oid, shape, numbers, expressions, leaves = '', key] = text.split('|');
  return { oid, shape, numbers, expressions, leaves: leaves.split(',').filter((leaf) => leaf !== ''), key };
}

/** Null where nothing has happened that the WAL would not tell by itself. */
async function difference(client: ClientBase, before: Fingerprint, now: Fingerprint): Promise<Unannounced | null> {
  const compare = (what: string): Unannounced => ({ what, consequence: 'compare' });
  if (before.oid !== now.oid) return compare('it is another table of the same name');
  if (before.key !== undefined && keyColumns(before) !== keyColumns(now))
    return { what: 'its primary key was dropped or is another one', consequence: 'pause' };
  // Columns that look another way are announced with the next change, and followed at that place in the stream.
  const alike = before.shape === now.shape;
  if (alike && before.numbers !== now.numbers) return compare('a column is another one of the same name');
  if (alike && before.expressions !== now.expressions) return compare('a generated column has another expression');
  if (before.key !== undefined && before.key !== now.key)
    return compare('its primary key was dropped and created again');
  const partitions = await changedPartitions(client, before.leaves, now.leaves);
  return partitions.length > 0 ? compare(partitions.join(' and ')) : null;
}

const keyColumns = ({ key }: Fingerprint) => (key ?? '').slice((key ?? '').indexOf(':') + 1);

/**
 * What has become of partitions that the WAL does not say. A new one without rows is the everyday case: its rows come by
 * the stream. Of one that has some, those that came since it was attached are in the stream as well; comparing the table
 * once more does no harm.
 */
async function changedPartitions(
  client: ClientBase,
  before: readonly string[],
  now: readonly string[],
): Promise<string[]> {
  const oids = (leaves: readonly string[]) => leaves.map((leaf) => leaf.split(':')[0] as string);
  const changed = [
    ...new Set([
      ...oids(before.filter((leaf) => !now.includes(leaf))),
      ...oids(now.filter((leaf) => !before.includes(leaf))),
    ]),
  ];
  if (changed.length === 0) return [];
  // What has been dropped has no name any more, and its number is all that is left to be said.
  const { rows } = await client.query<{ oid: string; name: string; used: string }>(
    `SELECT o::text AS oid, o::regclass::text AS name, coalesce(pg_relation_size(o) > 0, false)::text AS used FROM unnest($1::oid[]) AS o`,
    [`{${changed.join(',')}}`],
  );
  const [then, there] = [new Set(oids(before)), new Set(oids(now))];
  return rows.flatMap(({ name, oid, used }) => {
    if (!there.has(oid)) return [`its partition ${name} was detached or dropped`];
    if (then.has(oid)) return [`its partition ${name} was emptied or rewritten`];
    return used === 'true' ? [`its partition ${name} was attached with rows`] : [];
  });
}
