/**
 * Who may write the replicated tables, beside us. A role of the application is one that may log in and has a right to
 * write at least one of them, directly, by a group, as an owner or by a predefined role. Superusers and the roles of the
 * provider are not the application's: they are kept out by the guard, and are not changed.
 */
import { quoteIdent, quoteTable, type TableName } from '../core/ident.js';
import type { Session } from './database.js';
import type { Measure } from './fence.js';

export interface ApplicationRole {
  readonly name: string;
  readonly canLogin: boolean;
}

/** Roles by which providers administer a server. */
const MANAGED = [
  ...['neon_superuser', 'neon_service', 'cloud_admin', 'web_access', 'databricks_superuser'],
  ...[
    'rdsadmin',
    'rds_superuser',
    'azuresu',
    'azure_superuser',
    'azure_pg_admin',
    'cloudsqladmin',
    'cloudsqlsuperuser',
  ],
  ...['supabase_admin', 'admin', 'root', 'node'],
];

const WANTED = `
SELECT c.oid, n.nspname, c.relname, c.relacl, c.relowner FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN unnest($1::text[], $2::text[]) AS w (schema_name, table_name) ON w.schema_name = n.nspname AND w.table_name = c.relname`;

const ROLES_SQL = `
WITH wanted AS (${WANTED})
SELECT r.rolname AS name, r.rolcanlogin::text AS login FROM pg_catalog.pg_roles AS r
WHERE NOT r.rolsuper AND r.rolname <> current_user AND r.rolname <> session_user AND left(r.rolname, 3) <> 'pg_'
  AND r.rolname <> ALL ($3::text[])
  AND EXISTS (SELECT FROM wanted AS w WHERE has_table_privilege(r.oid, w.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
    OR has_any_column_privilege(r.oid, w.oid, 'INSERT, UPDATE'))
ORDER BY 1`;

export async function applicationRoles(session: Session, tables: readonly TableName[]): Promise<ApplicationRole[]> {
  const rows = await session.run(ROLES_SQL, [...names(tables), list(MANAGED)]);
  return rows.map((row) => ({ name: row.name ?? '', canLogin: row.login === 'true' }));
}

const GRANTS_SQL = `
WITH wanted AS (${WANTED}), granted AS (
  SELECT w.nspname, w.relname, w.relowner, a.grantee, a.privilege_type, a.is_grantable, NULL::name AS attname
  FROM wanted AS w, aclexplode(w.relacl) AS a WHERE a.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')
  UNION ALL
  SELECT w.nspname, w.relname, w.relowner, a.grantee, a.privilege_type, a.is_grantable, t.attname
  FROM wanted AS w JOIN pg_attribute AS t ON t.attrelid = w.oid AND NOT t.attisdropped AND t.attacl IS NOT NULL, aclexplode(t.attacl) AS a
  WHERE a.privilege_type IN ('INSERT', 'UPDATE'))
SELECT g.nspname AS schema, g.relname AS name, g.privilege_type AS privilege, g.is_grantable::text AS grantable, g.attname AS column,
  r.rolname AS grantee
FROM granted AS g LEFT JOIN pg_roles AS r ON r.oid = g.grantee
WHERE g.grantee <> g.relowner AND (g.grantee = 0 OR (r.rolname <> current_user AND NOT r.rolsuper AND r.rolname <> ALL ($3::text[])))
ORDER BY 1, 2, 6, 5, 3`;

/** REVOKEs of every right to write, each with the GRANT that restores it; rights on columns too. */
export async function revokeMeasures(session: Session, tables: readonly TableName[]): Promise<Measure[]> {
  const rows = await session.run(GRANTS_SQL, [...names(tables), list(MANAGED)]);
  return rows.map((row) => {
    const at = quoteTable(row.schema ?? '', row.name ?? '');
    const to = row.grantee == null ? 'PUBLIC' : quoteIdent(row.grantee);
    const right = `${row.privilege}${row.column == null ? '' : ` (${quoteIdent(row.column)})`}`;
    return {
      what: `revoke ${right} on ${at} from ${to}`,
      sql: `REVOKE ${right} ON TABLE ${at} FROM ${to}`,
      undo: `GRANT ${right} ON TABLE ${at} TO ${to}${row.grantable === 'true' ? ' WITH GRANT OPTION' : ''}`,
    };
  });
}

function names(tables: readonly TableName[]): [string, string] {
  return [list(tables.map((table) => table.schema)), list(tables.map((table) => table.name))];
}

/** An array literal; every element quoted. */
export function list(texts: readonly string[]): string {
  return `{${texts.map((text) => `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`).join(',')}}`;
}
