import type { ClientBase } from 'pg';
import type { Config } from '../config/config.js';
import { quoteIdent, type TableName } from '../core/ident.js';
import { cockroachChecks } from './cockroach.js';
import { check, type PreflightResult } from './result.js';
import { inspectSide, type SideReport } from './session.js';

/** Everything that must hold on the secondary before a table is created. Changes nothing. */
export function inspectSecondary(config: Pick<Config, 'secondary' | 'tables'>): Promise<SideReport> {
  return inspectSide('secondary', config.secondary, async (client, version) => {
    const results = [
      ...(await readOnlyCheck(client, version.dialect)),
      ...(await privilegeChecks(client, config.tables)),
    ];
    return version.dialect === 'cockroach' ? [...results, ...(await cockroachChecks(client))] : results;
  });
}

async function readOnlyCheck(client: ClientBase, dialect: 'postgres' | 'cockroach'): Promise<PreflightResult[]> {
  // CockroachDB has no recovery mode.
  const recovery = dialect === 'postgres' ? 'pg_is_in_recovery()' : 'false';
  const { rows } = await client.query<{ readonly: string; recovery: boolean }>(
    `SELECT current_setting('default_transaction_read_only') AS readonly, ${recovery} AS recovery`,
  );
  const { readonly = 'off', recovery: standby = false } = rows[0] ?? {};
  return [
    check('secondary-writable', 'Server takes writes', {
      detail: 'transactions are read-write',
      problem: standby
        ? { transient: true, detail: 'the server is a standby (in recovery)', remedy: 'Use the URL of its primary.' }
        : readonly === 'on'
          ? {
              transient: true,
              detail: 'default_transaction_read_only is on',
              remedy:
                'ALTER ROLE ... RESET default_transaction_read_only; for the role of DATABASE_URL_SECONDARY (and of its database).',
            }
          : null,
    }),
  ];
}

async function privilegeChecks(client: ClientBase, tables: readonly TableName[] | '*'): Promise<PreflightResult[]> {
  const schemas = tables === '*' ? ['public'] : [...new Set(tables.map((table) => table.schema))];
  const { rows } = await client.query<{ role: string; database: string; create: boolean }>(
    `SELECT current_user AS role, current_database() AS database, has_database_privilege(current_database(), 'CREATE') AS create`,
  );
  const { rows: refused } = await client.query<{ schema: string }>(
    `SELECT nspname::text AS schema FROM pg_namespace WHERE nspname::text = ANY ($1::text[]) AND NOT has_schema_privilege(nspname::text, 'CREATE')
     ORDER BY 1`,
    [schemas],
  );
  const { role = '', database = '', create = false } = rows[0] ?? {};
  const schemaGrants = refused.map(
    ({ schema }) => `GRANT CREATE, USAGE ON SCHEMA ${quoteIdent(schema)} TO ${quoteIdent(role)};`,
  );
  return [
    check('secondary-create-right', 'Role may create schemas', {
      detail: `CREATE on database ${database}`,
      problem: create
        ? null
        : {
            detail: `role ${role} lacks CREATE on database ${database}`,
            remedy: `GRANT CREATE ON DATABASE ${quoteIdent(database)} TO ${quoteIdent(role)};`,
          },
    }),
    check('secondary-schema-right', 'Role may create tables', {
      detail: 'CREATE on the schemas that exist',
      problem:
        refused.length === 0
          ? null
          : {
              detail: `role ${role} lacks CREATE on schema ${refused.map((each) => each.schema).join(', ')}`,
              remedy: schemaGrants.join('\n'),
            },
    }),
  ];
}
