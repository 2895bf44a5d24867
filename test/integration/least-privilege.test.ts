/**
 * The roles of docs/operations.md are enough: a role of ours that is no superuser, members of the tables' owner on the
 * primary, and a role of the application's own on both sides. Doctor, load, stream, failover and failback with them, each
 * by the process that does it.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Serve, serveEnvironment } from '../faults/support/serve.js';
import { createDatabasePair, getPrimary, getSecondary } from '../harness/cluster.js';
import { spawnCli } from '../harness/process.js';
import { describeDialects, type SecondaryDialect } from '../harness/secondary-dialects.js';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';

const TOKEN = 'least-privilege-token';

interface Roles {
  readonly owner: string;
  readonly ours: string;
  readonly application: string;
}

/** As docs/operations.md, "Roles", has it, word for word but for the names. */
const PRIMARY = ({ application, ours, owner }: Roles, database: string) => `
CREATE ROLE ${owner}; GRANT CREATE ON SCHEMA public TO ${owner};
CREATE ROLE ${application} LOGIN PASSWORD 'app';
CREATE ROLE ${ours} LOGIN REPLICATION PASSWORD 'ours';
GRANT ${owner}, pg_signal_backend TO ${ours};
GRANT CREATE ON DATABASE ${database} TO ${ours};
CREATE TABLE t (id serial PRIMARY KEY, v text); ALTER TABLE t OWNER TO ${owner};
CREATE TABLE u (id serial PRIMARY KEY, t_id int REFERENCES t); ALTER TABLE u OWNER TO ${owner};`;

const SECONDARY: Readonly<Record<SecondaryDialect, (roles: Roles, database: string) => string>> = {
  postgres: ({ application, ours }, database) => `
CREATE ROLE ${application} LOGIN PASSWORD 'app';
CREATE ROLE ${ours} LOGIN REPLICATION PASSWORD 'ours';
GRANT pg_signal_backend TO ${ours};
GRANT CREATE ON DATABASE ${database} TO ${ours};
GRANT CREATE ON SCHEMA public TO ${ours};`,
  // The server of the tests has no certificates, and therefore no passwords.
  cockroach: ({ application, ours }, database) => `
CREATE ROLE ${application} LOGIN;
CREATE ROLE ${ours} LOGIN;
GRANT CREATE ON DATABASE ${database} TO ${ours};
ALTER ROLE ${ours} WITH CONTROLCHANGEFEED CANCELQUERY VIEWACTIVITY;`,
};

const APPLICATION = ({ application }: Roles) => `
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ${application};
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO ${application};`;

/** Before 22.2 CockroachDB knows no ALL SEQUENCES, and a sequence is drawn from with UPDATE. */
async function applicationRights(url: string, roles: Roles, dialect: SecondaryDialect): Promise<string[]> {
  const [tables = '', sequences = ''] = APPLICATION(roles).split(';');
  if (dialect === 'postgres') return [tables, sequences];
  const found = await query<{ name: string }>(
    url,
    `SELECT quote_ident(sequence_name) AS name FROM information_schema.sequences WHERE sequence_schema = 'public'`,
  );
  return [tables, ...found.map(({ name }) => `GRANT SELECT, UPDATE ON TABLE ${name} TO ${roles.application}`)];
}

describeDialects('least privilege', (dialect) => {
  it('G6 roles without a superuser carry doctor, load, stream, failover and failback', {
    timeout: 120_000,
  }, async () => {
    const suffix = randomBytes(4).toString('hex');
    const roles = { owner: `lp_owner_${suffix}`, ours: `lp_ours_${suffix}`, application: `lp_app_${suffix}` };
    // Roles are the server's.
    await using _roles = later(async () => {
      for (const server of [await getPrimary(), await getSecondary(dialect)])
        for (const role of Object.values(roles).reverse()) await query(server.url(), `DROP ROLE IF EXISTS ${role}`);
    });
    await using pair = await createDatabasePair('least', dialect);
    const stateDir = await mkdtemp(join(tmpdir(), 'db-redundancy-least-'));
    await using _folder = later(() => rm(stateDir, { recursive: true, force: true }));
    await query(pair.primary.url, PRIMARY(roles, pair.primary.name) + APPLICATION(roles));
    for (const statement of SECONDARY[dialect](roles, pair.secondary.name).split(';').slice(0, -1))
      await query(pair.secondary.url, statement);

    const passwords = dialect === 'postgres' ? { ours: 'ours', app: 'app' } : { ours: '', app: '' };
    const environment = serveEnvironment(
      {
        primary: { ...pair.primary, url: as(pair.primary.url, roles.ours, 'ours') },
        secondary: { ...pair.secondary, url: as(pair.secondary.url, roles.ours, passwords.ours) },
      },
      {
        DB_CONTROL_TOKEN: TOKEN,
        DB_STATE_DIR: stateDir,
        DB_HEALTH_CHECK_INTERVAL_MS: '1000',
        DB_HEALTH_TIMEOUT_MS: '1000',
        DB_FAILBACK_THRESHOLD: '1',
        DB_COOLDOWN_MS: '0',
        DB_AUTO_FAILBACK: 'false',
      },
    );
    for (const command of ['init-secondary', 'doctor']) {
      await using process = await spawnCli([command], { env: environment });
      expect(await process.exit, process.output()).toMatchObject({ code: 0 });
    }
    for (const statement of await applicationRights(pair.secondary.url, roles, dialect))
      await query(pair.secondary.url, statement);
    await using streamer = await Serve.start(environment, 'streamer');
    await streamer.leading();
    await using controller = await Serve.start(environment, 'controller');
    const base = `${await controller.base()}/api/system`;
    const state = (wanted: string) =>
      waitFor(async () => ((await (await fetch(`${base}/db-health`)).json()) as { state: string }).state === wanted, {
        what: wanted,
        timeoutMs: 30_000,
      });
    const order = async (verb: string) => {
      const headers = { Authorization: `Bearer ${TOKEN}`, 'Content-Type': 'application/json' };
      const response = await fetch(`${base}/${verb}`, { method: 'POST', headers, body: '{"reason":"test"}' });
      expect(await response.json()).toMatchObject({ done: true });
    };
    const write = (side: 'primary' | 'secondary') =>
      query(
        as(pair[side].url, roles.application, side === 'primary' ? 'app' : passwords.app),
        `INSERT INTO t (v) VALUES ('of the application') RETURNING id`,
      ).then(
        () => 'ok',
        (error: { code?: string; message?: string }) => error.code ?? String(error.message),
      );

    await state('PRIMARY_ACTIVE');
    expect(await write('primary')).toBe('ok');
    await order('failover');
    expect([await write('primary'), await write('secondary')]).toEqual([
      expect.stringMatching(/^(42501|28000)$/),
      'ok',
    ]);
    await state('READY');
    await order('failback');
    expect([await write('primary'), await write('secondary')]).toEqual(['ok', '42501']);
    const rows = (side: 'primary' | 'secondary') => query(pair[side].url, 'SELECT id::text, v FROM t ORDER BY id');
    await waitFor(async () => (await rows('secondary')).length === 3, { what: 'all three' });
    expect(await rows('primary')).toEqual(await rows('secondary'));
    // What the process tried and had no right to would be here; refusing logins is a layer that the guard stands in for.
    const STOOD_IN = 'A measure of the fence was refused; the guard trigger stands in';
    const refused = /permission denied|must be owner|insufficient privilege|has a gap|42501/i;
    for (const { process } of [streamer, controller])
      expect(
        process
          .output()
          .split('\n')
          .filter((line) => refused.test(line) && !line.includes(STOOD_IN)),
      ).toEqual([]);
  });
});

function as(url: string, user: string, password: string): string {
  return Object.assign(new URL(url), { username: user, password }).href;
}

function later(work: () => Promise<void>): AsyncDisposable {
  return { [Symbol.asyncDispose]: work };
}
