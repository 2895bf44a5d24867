/** Which relations are meant: by name, or all user tables. */
import type { TableName } from '../core/ident.js';
import { type CatalogClient, rows } from './catalog-session.js';
import type { PartitionModel, SkippedTable } from './model.js';

/** The product's own schema on both sides: never replicated. */
export const METADATA_SCHEMA = 'db_redundancy';

type IdentityKind = 'd' | 'n' | 'f' | 'i';

export interface RelationRow {
  oid: number;
  schema: string;
  name: string;
  kind: string;
  persistence: string;
  is_partition: boolean;
  partition_of: string | null;
  identity: IdentityKind;
  row_security: boolean;
  comment: string | null;
  estimate: number | null;
  size: number;
  partitions: PartitionModel[];
  inherits: { schema: string; name: string }[];
}

export interface ResolvedTables {
  readonly relations: readonly RelationRow[];
  readonly missing: readonly TableName[];
  readonly skipped: readonly SkippedTable[];
}

const FIELDS = `
SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
       c.relpersistence::text AS persistence, c.relispartition AS is_partition,
       CASE WHEN c.relispartition THEN (SELECT p.inhparent::regclass::text FROM pg_inherits p WHERE p.inhrelid = c.oid) END
         AS partition_of,
       c.relreplident::text AS identity, c.relrowsecurity AS row_security,
       obj_description(c.oid, 'pg_class') AS comment,
       leaves.estimate, leaves.size, leaves.partitions,
       CASE WHEN c.relispartition THEN '[]'::json ELSE
         (SELECT coalesce(json_agg(json_build_object('schema', pn.nspname, 'name', pc.relname) ORDER BY i.inhseqno), '[]')
          FROM pg_inherits i JOIN pg_class pc ON pc.oid = i.inhparent JOIN pg_namespace pn ON pn.oid = pc.relnamespace
          WHERE i.inhrelid = c.oid) END AS inherits
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
  SELECT sum(nullif(lc.reltuples, -1))::float8 AS estimate,
         coalesce(sum(pg_table_size(lc.oid)), 0)::int8 AS size,
         coalesce(json_agg(json_build_object('oid', lc.oid::int8, 'schema', ln.nspname, 'name', lc.relname,
           'replicaIdentity', lc.relreplident) ORDER BY ln.nspname, lc.relname) FILTER (WHERE lc.oid <> c.oid), '[]')
           AS partitions
  FROM (SELECT c.oid AS relid WHERE c.relkind = 'r'
        UNION ALL SELECT t.relid FROM pg_partition_tree(c.oid) t WHERE c.relkind = 'p' AND t.isleaf AND t.relid <> c.oid) leaf
  JOIN pg_class lc ON lc.oid = leaf.relid AND lc.relkind = 'r'
  JOIN pg_namespace ln ON ln.oid = lc.relnamespace) leaves`;

const BY_NAME = `${FIELDS}
JOIN unnest($1::text[], $2::text[]) AS wanted(schema, name) ON wanted.schema = n.nspname AND wanted.name = c.relname
WHERE c.relkind NOT IN ('i', 'I', 'S', 't', 'c')
ORDER BY 2, 3`;

const ALL = `${FIELDS}
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
  AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', '${METADATA_SCHEMA}')
  AND NOT EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 2, 3`;

export async function resolveTables(
  client: CatalogClient,
  tables: readonly TableName[] | '*',
): Promise<ResolvedTables> {
  const found =
    tables === '*'
      ? await rows<RelationRow>(client, ALL)
      : await rows<RelationRow>(client, BY_NAME, [tables.map((t) => t.schema), tables.map((t) => t.name)]);
  const relations: RelationRow[] = [];
  const skipped: SkippedTable[] = [];
  for (const row of found) {
    const reason = whyNot(row);
    if (reason === null) relations.push(row);
    else skipped.push({ table: { schema: row.schema, name: row.name }, reason });
  }
  const present = new Set(found.map((row) => JSON.stringify([row.schema, row.name])));
  const missing = tables === '*' ? [] : tables.filter((t) => !present.has(JSON.stringify([t.schema, t.name])));
  return { relations, missing, skipped };
}

function whyNot(row: RelationRow): string | null {
  if (row.kind !== 'r' && row.kind !== 'p') return `it is ${KINDS[row.kind] ?? 'not a table'}, not a table`;
  if (row.is_partition) return `it is a partition: replicate its root ${row.partition_of ?? ''}`.trimEnd();
  if (row.persistence === 'u') return 'it is unlogged, so its changes are not in the WAL';
  if (row.persistence === 't') return 'it is temporary';
  return null;
}

const KINDS: Readonly<Record<string, string>> = { v: 'a view', m: 'a materialized view', f: 'a foreign table' };
