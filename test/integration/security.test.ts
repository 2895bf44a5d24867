/**
 * What an attacker tries first (SPEC sections 9, 13 and 15): passwords and tokens in anything that is said, control verbs
 * from a page of another origin, and names and reasons that are SQL or markup.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Serve, type ServeEnvironment, serveEnvironment } from '../faults/support/serve.js';
import { createDatabasePair, type DatabasePair, getPrimary, getSecondary } from '../harness/cluster.js';
import { spawnCli } from '../harness/process.js';
import { TcpProxy } from '../harness/proxy.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';

const CANARY = 'kanarienvogel';
const TOKEN = `${CANARY}-token-0123456789`;
const HOSTILE = `x"; DROP TABLE t; -- <img src=x onerror=alert(1)>`;
const NAME = `"${HOSTILE.replaceAll('"', '""')}"`;
/** A table's name is the name of a type, too. */
const ENUM = `"kind ${HOSTILE.replaceAll('"', '""')}"`;
const LABEL = `it's "${HOSTILE}`;
/** Schema, table, column, enum and label, publication: everything that has a name. */
const DDL = `CREATE TABLE t (id int PRIMARY KEY, ${NAME} text);
  CREATE SCHEMA ${NAME}; CREATE TYPE ${NAME}.${ENUM} AS ENUM ('plain', '${LABEL.replaceAll("'", "''")}');
  CREATE TABLE ${NAME}.${NAME} (${NAME} int PRIMARY KEY, kind ${NAME}.${ENUM}, v text)`;
const PATHS = [
  '/',
  '/metrics',
  '/healthz',
  '/readyz',
  '/api/system/db-health',
  '/api/system/replication-lag',
  '/api/system/tables',
  '/api/system/history',
  '/api/system/conflicts',
  '/api/system/dead-letters',
  '/api/system/route',
  '/api/system/lag-history',
];

async function run(args: readonly string[], env: ServeEnvironment): Promise<{ code: number | null; output: string }> {
  await using command = await spawnCli(args, { env });
  const { code } = await command.exit;
  return { code, output: command.output() };
}

describeDialects('security', (dialect) => {
  let pair: DatabasePair;
  let proxies: { primary: TcpProxy; secondary: TcpProxy };
  let environment: ServeEnvironment;
  let serve: Serve;
  let role: string;

  beforeAll(async () => {
    pair = await createDatabasePair('security', dialect);
    role = `canary_${pair.primary.name}`;
    await query(pair.primary.url, DDL);
    const superuser = `CREATE ROLE ${role} LOGIN SUPERUSER PASSWORD '${CANARY}'`;
    await query(pair.primary.url, superuser);
    // A CockroachDB without certificates knows no passwords, and does not ask for the one in the URL.
    const admin = `CREATE ROLE ${role} LOGIN; GRANT admin TO ${role}`;
    await query(pair.secondary.url, dialect === 'postgres' ? superuser : admin);
    proxies = { primary: await TcpProxy.start(pair.primary.url), secondary: await TcpProxy.start(pair.secondary.url) };
    const through = (side: 'primary' | 'secondary') => {
      const url = new URL(proxies[side].url(pair[side].url));
      url.username = role;
      url.password = CANARY;
      return url.href;
    };
    environment = serveEnvironment(
      {
        primary: { ...pair.primary, url: through('primary') },
        secondary: { ...pair.secondary, url: through('secondary') },
      },
      {
        DB_CONTROL_TOKEN: TOKEN,
        DB_PUBLICATION: HOSTILE,
        LOG_LEVEL: 'trace',
        DB_HEALTH_CHECK_INTERVAL_MS: '500',
        DB_HEALTH_TIMEOUT_MS: '500',
        DB_FAILOVER_THRESHOLD: '1000',
      },
    );
    serve = await Serve.start(environment);
    await serve.leading();
    await serve.caughtUp();
  }, 90_000);

  afterAll(async () => {
    await serve?.[Symbol.asyncDispose]();
    await proxies?.primary[Symbol.asyncDispose]();
    await proxies?.secondary[Symbol.asyncDispose]();
    await query(pair.primary.url, `DROP PUBLICATION IF EXISTS ${NAME}`);
    // What the role owns is in the databases; roles are the servers'.
    await pair[Symbol.asyncDispose]();
    await query((await getPrimary()).url(), `DROP ROLE IF EXISTS ${role}`);
    if (dialect === 'cockroach') await query((await getSecondary(dialect)).url(), `REVOKE admin FROM ${role}`);
    await query((await getSecondary(dialect)).url(), `DROP ROLE IF EXISTS ${role}`);
  }, 60_000);

  it('no password and no token is in any log line, page, metric or error, whatever breaks', async () => {
    const seen: string[] = [];
    const readAll = async () => {
      const base = await serve.base();
      for (const path of PATHS) {
        for (const headers of [{}, { authorization: `Bearer ${TOKEN}` }] as Record<string, string>[]) {
          const answer = await fetch(`${base}${path}`, { headers });
          seen.push(JSON.stringify([...answer.headers]), await answer.text());
        }
      }
    };
    await readAll();
    const TROUBLE = {
      secondary: /Apply on the secondary failed|Stream interrupted/,
      primary: /Stream interrupted/,
    } as const;
    for (const side of ['secondary', 'primary'] as const) {
      await proxies[side].refuse();
      proxies[side].cut('rst');
      await query(pair.primary.url, `INSERT INTO t (id) SELECT coalesce(max(id), 0) + 1 FROM t`);
      await waitFor(() => TROUBLE[side].test(serve.process.output()), { what: `trouble with the ${side}` });
      await waitFor(() => /Health check failed for/.test(serve.process.output()), { what: 'a failed probe' });
      await readAll();
      seen.push((await run(['status', '--verbose'], environment)).output);
      await proxies[side].accept();
    }
    const wrong = { ...environment, DATABASE_URL: environment.DATABASE_URL?.replace(CANARY, `${CANARY}-wrong`) };
    for (const args of [
      ['doctor', '--verbose'],
      ['init-secondary', '--verbose'],
    ]) {
      const { code, output } = await run(args, wrong);
      expect(code).not.toBe(0);
      seen.push(output);
    }
    await serve.caughtUp();
    seen.push(serve.process.output());
    const text = seen.join('\n');
    expect(text).toContain('Health check failed for primary');
    const at = text.indexOf(CANARY, 0);
    // The role's name has another word.
    expect(at < 0 ? '' : text.slice(Math.max(0, at - 200), at + 100)).toBe('');
  });

  it('a page of another origin can neither order anything nor read an answer', async () => {
    const base = await serve.base();
    const origin = { origin: 'https://attacker.example', 'sec-fetch-site': 'cross-site' };
    const simple = { method: 'POST', body: 'reason=x', headers: { ...origin, 'content-type': 'text/plain' } };
    for (const verb of ['failover', 'failback', 'pause', 'resume', 'sync', 'verify']) {
      const answer = await fetch(`${base}/api/system/${verb}`, simple);
      expect(answer.status, verb).toBe(401);
      expect(answer.headers.get('access-control-allow-origin')).toBeNull();
      const preflight = await fetch(`${base}/api/system/${verb}`, {
        method: 'OPTIONS',
        headers: {
          ...origin,
          'access-control-request-method': 'POST',
          'access-control-request-headers': 'authorization',
        },
      });
      expect(preflight.ok, verb).toBe(false);
      expect(preflight.headers.get('access-control-allow-origin')).toBeNull();
    }
    const page = await fetch(`${base}/`);
    expect(page.headers.get('content-security-policy')).toMatch(/frame-ancestors 'none'/);
    expect(page.headers.get('content-security-policy')).not.toMatch(/unsafe-inline|unsafe-eval|\*/);
  });

  it('a reason that is SQL and markup stays what it is', async () => {
    const base = await serve.base();
    const order = (verb: string) =>
      fetch(`${base}/api/system/${verb}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
        body: JSON.stringify({ reason: HOSTILE }),
      });
    expect((await order('pause')).status).toBe(200);
    expect((await order('resume')).status).toBe(200);
    const history = (await (await fetch(`${base}/api/system/history`)).json()) as unknown;
    expect(JSON.stringify(history)).toContain(JSON.stringify(HOSTILE).slice(1, -1));
  });

  it('schema, table, column, enum, label and publication that are SQL and markup stay what they are', async () => {
    const base = await serve.base();
    const table = `${NAME}.${NAME}`;
    await query(pair.primary.url, `INSERT INTO t (id, ${NAME}) VALUES (100, $1)`, [HOSTILE]);
    await query(pair.primary.url, `INSERT INTO ${table} VALUES (1, $1, $2)`, [LABEL, HOSTILE]);
    await query(pair.primary.url, `UPDATE ${table} SET v = v || v WHERE kind = $1`, [LABEL]);
    await serve.caughtUp();
    expect(await query(pair.secondary.url, `SELECT kind::text AS kind, v FROM ${table}`)).toEqual([
      { kind: LABEL, v: HOSTILE + HOSTILE },
    ]);
    expect(await query(pair.secondary.url, `SELECT ${NAME} AS v FROM t WHERE id = 100`)).toEqual([{ v: HOSTILE }]);
    const tables = (await (await fetch(`${base}/api/system/tables`)).json()) as unknown;
    expect(JSON.stringify(tables)).toContain(JSON.stringify(HOSTILE).slice(1, -1));
    // A label's value is one line, with its quotes escaped.
    const metrics = await (await fetch(`${base}/metrics`)).text();
    const escaped = HOSTILE.replaceAll('"', '\\"');
    expect(metrics).toContain(escaped);
    for (const line of metrics.split('\n'))
      expect(line).toMatch(/^(#.*|[a-z_0-9]+(\{("(\\.|[^"\\])*"|[^"}])*\})? \S+|)$/);
  });

  it('a slot or a stream with such a name is refused', async () => {
    for (const name of ['DB_REPLICATION_SLOT', 'DB_STREAM_NAME']) {
      const { code, output } = await run(['status'], { ...environment, [name]: HOSTILE });
      expect(code, name).toBe(2);
      expect(output).toContain(name);
    }
  });
});
