/** Refusals of a secondary that are nobody's row: how each begins, and how it ends. */
import { Client } from 'pg';
import type { DatabasePair } from '../../harness/cluster.js';
import { getSecondary } from '../../harness/cluster.js';
import type { SecondaryDialect } from '../../harness/secondary-dialects.js';
import { query } from '../../harness/sql.js';
import { waitFor } from '../../harness/wait.js';

/** The stream's own role on the secondary: what is set for it spares everybody else on the server. */
export class TargetRole implements AsyncDisposable {
  readonly dialect: SecondaryDialect;
  name = '';
  /** Of the superuser. */
  url = '';

  constructor(dialect: SecondaryDialect) {
    this.dialect = dialect;
  }

  /** @returns the connection string of the new role */
  async create({ secondary }: Pick<DatabasePair, 'secondary'>): Promise<string> {
    this.name = `role_${secondary.name}`;
    this.url = secondary.url;
    const postgres = `CREATE ROLE ${this.name} LOGIN PASSWORD 'secret'; GRANT CREATE ON DATABASE ${secondary.name} TO ${this.name};
      GRANT CREATE ON SCHEMA public TO ${this.name}; ALTER ROLE ${this.name} SET deadlock_timeout = '3s'`;
    const cockroach = `CREATE ROLE ${this.name} LOGIN; GRANT admin TO ${this.name}`;
    await query(this.url, this.dialect === 'postgres' ? postgres : cockroach);
    const url = Object.assign(new URL(this.url), { username: this.name });
    if (this.dialect === 'postgres') url.password = 'secret';
    return url.href;
  }

  admin(sql: string): Promise<Record<string, unknown>[]> {
    return query(this.url, sql);
  }

  async endSessions(): Promise<void> {
    await this.admin(
      this.dialect === 'postgres'
        ? `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '${this.name}'`
        : `CANCEL SESSIONS IF EXISTS (SELECT session_id FROM [SHOW SESSIONS] WHERE user_name = '${this.name}')`,
    );
  }

  /** A statement of it waits for a lock of somebody else (PostgreSQL), or runs longer than any that does not. */
  async waits(): Promise<void> {
    const sql =
      this.dialect === 'postgres'
        ? `SELECT 1 FROM pg_stat_activity WHERE usename = '${this.name}' AND wait_event_type = 'Lock'`
        : `SELECT 1 FROM [SHOW QUERIES] WHERE user_name = '${this.name}' AND start::timestamptz < now() - interval '300ms'`;
    await waitFor(async () => (await this.admin(sql)).length > 0, { what: 'the stream waits', timeoutMs: 30_000 });
  }

  /** Its database, and with it all that it owns, is gone by now. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.name === '') return;
    const server = (await getSecondary(this.dialect)).url();
    if (this.dialect === 'cockroach') await query(server, `REVOKE admin FROM ${this.name}`);
    await query(server, `DROP ROLE ${this.name}`);
  }
}

export interface Refusal {
  readonly name: string;
  /** What the stream is told. */
  readonly sqlstate: string;
  /** Both when not given. */
  readonly dialect?: SecondaryDialect;
  /** @returns what ends it */
  begin(role: TargetRole): Promise<() => Promise<void>>;
}

/** Every write of the table `ledger` fails with this. */
function raised(sqlstate: string): Refusal['begin'] {
  return async (role) => {
    if (role.dialect === 'postgres') {
      await role.admin(
        `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = '${sqlstate}'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON ledger EXECUTE FUNCTION refuse()`,
      );
      return async () => void (await role.admin('DROP TRIGGER refuse ON ledger; DROP FUNCTION refuse()'));
    }
    const check = `crdb_internal.force_error('${sqlstate}', 'not now') = 0`;
    await role.admin(`ALTER TABLE ledger ADD CONSTRAINT refuse CHECK (${check}) NOT VALID`);
    return async () => void (await role.admin('ALTER TABLE ledger DROP CONSTRAINT refuse'));
  };
}

/** A session that holds the row of `balance`, which every transaction of the workload updates. */
async function holder(url: string): Promise<Client> {
  const client = new Client({ connectionString: url, application_name: 'somebody' });
  client.on('error', () => undefined);
  await client.connect();
  await client.query('BEGIN');
  await client.query('SELECT * FROM balance WHERE id = 1 FOR UPDATE');
  return client;
}

export const REFUSALS: readonly Refusal[] = [
  { name: 'a full disk', sqlstate: '53100', begin: raised('53100') },
  { name: 'a storm of 40001', sqlstate: '40001', begin: raised('40001') },
  {
    name: 'no connection left',
    sqlstate: '53300',
    dialect: 'postgres',
    async begin(role) {
      await role.admin(`ALTER ROLE ${role.name} CONNECTION LIMIT 0`);
      await role.endSessions();
      return async () => void (await role.admin(`ALTER ROLE ${role.name} CONNECTION LIMIT -1`));
    },
  },
  {
    // On PostgreSQL our sessions set this for themselves; a standby is what is read-only there.
    name: 'read-only',
    sqlstate: '25006',
    dialect: 'cockroach',
    async begin(role) {
      await role.admin(`ALTER ROLE ${role.name} SET default_transaction_read_only = on`);
      await role.endSessions();
      // Sessions that have begun meanwhile stay read-only.
      return async () => void (await role.admin(`ALTER ROLE ${role.name} RESET default_transaction_read_only`));
    },
  },
  {
    name: 'a statement that is cancelled',
    sqlstate: '57014',
    async begin(role) {
      const other = await holder(role.url);
      await role.waits();
      await role.admin(
        role.dialect === 'postgres'
          ? `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE usename = '${role.name}' AND wait_event_type = 'Lock'`
          : `CANCEL QUERIES IF EXISTS (SELECT query_id FROM [SHOW QUERIES] WHERE user_name = '${role.name}')`,
      );
      return () => other.end();
    },
  },
  {
    name: 'a deadlock',
    sqlstate: '40P01',
    dialect: 'postgres',
    async begin(role) {
      const other = await holder(role.url);
      await other.query(`SET deadlock_timeout = '60s'`);
      await role.waits();
      // What the stream has written before it waits for us: now we wait for it, and it is the one to notice.
      const waiting = other.query('LOCK TABLE ledger IN SHARE MODE').catch(() => undefined);
      return async () => {
        await waiting;
        await other.end();
      };
    },
  },
];
