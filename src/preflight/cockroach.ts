import type { ClientBase } from 'pg';
import { quoteIdent } from '../core/ident.js';
import { check, type PreflightResult } from './result.js';

/** Shorter than this, a controller that was away for a while has to compare whole tables at failback. */
const SHORTEST_GC_SECONDS = 3600;

/**
 * What failover to CockroachDB and the failback from it build on. Warnings only: where changefeeds are refused or their
 * window has passed, a full comparison does the same work. A setting that the role may not read is a warning, too.
 */
export async function cockroachChecks(client: ClientBase): Promise<PreflightResult[]> {
  return [await rangefeedCheck(client), await gcCheck(client), await applicationRoleCheck(client)];
}

async function rangefeedCheck(client: ClientBase): Promise<PreflightResult> {
  const value = await readText(client, 'SHOW CLUSTER SETTING kv.rangefeed.enabled');
  const enabled = value !== null && /^(true|on|t)$/i.test(value);
  return check('secondary-rangefeeds', 'Rangefeeds are on', {
    detail: 'kv.rangefeed.enabled is true',
    problem: enabled
      ? null
      : {
          severity: 'warning',
          detail:
            value === null ? 'kv.rangefeed.enabled cannot be read by this role' : `kv.rangefeed.enabled is ${value}`,
          remedy: 'SET CLUSTER SETTING kv.rangefeed.enabled = true; without it a failback compares whole tables.',
        },
  });
}

/** Neither root, nor an admin, nor our own role can be kept from writing to the standby: there are no triggers to guard it. */
async function applicationRoleCheck(client: ClientBase): Promise<PreflightResult> {
  const { rows } = await client.query<{ name: string; me: string }>(
    `SELECT r.rolname AS name, current_user AS me FROM pg_catalog.pg_roles AS r
     WHERE r.rolcanlogin AND NOT r.rolsuper AND r.rolname NOT IN ('root', 'admin', 'node') AND r.rolname <> current_user
       AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_auth_members AS a JOIN pg_catalog.pg_roles AS g ON g.oid = a.roleid
         WHERE a.member = r.oid AND g.rolname = 'admin') ORDER BY 1`,
  );
  const names = rows.map((row) => row.name);
  return check('secondary-application-role', 'The application has a role of its own', {
    detail: `${names.slice(0, 5).join(', ')} may log in and can be fenced`,
    problem:
      names.length > 0
        ? null
        : {
            severity: 'warning',
            detail: 'only admins and the role of DATABASE_URL_SECONDARY may log in, and those cannot be fenced',
            remedy:
              'CREATE ROLE app LOGIN PASSWORD ...; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO app; and let the application use it.',
          },
  });
}

async function gcCheck(client: ClientBase): Promise<PreflightResult> {
  const config = await readText(client, `SHOW ZONE CONFIGURATION FROM DATABASE ${await currentDatabase(client)}`, 1);
  const seconds = config === null ? null : gcSecondsOf(config);
  const remedy = 'ALTER DATABASE ... CONFIGURE ZONE USING gc.ttlseconds = 14400; where the plan allows it.';
  return check('secondary-gc-window', 'Garbage collection leaves time for a failback', {
    detail: `gc.ttlseconds is ${seconds ?? 'unknown'}`,
    problem:
      seconds === null
        ? { severity: 'warning', detail: 'gc.ttlseconds cannot be read by this role' }
        : seconds < SHORTEST_GC_SECONDS
          ? { severity: 'warning', detail: `gc.ttlseconds is ${seconds}: a changefeed can go back no further`, remedy }
          : null,
  });
}

/** From the statement that SHOW ZONE CONFIGURATION gives; null when it does not name the time. */
export function gcSecondsOf(zoneConfiguration: string): number | null {
  const match = /gc\.ttlseconds\s*=\s*(\d+)/.exec(zoneConfiguration);
  return match ? Number(match[1]) : null;
}

async function currentDatabase(client: ClientBase): Promise<string> {
  const { rows } = await client.query<{ name: string }>('SELECT current_database() AS name');
  return quoteIdent(rows[0]?.name ?? '');
}

/** One column of the first row as text; null when the server refuses. */
async function readText(client: ClientBase, sql: string, column = 0): Promise<string | null> {
  try {
    const { rows } = await client.query<unknown[]>({ text: sql, rowMode: 'array' });
    const value = rows[0]?.[column];
    return value === undefined || value === null ? null : String(value);
  } catch {
    return null;
  }
}
