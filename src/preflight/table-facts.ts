import type { ClientBase } from 'pg';
import type { TableName } from '../core/ident.js';

/**
 * How a table identifies rows to the subscriber. `key`, `index` and `full` work; with any other value PostgreSQL
 * refuses the application's own UPDATE and DELETE as soon as the table is published.
 */
export type Identity = 'key' | 'index' | 'full' | 'deferrable-key' | 'no-key' | 'nothing' | 'index-gone';

export interface TableFacts extends TableName {
  /** pg_class.relkind: r table, p partitioned, v view, m materialized view, f foreign table. */
  readonly kind: string;
  /** pg_class.relpersistence: p permanent, u unlogged, t temporary. */
  readonly persistence: string;
  /** The root of a partition, `schema.name`; null for other tables. */
  readonly partitionOf: string | null;
  readonly owner: string;
  /** The role is a member of the owner, or a superuser. */
  readonly owned: boolean;
  readonly readable: boolean;
  /** Row security applies to the role: it may see some of the rows only. */
  readonly rowSecurity: boolean;
  /** In the publication already. */
  readonly published: boolean;
  /** The table itself, or every leaf of a partitioned one. */
  readonly identities: readonly (TableName & { readonly identity: Identity })[];
}

export interface TableListFacts {
  readonly tables: readonly TableFacts[];
  /** With the tables that may have been meant: another schema, other capitals. */
  readonly missing: readonly (TableName & { readonly similar: readonly string[] })[];
}

const FIELDS = `
SELECT n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
       c.relpersistence::text AS persistence,
       CASE WHEN c.relispartition THEN (
         SELECT format('%s.%s', rn.nspname, rc.relname)
         FROM pg_class rc JOIN pg_namespace rn ON rn.oid = rc.relnamespace
         WHERE rc.oid = pg_partition_root(c.oid)) END AS "partitionOf",
       pg_get_userbyid(c.relowner)::text AS owner,
       pg_has_role(c.relowner, 'USAGE') AS owned,
       has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE') AS readable,
       row_security_active(c.oid) AS "rowSecurity",
       EXISTS (SELECT FROM pg_publication_tables pt WHERE pt.pubname = $1
               AND pt.schemaname = n.nspname AND pt.tablename = c.relname) AS published,
       (SELECT coalesce(json_agg(json_build_object('schema', ln.nspname, 'name', lc.relname, 'identity',
          CASE lc.relreplident
            WHEN 'f' THEN 'full'
            WHEN 'n' THEN 'nothing'
            WHEN 'i' THEN CASE WHEN EXISTS (SELECT FROM pg_index i WHERE i.indrelid = lc.oid AND i.indisreplident
                                            AND i.indisvalid AND i.indimmediate) THEN 'index' ELSE 'index-gone' END
            -- A deferrable primary key does not identify rows for replication.
            ELSE coalesce((SELECT CASE WHEN i.indimmediate AND i.indisvalid THEN 'key' ELSE 'deferrable-key' END
                           FROM pg_index i WHERE i.indrelid = lc.oid AND i.indisprimary), 'no-key')
          END) ORDER BY ln.nspname, lc.relname), '[]')
        FROM (SELECT c.oid AS relid WHERE c.relkind = 'r'
              UNION ALL
              SELECT t.relid FROM pg_partition_tree(c.oid) t WHERE c.relkind = 'p' AND t.isleaf AND t.relid <> c.oid) leaf
        JOIN pg_class lc ON lc.oid = leaf.relid AND lc.relkind = 'r'
        JOIN pg_namespace ln ON ln.oid = lc.relnamespace) AS identities
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace`;

const LISTED = `${FIELDS}
JOIN unnest($2::text[], $3::text[]) AS wanted(schema, name) ON wanted.schema = n.nspname AND wanted.name = c.relname
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY 1, 2`;

const ALL = `${FIELDS}
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p'
  AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'db_redundancy')
  AND NOT EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1, 2`;

const SIMILAR = `
SELECT wanted.schema, wanted.name, array_agg(n.nspname || '.' || c.relname ORDER BY 1) AS similar
FROM unnest($1::text[], $2::text[]) AS wanted(schema, name)
JOIN pg_class c ON lower(c.relname) = lower(wanted.name) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
GROUP BY 1, 2`;

/** As an ordinary role, whatever the number of tables in two statements. */
export async function readTableFacts(
  client: ClientBase,
  wanted: readonly TableName[] | '*',
  publication: string,
): Promise<TableListFacts> {
  if (wanted === '*') {
    return { tables: (await client.query<TableFacts>(ALL, [publication])).rows, missing: [] };
  }
  const names = (tables: readonly TableName[]) => [tables.map((t) => t.schema), tables.map((t) => t.name)];
  const { rows: tables } = await client.query<TableFacts>(LISTED, [publication, ...names(wanted)]);
  const key = (table: TableName) => JSON.stringify([table.schema, table.name]);
  const present = new Set(tables.map(key));
  const missing = wanted.filter((table) => !present.has(key(table)));
  if (missing.length === 0) return { tables, missing: [] };
  const { rows } = await client.query<TableName & { similar: string[] }>(SIMILAR, names(missing));
  const similar = new Map(rows.map((row) => [key(row), row.similar]));
  return { tables, missing: missing.map((table) => ({ ...table, similar: similar.get(key(table)) ?? [] })) };
}
