/** What stands beside the tables: sequences, functions, extensions. */

import { METADATA_SCHEMA } from './catalog-relations.js';
import { type CatalogClient, rows } from './catalog-session.js';
import type { ExtensionModel, FunctionModel, SequenceModel } from './model.js';

/** Sequences that the tables own or draw defaults from; with `everything` also those that stand alone. */
const SEQUENCES = `
SELECT n.nspname::text AS schema, c.relname::text AS name, format_type(s.seqtypid, NULL) AS type,
  s.seqstart::text AS start, s.seqincrement::text AS increment, s.seqmin::text AS min, s.seqmax::text AS max,
  s.seqcache::text AS cache, s.seqcycle AS cycle, owner.identity IS TRUE AS identity, owner.owner AS "ownedBy"
FROM pg_sequence s
JOIN pg_class c ON c.oid = s.seqrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN LATERAL (
  SELECT d.refobjid AS table_oid, d.deptype = 'i' AS identity,
    json_build_object('table', json_build_object('schema', tn.nspname, 'name', tc.relname), 'column', a.attname) AS owner
  FROM pg_depend d JOIN pg_class tc ON tc.oid = d.refobjid JOIN pg_namespace tn ON tn.oid = tc.relnamespace
  JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass
    AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')) owner ON true
WHERE c.relpersistence <> 't' AND (owner.table_oid = ANY ($1::oid[])
  OR EXISTS (SELECT FROM pg_depend d JOIN pg_attrdef ad ON ad.oid = d.objid
             WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid
               AND ad.adrelid = ANY ($1::oid[]))
  OR ($2::boolean AND owner.table_oid IS NULL AND n.nspname !~ '^pg_'
      AND n.nspname NOT IN ('information_schema', '${METADATA_SCHEMA}')
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')))
ORDER BY 1, 2`;

/** Functions that something in the schema depends on. Built-in ones leave no trace in pg_depend. */
const FUNCTIONS = `
SELECT n.nspname::text AS schema, p.proname::text AS name, l.lanname::text AS language, x.extname::text AS extension,
  CASE WHEN x.extname IS NULL AND l.lanname NOT IN ('c', 'internal') AND p.prokind = 'f' THEN pg_get_functiondef(p.oid) END
    AS definition
FROM pg_proc p
JOIN pg_namespace n ON n.oid = p.pronamespace
JOIN pg_language l ON l.oid = p.prolang
LEFT JOIN pg_depend xd ON xd.classid = 'pg_proc'::regclass AND xd.objid = p.oid AND xd.deptype = 'e'
LEFT JOIN pg_extension x ON x.oid = xd.refobjid
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND EXISTS (SELECT FROM pg_depend d WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid
    AND d.classid IN ('pg_attrdef'::regclass, 'pg_constraint'::regclass, 'pg_class'::regclass, 'pg_trigger'::regclass))
ORDER BY 1, 2, p.oid`;

const EXTENSIONS = `
SELECT x.extname::text AS name, n.nspname::text AS schema
FROM pg_extension x JOIN pg_namespace n ON n.oid = x.extnamespace ORDER BY 1`;

export async function readSequences(
  client: CatalogClient,
  oids: readonly number[],
  everything: boolean,
): Promise<SequenceModel[]> {
  return rows<SequenceModel>(client, SEQUENCES, [oids, everything]);
}

export async function readFunctions(client: CatalogClient): Promise<FunctionModel[]> {
  return rows<FunctionModel>(client, FUNCTIONS);
}

export async function readExtensions(client: CatalogClient): Promise<ExtensionModel[]> {
  return rows<ExtensionModel>(client, EXTENSIONS);
}

const OWN_SCHEMAS = `nspname !~ '^pg_' AND nspname NOT IN ('information_schema', '${METADATA_SCHEMA}')`;

export async function readSchemas(client: CatalogClient): Promise<string[]> {
  const found = await rows<{ name: string }>(
    client,
    `SELECT nspname::text AS name FROM pg_namespace WHERE ${OWN_SCHEMAS}`,
  );
  return found.map((row) => row.name);
}

/** Types that the user made himself: no row types of tables, no arrays, nothing of extensions. */
const USER_TYPES = `
SELECT t.oid FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE ${OWN_SCHEMAS} AND (t.typtype IN ('e', 'd', 'r')
  OR (t.typtype = 'c' AND (SELECT c.relkind FROM pg_class c WHERE c.oid = t.typrelid) = 'c'))
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')`;

export async function readUserTypes(client: CatalogClient): Promise<number[]> {
  return (await rows<{ oid: number }>(client, USER_TYPES)).map((row) => row.oid);
}

/** Providers: libc (always before 15), ICU, and since 17 the built-in one; the last two name their locale elsewhere. */
const ASCII_CASE = `
SELECT CASE coalesce(to_jsonb(d) ->> 'datlocprovider', 'c')
  WHEN 'c' THEN d.datctype IN ('C', 'POSIX') WHEN 'b' THEN coalesce(to_jsonb(d) ->> 'datlocale', 'C') = 'C' ELSE false END
  AS ascii
FROM pg_database d WHERE d.datname = current_database()`;

export async function readAsciiCase(client: CatalogClient): Promise<boolean> {
  return (await rows<{ ascii: boolean }>(client, ASCII_CASE))[0]?.ascii ?? false;
}
