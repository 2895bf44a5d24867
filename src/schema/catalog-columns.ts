/** Columns of all wanted tables in one query. */
import { type CatalogClient, rows } from './catalog-session.js';
import type { TypeCatalog } from './catalog-types.js';
import type { ColumnModel, QualifiedName } from './model.js';

export interface ColumnRow {
  table: number;
  attnum: number;
  name: string;
  type: number;
  typmod: number;
  display: string;
  dimensions: number;
  nullable: boolean;
  expression: string | null;
  identity: string;
  generated: string;
  sequence: QualifiedName | null;
  collation: QualifiedName | null;
  comment: string | null;
  missing: string | null;
}

/**
 * `attmissingval` is a one-element array of the column's type; its text read as text[] gives the element's text.
 * A partitioned root has none itself: its leaves do.
 */
const COLUMNS = `
SELECT a.attrelid AS table, a.attnum, a.attname::text AS name, a.atttypid AS type, a.atttypmod AS typmod,
  format_type(a.atttypid, a.atttypmod) AS display, a.attndims AS dimensions,
  NOT a.attnotnull OR EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = a.attrelid AND k.contype = 'n'
    AND NOT k.convalidated AND k.conkey = ARRAY[a.attnum]) AS nullable,
  pg_get_expr(d.adbin, d.adrelid) AS expression, a.attidentity::text AS identity, a.attgenerated::text AS generated,
  (SELECT json_build_object('schema', sn.nspname, 'name', s.relname)
   FROM pg_depend dep JOIN pg_class s ON s.oid = dep.objid AND s.relkind = 'S' JOIN pg_namespace sn ON sn.oid = s.relnamespace
   WHERE dep.classid = 'pg_class'::regclass AND dep.refclassid = 'pg_class'::regclass
     AND dep.refobjid = a.attrelid AND dep.refobjsubid = a.attnum AND dep.deptype IN ('a', 'i')
   ORDER BY dep.deptype DESC, dep.objid LIMIT 1) AS sequence,
  (SELECT json_build_object('schema', cn.nspname, 'name', co.collname)
   FROM pg_collation co JOIN pg_namespace cn ON cn.oid = co.collnamespace
   WHERE co.oid = a.attcollation AND a.attcollation <> t.typcollation) AS collation,
  col_description(a.attrelid, a.attnum) AS comment,
  CASE WHEN c.relkind = 'p' THEN
    (SELECT (la.attmissingval::text::text[])[1] FROM pg_partition_tree(a.attrelid) leaf
     JOIN pg_attribute la ON la.attrelid = leaf.relid AND la.attname = a.attname AND la.atthasmissing
     WHERE leaf.isleaf ORDER BY leaf.relid LIMIT 1)
  WHEN a.atthasmissing THEN (a.attmissingval::text::text[])[1] END AS missing
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum`;

export async function readColumns(client: CatalogClient, oids: readonly number[]): Promise<ColumnRow[]> {
  return rows<ColumnRow>(client, COLUMNS, [oids]);
}

export function columnModel(row: ColumnRow, types: TypeCatalog): ColumnModel {
  const generated = row.generated === 's' || row.generated === 'v';
  return {
    attnum: row.attnum,
    name: row.name,
    type: types.model(row.type, row.typmod, row.display),
    dimensions: row.dimensions,
    nullable: row.nullable,
    default: generated ? null : row.expression,
    identity: row.identity === 'a' || row.identity === 'd' ? row.identity : null,
    generated: generated
      ? { kind: row.generated === 's' ? 'stored' : 'virtual', expression: row.expression ?? '' }
      : null,
    ownedSequence: row.sequence,
    collation: row.collation,
    comment: row.comment,
    missingValue: row.missing,
  };
}
