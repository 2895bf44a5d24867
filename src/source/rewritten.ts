/**
 * A table-rewriting ALTER TABLE (and TRUNCATE) is not MVCC-safe: once it has committed, a snapshot from before it finds
 * the table empty ("PostgreSQL manual, Caveats of MVCC"). Whoever takes that for the table's rows loses them all. So a
 * reader locks the table before it takes its snapshot, or, where it has one already, asks here.
 */
import type { ClientBase } from 'pg';
import { quoteTable, type TableName } from '../core/ident.js';

/** Before the transaction's first query this comes before its snapshot; conflicts with nothing but such an ALTER TABLE. */
export function lockForReading(table: TableName): string {
  return `LOCK TABLE ${quoteTable(table.schema, table.name)} IN ACCESS SHARE MODE`;
}

/** pg_class is seen as the snapshot has it, and the functions know the files of the present. */
const REWRITTEN_SQL = `
WITH RECURSIVE tree AS (SELECT $1::oid AS oid UNION SELECT i.inhrelid FROM pg_inherits i JOIN tree t ON i.inhparent = t.oid)
SELECT 1 FROM tree JOIN pg_class c ON c.oid = tree.oid
WHERE c.relkind = 'r' AND c.relfilenode IS DISTINCT FROM pg_relation_filenode(c.oid) LIMIT 1`;

/**
 * Locks the table for the rest of the transaction, and says whether it was rewritten after the transaction's snapshot,
 * which then does not show its rows.
 */
export async function wasRewritten(client: ClientBase, table: TableName & { readonly oid: number }): Promise<boolean> {
  await client.query(lockForReading(table));
  const { rows } = await client.query(REWRITTEN_SQL, [table.oid]);
  return rows.length > 0;
}
