/**
 * Whether a publication leaves out changes of its tables: kinds of change, rows (a filter) or columns (a list). The WAL
 * of a slot comes without them and says nothing of it.
 */
import type { ClientBase } from 'pg';
import { quoteIdent, quoteTable, type TableName } from '../core/ident.js';

export interface Narrowness {
  /** Kinds of change are left out for every table, or partitions are published one by one. */
  readonly all: boolean;
  /** Tables with a filter or a list. */
  readonly tables: readonly TableName[];
}

/** Filters and lists are there from PostgreSQL 15 on; before that the columns of the catalog are not, either. */
const NARROWED_SQL = `
SELECT n.nspname AS schema, c.relname AS name
FROM pg_publication p JOIN pg_publication_rel pr ON pr.prpubid = p.oid
JOIN pg_class c ON c.oid = pr.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE p.pubname = $1 AND coalesce(to_jsonb(pr) ->> 'prqual', to_jsonb(pr) ->> 'prattrs') IS NOT NULL`;

export async function narrowness(client: ClientBase, publication: string): Promise<Narrowness> {
  const whole = await client.query(
    'SELECT 1 FROM pg_publication WHERE pubname = $1 AND pubinsert AND pubupdate AND pubdelete AND pubtruncate AND pubviaroot',
    [publication],
  );
  const { rows } = await client.query<{ schema: string; name: string }>(NARROWED_SQL, [publication]);
  return { all: whole.rows.length === 0, tables: rows.map(({ schema, name }) => ({ schema, name })) };
}

/** Statements that take the restrictions away. `FOR ALL TABLES` has none by table. */
export function widenStatements(publication: string, narrow: Narrowness): string[] {
  const alter = `ALTER PUBLICATION ${quoteIdent(publication)}`;
  const out: string[] = [];
  if (narrow.all)
    out.push(`${alter} SET (publish = 'insert, update, delete, truncate', publish_via_partition_root = true)`);
  for (const { schema, name } of narrow.tables) {
    const table = quoteTable(schema, name);
    // One message is one transaction: the table is never unpublished.
    out.push(`${alter} DROP TABLE ${table}; ${alter} ADD TABLE ${table}`);
  }
  return out;
}
