/** The clients of the live workloads: what they report is what they committed, row by row, and what fails is said. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MixClients } from '../../src/bench/load.js';
import { MIX_SQL, mixSeedSql } from '../../src/bench/mix.js';
import { SCHEMA } from '../../src/bench/rows.js';
import { RedundancyError } from '../../src/core/errors.js';
import { ask } from '../harness/broker.js';
import { createDatabasePair } from '../harness/cluster.js';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';

const CLIENTS = `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'db-redundancy bench'`;
const WRITING = `${CLIENTS} AND query LIKE '%${SCHEMA}.mix%'`;
const COUNTS = `SELECT n_tup_ins::int AS inserts, n_tup_upd::int AS updates, n_tup_del::int AS deletes
  FROM pg_stat_user_tables WHERE relname = 'mix'`;
/** Rows that were written since, and by how many transactions. */
const WRITTEN = `SELECT count(*)::int AS rows, count(DISTINCT xmin::text)::int AS transactions FROM ${SCHEMA}.mix
  WHERE xmin::text <> $1`;
const SEED = `SELECT min(xmin::text) AS xmin, count(*)::int AS rows FROM ${SCHEMA}.mix`;

const fullSpeed = { clients: 8, perSecond: null, seconds: 1.5 };

async function prepare() {
  const pair = await createDatabasePair('bench_clients');
  const { url } = pair.primary;
  await query(url, `CREATE SCHEMA ${SCHEMA}; ${MIX_SQL}; ${mixSeedSql()}`);
  const start = async (load: Parameters<typeof MixClients.start>[1], signal = new AbortController().signal) =>
    MixClients.start({ primary: { url }, program: join(await ask('dist'), 'cli', 'main.js'), signal }, load);
  return { pair, url, start };
}

const first = async <R extends Record<string, unknown>>(url: string, sql: string, values: unknown[] = []) =>
  (await query<R>(url, sql, values))[0] as R;
const counts = (url: string) => first<{ inserts: number; updates: number; deletes: number }>(url, COUNTS);
const nobody = (url: string) =>
  waitFor(async () => (await query(url, CLIENTS)).length === 0, { what: 'the sessions of the clients have ended' });

describe('clients of the benchmark', () => {
  it.each([fullSpeed, { clients: 4, perSecond: 200, seconds: 2 }])(
    'each transaction that they report has changed one row: $perSecond a second',
    async (load) => {
      const { pair, start, url } = await prepare();
      await using _pair = pair;
      const seed = await first<{ xmin: string; rows: number }>(url, SEED);
      await waitFor(async () => (await counts(url)).inserts === seed.rows, { what: 'the server has counted the seed' });
      const clients = await start(load);
      const reported = await clients.write();
      await clients.stop();
      await nobody(url);
      const { deletes, inserts, updates } = await counts(url);
      expect(inserts - seed.rows + updates + deletes).toBe(reported);
      expect((await first<{ rows: number }>(url, SEED)).rows).toBe(inserts - deletes);
      const written = await first<{ rows: number; transactions: number }>(url, WRITTEN, [seed.xmin]);
      expect(written.rows).toBeGreaterThan(0);
      expect(written.transactions).toBe(written.rows);
      if (load.perSecond === null) return;
      // A machine that stands still at the end makes nothing up.
      expect(reported).toBeGreaterThan(0.8 * load.perSecond * load.seconds);
      expect(reported).toBeLessThanOrEqual(load.perSecond * load.seconds);
    },
  );

  it('an unreachable primary is said in a sentence, with what to do', async () => {
    const program = join(await ask('dist'), 'cli', 'main.js');
    const primary = { url: 'postgresql://someone:secret-word@127.0.0.1:1/none' };
    const failure = await MixClients.start({ primary, program, signal: new AbortController().signal }, fullSpeed).then(
      () => null,
      (error: unknown) => error,
    );
    expect(failure).toBeInstanceOf(RedundancyError);
    expect(failure).toMatchObject({
      message: `The benchmark's clients cannot connect to the primary: connect ECONNREFUSED 127.0.0.1:1.`,
      code: 'bench-clients',
      remedy: expect.stringContaining('8 connections'),
    });
  });

  it('a session that the server ends in the middle is said, too', async () => {
    const { pair, start, url } = await prepare();
    await using _pair = pair;
    const clients = await start({ ...fullSpeed, seconds: 60 });
    const failure = clients.write().then(
      () => null,
      (error: unknown) => error,
    );
    await waitFor(async () => (await query(url, WRITING)).length > 0, { what: 'clients write' });
    await query(url, `SELECT pg_terminate_backend(pid) FROM (${WRITING} LIMIT 1) one`);
    expect(await failure).toMatchObject({
      message: expect.stringMatching(/^A transaction of the benchmark's clients has failed: .+\.$/),
      code: 'bench-clients',
    });
    await clients.stop();
    await nobody(url);
  });

  it('an abort ends them in the middle of their work', async () => {
    const { pair, start, url } = await prepare();
    await using _pair = pair;
    const stop = new AbortController();
    const clients = await start({ ...fullSpeed, seconds: 60 }, stop.signal);
    const ended = expect(clients.write()).rejects.toThrow('enough');
    await waitFor(async () => (await query(url, WRITING)).length > 0, { what: 'clients write' });
    stop.abort(new Error('enough'));
    await ended;
    await clients.stop();
    await nobody(url);
  });
});
