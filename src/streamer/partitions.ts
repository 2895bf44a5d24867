/**
 * What the WAL does not say of a partitioned table that is published through its root: a partition that was emptied by
 * TRUNCATE, dropped, detached, or attached with rows in it. Each of these gives the table another set of storage files.
 * (A rewrite by VACUUM FULL or CLUSTER does too, and costs a comparison that finds nothing.)
 */
import type { ClientBase } from 'pg';
import { displayName, type TableName, tableKey } from '../core/ident.js';
import type { Log } from '../core/log.js';
import type { TablesStore } from './tables-store.js';

const FINGERPRINTS_SQL = `
SELECT n.nspname AS schema, c.relname AS name,
       (SELECT coalesce(string_agg(leaf.oid::text || ':' || leaf.relfilenode::text, ',' ORDER BY leaf.oid), '')
        FROM pg_partition_tree(c.oid) t JOIN pg_class leaf ON leaf.oid = t.relid WHERE t.isleaf) AS fingerprint
FROM pg_publication_tables p
JOIN pg_namespace n ON n.nspname = p.schemaname
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
WHERE p.pubname = $1 AND c.relkind = 'p'`;

export interface PartitionWatch {
  readonly store: TablesStore;
  readonly log: Log;
  readonly publication: string;
  /** Fingerprints as last seen, by table; kept by the caller for as long as the process lives. */
  readonly seen: Map<string, string>;
  /** A table that is being loaded is looked at when it streams: the load may have passed what has changed. */
  readonly isStreaming: (table: TableName) => boolean;
}

/** Returns the tables whose partitions have changed since the last look, of this process or of a former one. */
export async function changedPartitions(client: ClientBase, watch: PartitionWatch): Promise<TableName[]> {
  const { rows } = await client.query<TableName & { fingerprint: string }>(FINGERPRINTS_SQL, [watch.publication]);
  const changed: TableName[] = [];
  for (const { schema, name, fingerprint } of rows) {
    const table = { schema, name };
    if (!watch.isStreaming(table)) continue;
    const key = tableKey(table);
    if (!watch.seen.has(key)) {
      const stored = (await watch.store.list()).find((each) => tableKey(each) === key);
      if (stored?.partitions) watch.seen.set(key, stored.partitions);
    }
    const before = watch.seen.get(key);
    if (before === fingerprint) continue;
    watch.seen.set(key, fingerprint);
    await watch.store.setPartitions(table, fingerprint);
    // A new partition without rows is the everyday case: its rows come by the stream.
    if (before === undefined || (await onlyAddedEmpty(client, before, fingerprint))) continue;
    watch.log.warn(
      { table: displayName(table) },
      `Partitions of ${displayName(table)} were emptied, removed or attached, which the WAL does not carry: it is compared with the primary again`,
    );
    changed.push(table);
  }
  return changed;
}

async function onlyAddedEmpty(client: ClientBase, before: string, after: string): Promise<boolean> {
  const old = new Set(before.split(',').filter((leaf) => leaf !== ''));
  const now = after.split(',').filter((leaf) => leaf !== '');
  if ([...old].some((leaf) => !now.includes(leaf))) return false;
  const added = now.filter((leaf) => !old.has(leaf)).map((leaf) => leaf.split(':')[0] as string);
  // Rows that came since it was attached are in the stream as well; comparing the table once more does no harm.
  const { rows } = await client.query<{ used: string }>(
    'SELECT count(*)::text AS used FROM unnest($1::oid[]) AS o WHERE pg_relation_size(o) > 0',
    [added],
  );
  return rows[0]?.used === '0';
}
