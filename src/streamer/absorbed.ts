/**
 * Partitions of published tables, whose changes PostgreSQL publishes as the root's. A table that was streamed by itself
 * and is attached to one disappears from the publication; and a partition that names its rows in another way than its
 * root makes changes that the root's announcement does not tell.
 */
import type { ClientBase } from 'pg';
import { displayName, type TableName, tableKey } from '../core/ident.js';

export interface Absorbed<T extends TableName> {
  readonly table: T;
  readonly root: TableName;
}

const ABSORBED_SQL = `
SELECT n.nspname AS schema, c.relname AS name, rn.nspname AS root_schema, r.relname AS root_name
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL pg_partition_ancestors(c.oid) AS a(relid)
JOIN pg_class r ON r.oid = a.relid AND r.oid <> c.oid JOIN pg_namespace rn ON rn.oid = r.relnamespace
JOIN pg_publication_tables p ON p.pubname = $1 AND p.schemaname = rn.nspname AND p.tablename = r.relname
WHERE c.relispartition`;

/** Of these tables, those that are partitions of a published one. */
export async function absorbed<T extends TableName>(
  client: ClientBase,
  publication: string,
  tables: readonly T[],
): Promise<Absorbed<T>[]> {
  if (tables.length === 0) return [];
  const { rows } = await client.query<TableName & { root_schema: string; root_name: string }>(ABSORBED_SQL, [
    publication,
  ]);
  return rows.flatMap((row) => {
    const table = tables.find((each) => tableKey(each) === tableKey(row));
    return table ? [{ table, root: { schema: row.root_schema, name: row.root_name } }] : [];
  });
}

export function describeAbsorbed({ root }: Absorbed<TableName>): string {
  return `it is a partition of ${displayName(root)} now, which is published in its place and has its rows`;
}

const UNLIKE_SQL = `
SELECT n.nspname AS schema, c.relname AS name, min(leaf.oid::regclass::text) AS partition
FROM pg_publication_tables p
JOIN pg_namespace n ON n.nspname = p.schemaname
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename AND c.relkind = 'p' AND c.relreplident = 'd'
JOIN pg_index k ON k.indrelid = c.oid AND k.indisprimary
CROSS JOIN LATERAL pg_partition_tree(c.oid) t
JOIN pg_class leaf ON leaf.oid = t.relid AND t.isleaf AND leaf.relreplident = 'i'
JOIN pg_index i ON i.indrelid = leaf.oid AND i.indisreplident
WHERE p.pubname = $1
  AND (SELECT array_agg(a.attname ORDER BY a.attname) FROM pg_attribute a WHERE a.attrelid = leaf.oid AND a.attnum = ANY (i.indkey))
  <> (SELECT array_agg(a.attname ORDER BY a.attname) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY (k.indkey))
GROUP BY 1, 2`;

/** Published tables with a partition whose replica identity is an index over other columns than the primary key. */
export async function unlikeTheirPartitions(
  client: ClientBase,
  publication: string,
): Promise<(TableName & { readonly reason: string })[]> {
  const { rows } = await client.query<TableName & { partition: string }>(UNLIKE_SQL, [publication]);
  return rows.map(({ name, partition, schema }) => ({
    schema,
    name,
    reason: `its partition ${partition} names rows by another index than the primary key on the primary (ALTER TABLE ${partition} REPLICA IDENTITY DEFAULT mends it)`,
  }));
}
