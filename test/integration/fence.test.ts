/**
 * G6: what a fence does to those who are connected, to those who come, and to what they have begun; and that opening
 * restores exactly what was there. On each dialect, for the application's own role and for one that uses ours.
 */
import { Client } from 'pg';
import { describe, expect, it } from 'vitest';
import { clientConfig } from '../../src/config/client-config.js';
import { parseDatabaseUrl } from '../../src/config/database-url.js';
import { systemClock } from '../../src/core/clock.js';
import { quoteIdent } from '../../src/core/ident.js';
import { Database } from '../../src/failover/database.js';
import type { Fence } from '../../src/failover/fence.js';
import { CockroachFence } from '../../src/failover/fence-cockroach.js';
import { PostgresFence } from '../../src/failover/fence-postgres.js';
import { migrate } from '../../src/meta/migrate.js';
import { createDatabasePair, type TestDatabase } from '../harness/cluster.js';
import { describeDialects, type SecondaryDialect } from '../harness/secondary-dialects.js';
import { query, withClient } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { TestLog } from './support/stream.js';

const TABLES = [
  { schema: 'public', name: 'accounts' },
  { schema: 'We "ird', name: "T's" },
];
const DDL = `CREATE TABLE accounts (id int PRIMARY KEY, v text); INSERT INTO accounts VALUES (1, 'a');
  CREATE SCHEMA "We ""ird"; CREATE TABLE "We ""ird"."T's" (id int PRIMARY KEY, "v V" text);`;

interface Fenced extends AsyncDisposable {
  readonly database: TestDatabase;
  readonly fence: Fence;
  readonly role: string;
  /** As the application's role. */
  readonly appUrl: string;
  readonly log: TestLog;
}

/** @param side on a PostgreSQL pair: which of the two databases, with what that means for logins */
async function fenced(dialect: SecondaryDialect, side: 'primary' | 'secondary'): Promise<Fenced> {
  const pair = await createDatabasePair('fence', dialect);
  const database = pair[side];
  const log = new TestLog();
  // CockroachDB takes no others.
  const role = dialect === 'postgres' ? `App "${database.name}" \\ é` : `app-${database.name}`;
  const password = dialect === 'postgres' ? ` PASSWORD 'application'` : '';
  await query(database.url, DDL);
  await query(database.url, `CREATE ROLE ${quoteIdent(role)} LOGIN${password}`);
  await query(
    database.url,
    `GRANT SELECT, INSERT, UPDATE ON TABLE accounts TO ${quoteIdent(role)}; GRANT USAGE ON SCHEMA "We ""ird" TO ${quoteIdent(role)};
     GRANT ALL ON TABLE "We ""ird"."T's" TO ${quoteIdent(role)}`,
  );
  await withClient(database.url, (client) => migrate(client, side, systemClock, log));
  const config = clientConfig(parseDatabaseUrl(database.url));
  const connect = () => new Database({ side, purpose: 'controller', clock: systemClock, config });
  const [connection, aside] = [connect(), connect()];
  const parts = { stream: 's', database: connection, clock: systemClock, log, deadlineMs: 10_000 };
  const fence =
    dialect === 'cockroach'
      ? new CockroachFence(parts, aside)
      : new PostgresFence(parts, { refuseLogins: side === 'primary' });
  const url = new URL(database.url);
  url.username = encodeURIComponent(role);
  url.password = dialect === 'postgres' ? 'application' : '';
  return {
    database,
    fence,
    role,
    appUrl: url.href,
    log,
    async [Symbol.asyncDispose]() {
      await Promise.all([connection.close(), aside.close()]);
      await pair[Symbol.asyncDispose]();
      // Roles are the server's: what it owned or was granted is gone with the database.
      await query((await serverUrl(database)).href, `DROP ROLE IF EXISTS ${quoteIdent(role)}`).catch(() => undefined);
    },
  };
}

async function serverUrl(database: TestDatabase): Promise<URL> {
  const url = new URL(database.url);
  url.pathname = url.searchParams.has('sslmode') ? '/defaultdb' : '/postgres';
  return url;
}

async function session(url: string): Promise<Client> {
  const client = new Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

const refusedState = (error: unknown) => (error as { code?: string }).code ?? 'connection lost';
const outcome = (work: Promise<unknown>) => work.then(() => 'done', refusedState);
const rows = async (database: TestDatabase) =>
  Number((await query<{ n: string }>(database.url, 'SELECT count(*)::text AS n FROM accounts'))[0]?.n);
const soon = () => AbortSignal.timeout(20_000);

/** Everything about rights that a fence may touch, as the server tells it. */
async function rights(database: TestDatabase, dialect: SecondaryDialect): Promise<unknown> {
  if (dialect === 'cockroach') {
    return [
      await query(database.url, 'SELECT grantee, privilege_type FROM [SHOW GRANTS ON TABLE accounts] ORDER BY 1, 2'),
      await query(
        database.url,
        `SELECT grantee, privilege_type FROM [SHOW GRANTS ON TABLE "We ""ird"."T's"] ORDER BY 1, 2`,
      ),
    ];
  }
  return query(
    database.url,
    `SELECT (SELECT json_agg(json_build_object('n', c.relname, 'acl', ARRAY(SELECT x::text FROM unnest(c.relacl) x ORDER BY 1)) ORDER BY c.oid) FROM pg_class c WHERE relname IN ('accounts', 'T''s'))::text AS acl,
       (SELECT json_agg(ARRAY(SELECT x::text FROM unnest(a.attacl) x ORDER BY 1) ORDER BY attrelid, attnum) FROM pg_attribute a WHERE attrelid = 'accounts'::regclass)::text AS columns,
       (SELECT json_agg(json_build_object('r', rolname, 'l', rolcanlogin) ORDER BY rolname) FROM pg_roles WHERE rolname LIKE '%' || current_database() || '%')::text AS roles,
       (SELECT json_agg(setconfig) FROM pg_db_role_setting WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()))::text AS settings`,
  );
}

const places: readonly (readonly [SecondaryDialect, 'primary' | 'secondary'])[] = [
  ['postgres', 'primary'],
  ['postgres', 'secondary'],
  ['cockroach', 'secondary'],
];

describeDialects('G6 a fence', (dialect) => {
  for (const [, side] of places.filter(([each]) => each === dialect)) {
    describe(`of the ${side}`, () => {
      it('ends what is open, refuses what comes, and restores exactly what was there', async () => {
        await using it_ = await fenced(dialect, side);
        const before = await rights(it_.database, dialect);
        const idle = await session(it_.appUrl);
        const open = await session(it_.appUrl);
        await open.query(`BEGIN; INSERT INTO accounts VALUES (2, 'open transaction')`);

        const report = await it_.fence.close(TABLES, soon());
        expect(report.roles).toEqual([it_.role]);
        expect(report.gaps).toEqual([]);
        expect(report.ended).toBeGreaterThanOrEqual(2);
        expect(await it_.fence.isClosed()).toBe(true);

        expect(await outcome(open.query('COMMIT'))).not.toBe('done');
        expect(await outcome(idle.query(`INSERT INTO accounts VALUES (3, 'live session')`))).not.toBe('done');
        const again = await outcome(query(it_.appUrl, `INSERT INTO accounts VALUES (4, 'new session')`));
        expect(again).toBe(side === 'primary' ? '28000' : '42501');
        // Routers read the control row there, when the controller is silent.
        if (side === 'secondary')
          expect(await query(it_.appUrl, 'SELECT epoch FROM db_redundancy.control')).toEqual([]);
        expect(await rows(it_.database)).toBe(1);

        await it_.fence.close(TABLES, soon());
        await it_.fence.open();
        await it_.fence.open();
        expect(await it_.fence.isClosed()).toBe(false);
        expect(await rights(it_.database, dialect)).toEqual(before);
        await query(it_.appUrl, `INSERT INTO accounts VALUES (5, 'after')`);
        expect(await rows(it_.database)).toBe(2);
        await Promise.allSettled([idle.end(), open.end()]);
      });

      it('closes under a storm of reconnecting writers, without a row that comes in afterwards', async () => {
        await using it_ = await fenced(dialect, side);
        let stop = false;
        let next = 100;
        let attempts = 0;
        const writer = async () => {
          while (!stop) {
            attempts += 1;
            try {
              await withClient(it_.appUrl, async (client) => {
                for (let i = 0; i < 20 && !stop; i++) {
                  next += 1;
                  await client.query(`INSERT INTO accounts VALUES (${next}, 'storm')`);
                }
              });
            } catch {
              // Refused or cut: it comes again.
            }
          }
        };
        const writers = Array.from({ length: 4 }, writer);
        try {
          await waitFor(async () => (await rows(it_.database)) > 20, { what: 'the storm blows' });
          await it_.fence.close(TABLES, soon());
          const closed = await rows(it_.database);
          const until = attempts + 40;
          await waitFor(() => attempts > until, { what: 'they have tried again' });
          expect(await rows(it_.database)).toBe(closed);
        } finally {
          stop = true;
          await Promise.all(writers);
        }
      });
    });
  }
});

describe('G6 a fence against the role that is also ours', () => {
  it.each(['primary', 'secondary'] as const)('refuses it on the %s, and lets our own sessions write', async (side) => {
    await using it_ = await fenced('postgres', side);
    const open = await session(it_.database.url);
    await open.query(`BEGIN; INSERT INTO accounts VALUES (2, 'open')`);
    const before = await rights(it_.database, 'postgres');
    await it_.fence.close(TABLES, soon());
    expect(await outcome(open.query('COMMIT'))).not.toBe('done');
    const write = (more = 'SELECT 1') =>
      outcome(
        withClient(it_.database.url, async (client) => {
          await client.query(more);
          await client.query(`INSERT INTO accounts VALUES (3, 'owner')`);
        }),
      );
    expect(await write()).toBe('25006');
    expect(await write('SET default_transaction_read_only = off;')).toBe('25006');
    expect(await outcome(query(it_.database.url, 'BEGIN READ WRITE; TRUNCATE accounts; COMMIT'))).toBe('25006');
    expect(
      await outcome(
        query(
          it_.database.url,
          `BEGIN READ WRITE; SET session_replication_role = replica; DELETE FROM accounts; COMMIT`,
        ),
      ),
    ).toBe('25006');
    expect(await write(`SET db_redundancy.writer = 'on'; SET default_transaction_read_only = off;`)).toBe('done');
    await it_.fence.open();
    expect(await rights(it_.database, 'postgres')).toEqual(before);
    expect(await outcome(query(it_.database.url, `INSERT INTO accounts VALUES (4, 'owner')`))).toBe('done');
    await it_.fence.remove(TABLES);
    expect(await query(it_.database.url, `SELECT tgname FROM pg_trigger WHERE tgname LIKE 'db_redundancy%'`)).toEqual(
      [],
    );
    await open.end().catch(() => undefined);
  });

  it('reaches rights on columns, by a group, with the grant option and of PUBLIC', async () => {
    await using it_ = await fenced('postgres', 'primary');
    const group = quoteIdent(`group ${it_.database.name}`);
    await query(
      it_.database.url,
      `CREATE ROLE ${group} NOLOGIN; GRANT UPDATE (v) ON accounts TO ${group} WITH GRANT OPTION; GRANT DELETE ON accounts TO PUBLIC;
       GRANT ${group} TO ${quoteIdent(it_.role)}; REVOKE UPDATE, INSERT ON accounts FROM ${quoteIdent(it_.role)}`,
    );
    const before = await rights(it_.database, 'postgres');
    expect((await it_.fence.close(TABLES, soon())).roles).toContain(it_.role);
    expect(
      await query(
        it_.database.url,
        `SELECT has_any_column_privilege($1, 'accounts', 'INSERT, UPDATE') OR has_table_privilege($1, 'accounts', 'DELETE') AS can`,
        [it_.role],
      ),
    ).toEqual([{ can: false }]);
    await it_.fence.open();
    expect(await rights(it_.database, 'postgres')).toEqual(before);
    await query(it_.database.url, `DROP OWNED BY ${group}; DROP ROLE ${group}`);
  });

  it('guards partitions, also against rows written to them directly', async () => {
    await using it_ = await fenced('postgres', 'primary');
    await query(
      it_.database.url,
      `CREATE TABLE parted (id int, v text) PARTITION BY RANGE (id); CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10)`,
    );
    await it_.fence.close([...TABLES, { schema: 'public', name: 'parted' }], soon());
    for (const sql of [
      'INSERT INTO parted VALUES (1)',
      'INSERT INTO parted_1 VALUES (1)',
      'TRUNCATE parted_1',
      'TRUNCATE parted',
    ])
      expect(await outcome(query(it_.database.url, `BEGIN READ WRITE; ${sql}; COMMIT`)), sql).toBe('25006');
    await it_.fence.open();
    await query(it_.database.url, 'INSERT INTO parted_1 VALUES (1)');
  });

  it('forgets objects that were dropped while it stood', async () => {
    await using it_ = await fenced('postgres', 'secondary');
    await it_.fence.close(TABLES, soon());
    await query(it_.database.url, `BEGIN READ WRITE; DROP TABLE "We ""ird"."T's"; COMMIT`);
    await it_.fence.open();
    expect(await it_.fence.isClosed()).toBe(false);
    expect(it_.log.entries.filter(({ level }) => level === 'warn').length).toBeGreaterThan(0);
  });
});
