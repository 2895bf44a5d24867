/** Constraints, indexes and triggers of all wanted tables. */
import { type CatalogClient, rows } from './catalog-session.js';
import type { IndexColumnModel, QualifiedName } from './model.js';

export interface ConstraintRow {
  table: number;
  name: string;
  kind: 'p' | 'u' | 'c' | 'f' | 'x';
  columns: string[];
  include: string[];
  deferrable: boolean;
  deferred: boolean;
  validated: boolean;
  enforced: boolean;
  temporal: boolean;
  nulls_not_distinct: boolean;
  expression: string | null;
  definition: string;
  references: QualifiedName | null;
  referenced_columns: string[];
  on_update: string;
  on_delete: string;
  match: string;
  set_columns: string[];
}

/** `to_jsonb` reads columns that only newer versions have, without naming them to older ones. */
const CONSTRAINTS = `
SELECT k.conrelid AS table, k.conname::text AS name, k.contype::text AS kind,
  names(k.conrelid, k.conkey) AS columns,
  (SELECT coalesce(json_agg(a.attname ORDER BY o.n), '[]')
   FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY o(attnum, n)
   JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = o.attnum
   WHERE i.indexrelid = k.conindid AND k.contype IN ('p', 'u') AND o.n > i.indnkeyatts) AS include,
  k.condeferrable AS deferrable, k.condeferred AS deferred, k.convalidated AS validated,
  coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true) AS enforced,
  coalesce((to_jsonb(k) ->> 'conperiod')::boolean, false) AS temporal,
  coalesce((SELECT (to_jsonb(i) ->> 'indnullsnotdistinct')::boolean FROM pg_index i WHERE i.indexrelid = k.conindid), false)
    AS nulls_not_distinct,
  CASE WHEN k.contype = 'c' THEN pg_get_expr(k.conbin, k.conrelid) END AS expression,
  pg_get_constraintdef(k.oid) AS definition,
  (SELECT json_build_object('schema', fn.nspname, 'name', fc.relname)
   FROM pg_class fc JOIN pg_namespace fn ON fn.oid = fc.relnamespace WHERE fc.oid = k.confrelid) AS references,
  names(k.confrelid, k.confkey) AS referenced_columns,
  k.confupdtype::text AS on_update, k.confdeltype::text AS on_delete, k.confmatchtype::text AS match,
  (SELECT coalesce(json_agg(a.attname ORDER BY o.n), '[]')
   FROM jsonb_array_elements_text(CASE WHEN to_jsonb(k) ? 'confdelsetcols'
     AND jsonb_typeof(to_jsonb(k) -> 'confdelsetcols') = 'array' THEN to_jsonb(k) -> 'confdelsetcols' ELSE '[]' END)
     WITH ORDINALITY o(attnum, n)
   JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = o.attnum::int2) AS set_columns
FROM pg_constraint k
WHERE k.conrelid = ANY ($1::oid[]) AND k.contype IN ('p', 'u', 'c', 'f', 'x') AND k.conparentid = 0
ORDER BY k.conrelid, k.conname`.replaceAll(
  /names\(([\w.]+), ([\w.]+)\)/g,
  `(SELECT coalesce(json_agg(a.attname ORDER BY o.n), '[]') FROM unnest($2) WITH ORDINALITY o(attnum, n)
   JOIN pg_attribute a ON a.attrelid = $1 AND a.attnum = o.attnum)`,
);

export interface IndexRow {
  table: number;
  name: string;
  method: string;
  unique: boolean;
  nulls_not_distinct: boolean;
  replica_identity: boolean;
  columns: IndexColumnModel[];
  include: string[];
  predicate: string | null;
  extensions: string[];
  tail: string;
  /** A constraint's own index: not created by itself. */
  constraint: boolean;
}

/**
 * The tail is cut by length, not searched for: names may contain any text. `quote_ident` is what `pg_get_indexdef`
 * itself uses, and with an empty search path it always prints the schema.
 */
const INDEXES = `
SELECT i.indrelid AS table, ic.relname::text AS name, am.amname::text AS method, i.indisunique AS unique,
  coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false) AS nulls_not_distinct,
  i.indisreplident AS replica_identity,
  (SELECT json_agg(json_build_object(
     'column', a.attname,
     'expression', CASE WHEN a.attname IS NULL THEN pg_get_indexdef(i.indexrelid, o.n::int, false) END,
     'descending', (opt.bits & 1) <> 0, 'nullsFirst', (opt.bits & 2) <> 0,
     'operatorClass', CASE WHEN NOT oc.opcdefault THEN oc.opcname END) ORDER BY o.n)
   FROM unnest(i.indkey::int2[]) WITH ORDINALITY o(attnum, n)
   JOIN unnest(i.indoption::int2[]) WITH ORDINALITY opt(bits, n) ON opt.n = o.n
   JOIN unnest(i.indclass::oid[]) WITH ORDINALITY cl(oid, n) ON cl.n = o.n
   JOIN pg_opclass oc ON oc.oid = cl.oid
   LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = o.attnum AND o.attnum <> 0) AS columns,
  (SELECT coalesce(json_agg(a.attname ORDER BY o.n), '[]') FROM unnest(i.indkey::int2[]) WITH ORDINALITY o(attnum, n)
   JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = o.attnum WHERE o.n > i.indnkeyatts) AS include,
  pg_get_expr(i.indpred, i.indrelid) AS predicate,
  (SELECT coalesce(json_agg(DISTINCT x.extname), '[]') FROM unnest(i.indclass::oid[]) cl(oid)
   JOIN pg_depend d ON d.classid = 'pg_opclass'::regclass AND d.objid = cl.oid AND d.deptype = 'e'
   JOIN pg_extension x ON x.oid = d.refobjid) AS extensions,
  substr(pg_get_indexdef(i.indexrelid), 1 + length('CREATE ' || CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END || 'INDEX '
    || quote_ident(ic.relname) || ' ON ' || CASE WHEN c.relkind = 'p' THEN 'ONLY ' ELSE '' END
    || quote_ident(n.nspname) || '.' || quote_ident(c.relname) || ' USING ')) AS tail,
  EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')) AS constraint
FROM pg_index i
JOIN pg_class ic ON ic.oid = i.indexrelid
JOIN pg_am am ON am.oid = ic.relam
JOIN pg_class c ON c.oid = i.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE i.indrelid = ANY ($1::oid[]) AND i.indislive AND (i.indisvalid OR (c.relkind = 'p' AND NOT i.indisunique))
ORDER BY i.indrelid, ic.relname`;

export interface TriggerRow {
  table: number;
  name: string;
  definition: string;
  function: QualifiedName;
  enabled: string;
}

const TRIGGERS = `
SELECT t.tgrelid AS table, t.tgname::text AS name, pg_get_triggerdef(t.oid) AS definition, t.tgenabled::text AS enabled,
  json_build_object('schema', n.nspname, 'name', p.proname) AS function
FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE t.tgrelid = ANY ($1::oid[]) AND NOT t.tgisinternal AND n.nspname <> 'db_redundancy'
ORDER BY t.tgrelid, t.tgname`;

export async function readConstraints(client: CatalogClient, oids: readonly number[]): Promise<ConstraintRow[]> {
  return rows<ConstraintRow>(client, CONSTRAINTS, [oids]);
}

export async function readIndexes(client: CatalogClient, oids: readonly number[]): Promise<IndexRow[]> {
  return rows<IndexRow>(client, INDEXES, [oids]);
}

export async function readTriggers(client: CatalogClient, oids: readonly number[]): Promise<TriggerRow[]> {
  return rows<TriggerRow>(client, TRIGGERS, [oids]);
}
