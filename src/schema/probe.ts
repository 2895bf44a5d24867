/** Finds out what the secondary can do, by asking it. About six short queries on PostgreSQL, some more on CockroachDB. */

import { capabilitiesOf, dialectOf, type TargetCapabilities } from './capabilities.js';
import { type CatalogClient, rows } from './catalog-session.js';

export async function probeCapabilities(client: CatalogClient): Promise<TargetCapabilities> {
  const version = (await rows<{ version: string }>(client, 'SELECT version() AS version'))[0]?.version ?? '';
  return dialectOf(version) === 'cockroach' ? probeCockroach(client, version) : probePostgres(client, version);
}

async function names(client: CatalogClient, text: string): Promise<string[]> {
  return (await rows<{ name: string }>(client, text)).map((row) => row.name);
}

/**
 * An extension counts as usable when it is installed, or when this role may install it: it is trusted and the role may
 * create in the database, or it is not marked for superusers, or the role is one.
 */
const EXTENSIONS = `
SELECT a.name::text AS name, n.nspname::text AS schema
FROM pg_available_extensions a
LEFT JOIN pg_extension x ON x.extname = a.name
LEFT JOIN pg_namespace n ON n.oid = x.extnamespace
LEFT JOIN pg_available_extension_versions v ON v.name = a.name AND v.version = a.default_version
WHERE x.extname IS NOT NULL
   OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
   OR (has_database_privilege(current_database(), 'CREATE') AND (v.trusted OR NOT v.superuser))`;

async function probePostgres(client: CatalogClient, version: string): Promise<TargetCapabilities> {
  const extensions = await rows<{ name: string; schema: string | null }>(client, EXTENSIONS);
  return capabilitiesOf({
    version,
    types: await names(
      client,
      `SELECT typname::text AS name FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r', 'm')`,
    ),
    functions: await names(
      client,
      `SELECT DISTINCT proname::text AS name FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace`,
    ),
    collations: await names(
      client,
      `SELECT collname::text AS name FROM pg_collation WHERE collnamespace = 'pg_catalog'::regnamespace
         AND collencoding IN (-1, (SELECT encoding FROM pg_database WHERE datname = current_database()))`,
    ),
    indexMethods: await names(client, `SELECT amname::text AS name FROM pg_am WHERE amtype = 'i'`),
    extensions: new Map(extensions.map((row) => [row.name, row.schema])),
  });
}

/** Column types whose presence depends on CockroachDB's version, by the name that its parser takes. */
const UNSURE_TYPES = [
  'citext',
  'ltree',
  'tsvector',
  'tsquery',
  'vector',
  'geometry',
  'geography',
  'jsonpath',
  'pg_lsn',
];

/** Known in every supported version. */
const SURE_TYPES = [
  ...['int2', 'int4', 'int8', 'numeric', 'float4', 'float8', 'bool', 'text', 'varchar', 'bpchar', 'bytea', 'uuid'],
  ...['date', 'time', 'timetz', 'timestamp', 'timestamptz', 'interval', 'inet', 'bit', 'varbit', 'jsonb'],
];

async function probeCockroach(client: CatalogClient, version: string): Promise<TargetCapabilities> {
  const types = [...SURE_TYPES];
  const arrayElements = SURE_TYPES.filter((type) => type !== 'jsonb');
  const indexableTypes: string[] = [];
  for (const type of ['jsonb', ...UNSURE_TYPES]) {
    if (type !== 'jsonb') {
      if (!(await accepts(client, [`CREATE TABLE ${PROBE} (a ${type})`]))) continue;
      types.push(type);
    }
    if (await accepts(client, [`CREATE TABLE ${PROBE} (a ${type}[])`])) arrayElements.push(type);
    if (await accepts(client, [`CREATE TABLE ${PROBE} (a ${type}, INDEX (a))`])) indexableTypes.push(type);
  }
  const composite = [`CREATE TYPE ${PROBE}_type AS (a INT8)`, `CREATE TABLE ${PROBE} (a ${PROBE}_type)`];
  return capabilitiesOf({
    version,
    types,
    arrayElements,
    indexableTypes,
    indexableArrays: await accepts(client, [`CREATE TABLE ${PROBE} (a INT8[], INDEX (a))`]),
    compositeTypes: await accepts(client, composite),
    functions: await names(client, 'SELECT DISTINCT proname::STRING AS name FROM pg_catalog.pg_proc'),
  });
}

/** Never committed: the transaction is always rolled back. */
const PROBE = 'db_redundancy_probe';

/** A cast may be taken where a column is not, so a table is what has to be tried. Not inside a transaction of the caller. */
async function accepts(client: CatalogClient, statements: readonly string[]): Promise<boolean> {
  await client.query('BEGIN');
  try {
    for (const statement of statements) await client.query(statement);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && typeof error.code === 'string') return false;
    throw error;
  } finally {
    await client.query('ROLLBACK').catch(() => undefined);
  }
}
