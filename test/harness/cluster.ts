/** The two servers that a whole run shares, and pairs of fresh databases on them for one test each. */
import { randomBytes } from 'node:crypto';
import type { Client } from 'pg';
import { quoteIdent } from '../../src/core/ident.js';
import { ask } from './broker.js';
import type { SecondaryDialect } from './secondary-dialects.js';
import { withClient } from './sql.js';
import { waitFor } from './wait.js';

export interface SharedServer {
  /** Connection string with the right to create databases and roles; of the default database when none is named. */
  url(database?: string): string;
}

export interface TestDatabase {
  readonly name: string;
  readonly url: string;
}

export interface DatabasePair extends AsyncDisposable {
  readonly dialect: SecondaryDialect;
  readonly primary: TestDatabase;
  readonly secondary: TestDatabase;
}

/** PostgreSQL 18, shared by all test files: do not stop it, and do not change its settings. */
export async function getPrimary(): Promise<SharedServer> {
  return sharedServer(await ask('primary'));
}

/** PostgreSQL 14, as shared. */
async function getOldestPrimary(): Promise<SharedServer> {
  return sharedServer(await ask('oldestPrimary'));
}

/** The PostgreSQL server or CockroachDB that holds the secondaries; as shared as the primary. */
export async function getSecondary(dialect: SecondaryDialect = 'postgres'): Promise<SharedServer> {
  return sharedServer(await ask(dialect === 'cockroach' ? 'cockroach' : 'secondary'));
}

/**
 * Two empty databases, one on each server, named `<prefix>_<random>`. Disposing ends their sessions and drops their
 * replication slots and themselves; roles and publications of other databases are the test's own affair.
 */
export async function createDatabasePair(
  prefix: string,
  dialect: SecondaryDialect = 'postgres',
  version: 'newest' | 'oldest' = 'newest',
): Promise<DatabasePair> {
  const name = `${prefix}_${randomBytes(5).toString('hex')}`;
  const [primary, secondary] = await Promise.all([
    version === 'newest' ? getPrimary() : getOldestPrimary(),
    getSecondary(dialect),
  ]);
  await Promise.all([createDatabase(primary, name), createDatabase(secondary, name)]);
  return {
    dialect,
    primary: { name, url: primary.url(name) },
    secondary: { name, url: secondary.url(name) },
    [Symbol.asyncDispose]: async () => {
      await Promise.all([
        dropPostgresDatabase(primary, name),
        dialect === 'postgres' ? dropPostgresDatabase(secondary, name) : dropCockroachDatabase(secondary, name),
      ]);
    },
  };
}

function sharedServer(base: string): SharedServer {
  return {
    url(database) {
      const url = new URL(base);
      if (database !== undefined) url.pathname = `/${encodeURIComponent(database)}`;
      return url.href;
    },
  };
}

async function createDatabase(server: SharedServer, name: string): Promise<void> {
  await withClient(server.url(), (client) => client.query(`CREATE DATABASE ${quoteIdent(name)}`));
}

async function dropPostgresDatabase(server: SharedServer, name: string): Promise<void> {
  await withClient(server.url(), async (client) => {
    // Nobody can come back while the sessions are ended.
    await client.query(`ALTER DATABASE ${quoteIdent(name)} WITH ALLOW_CONNECTIONS false`);
    await waitFor(() => dropSlots(client, name), { what: `replication slots of ${name} are dropped` });
    await client.query(`DROP DATABASE ${quoteIdent(name)} WITH (FORCE)`);
  });
}

/** A slot can be dropped only when its walsender is gone, which takes a moment after the signal. */
async function dropSlots(client: Client, database: string): Promise<boolean> {
  await client.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [database]);
  const { rows } = await client.query<{ slot_name: string; active: boolean }>(
    'SELECT slot_name, active FROM pg_replication_slots WHERE database = $1',
    [database],
  );
  for (const slot of rows.filter((row) => !row.active)) {
    await client.query('SELECT pg_drop_replication_slot($1)', [slot.slot_name]);
  }
  return rows.length === 0;
}

/** Sessions do not keep CockroachDB from dropping a database; their next statement fails. */
async function dropCockroachDatabase(server: SharedServer, name: string): Promise<void> {
  await withClient(server.url(), (client) => client.query(`DROP DATABASE ${quoteIdent(name)} CASCADE`));
}
