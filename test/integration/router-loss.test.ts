/** What an application is told when a connection is lost, and what the database then really holds. */
import type { PoolClient } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { NotSentError, OutcomeUnknownError, TransactionLostError } from '../../src/router/errors.js';
import { RouterPool } from '../../src/router/pool.js';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { failure, Routing } from './support/routing.js';

const SCHEMA = `CREATE TABLE t (id int PRIMARY KEY);
  CREATE PROCEDURE put_and_commit(n int) LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO t VALUES (n); COMMIT; PERFORM pg_sleep(20); END $$;
  CREATE FUNCTION put(n int) RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (n) RETURNING id'`;

describe('a lost connection', () => {
  let routing: Routing;
  let pool: RouterPool;
  beforeAll(async () => {
    routing = await Routing.open({ schema: SCHEMA });
    pool = routing.pool();
  });
  afterAll(() => routing[Symbol.asyncDispose]());
  beforeEach(async () => {
    routing.proxies.primary.onData = undefined;
    await query(routing.urls.primary, 'TRUNCATE t');
  });

  /** Runs statements, then cuts the connection in the way given while the last one is under way. */
  async function cutDuring(client: PoolClient, sql: string, verdict: 'cut' | 'forward-then-cut', values?: unknown[]) {
    routing.proxies.primary.onData = (direction) => (direction === 'toTarget' ? verdict : 'forward');
    const error = await failure(client.query(sql, values));
    routing.proxies.primary.onData = undefined;
    return error;
  }

  const rows = () => routing.count('primary', 't');

  it('in the middle of a transaction: 40001, no row, ROLLBACK succeeds in every form', async () => {
    const client = await pool.connect();
    await client.query('/* hidden */ BEGIN');
    await client.query('INSERT INTO t VALUES (1)');
    const error = await cutDuring(client, 'INSERT INTO t VALUES (2)', 'forward-then-cut');
    expect(error).toBeInstanceOf(TransactionLostError);
    expect(error).toMatchObject({ code: '40001', side: 'primary', severity: 'ERROR' });
    expect(error.message).toMatch(/^(Connection terminated unexpectedly|read ECONNRESET)/);
    expect((error.cause as Error).message).not.toBe('');
    expect(await client.query('ROLLBACK')).toMatchObject({ command: 'ROLLBACK', rows: [] });
    await new Promise<void>((resolve, reject) =>
      client.query('rollback;', (problem: Error) => (problem ? reject(problem) : resolve())),
    );
    expect((await failure(client.query('ROLLBACK TO SAVEPOINT a'))).code).toBe('40001');
    expect((await failure(client.query('SELECT 1'))).code).toBe('40001');
    client.release();
    expect(await rows()).toBe(0);
    expect((await pool.query('SELECT 1 AS n')).rows).toEqual([{ n: 1 }]);
  });

  it.each(['COMMIT', '-- done\nEND', 'INSERT INTO t VALUES (3); COMMIT'])(
    'during %j: 40003, never repeated, whatever came of it',
    async (commit) => {
      for (const verdict of ['forward-then-cut', 'cut'] as const) {
        await query(routing.urls.primary, 'TRUNCATE t');
        const client = await pool.connect();
        await client.query('BEGIN');
        await client.query('INSERT INTO t VALUES (1)');
        const error = await cutDuring(client, commit, verdict);
        expect(error).toBeInstanceOf(OutcomeUnknownError);
        expect(error.code).toBe('40003');
        await client.query('ROLLBACK').catch(() => undefined);
        client.release();
        const expected = verdict === 'cut' ? 0 : commit.startsWith('INSERT') ? 2 : 1;
        await waitFor(async () => (await rows()) === expected, { what: `${expected} rows` });
      }
    },
  );

  it('while ROLLBACK is under way: it succeeds', async () => {
    const client = await pool.connect();
    await client.query('BEGIN');
    await client.query('INSERT INTO t VALUES (1)');
    routing.proxies.primary.onData = (direction) => (direction === 'toTarget' ? 'cut' : 'forward');
    expect((await client.query('ROLLBACK')).command).toBe('ROLLBACK');
    routing.proxies.primary.onData = undefined;
    client.release();
    expect(await rows()).toBe(0);
    expect((await pool.query('SELECT 1')).rowCount).toBe(1);
  });

  it.each<[string, unknown[] | undefined]>([
    ['INSERT INTO t VALUES (1)', undefined],
    ['INSERT INTO t VALUES ($1)', [1]],
    ['SELECT put(1)', undefined],
    ['BEGIN; INSERT INTO t VALUES (1); COMMIT', undefined],
  ])('during an autocommit write, %j: 40003, and the row is there once', async (sql, values) => {
    await pool.query('SELECT 1');
    routing.proxies.primary.onData = (direction) => (direction === 'toTarget' ? 'forward-then-cut' : 'forward');
    const error = await failure(pool.query(sql, values));
    routing.proxies.primary.onData = undefined;
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    await waitFor(async () => (await rows()) === 1, { what: 'the row' });
  });

  it('during a procedure that has committed a part: 40003', async () => {
    const client = await pool.connect();
    const calling = failure(client.query('CALL put_and_commit(1)'));
    await waitFor(async () => (await rows()) === 1, { what: 'the part that is committed' });
    routing.proxies.primary.cut();
    expect(await calling).toBeInstanceOf(OutcomeUnknownError);
    client.release();
  });

  it('during BEGIN, alone or with statements: 40001', async () => {
    for (const sql of ['BEGIN', '/* a */ BEGIN; INSERT INTO t VALUES (9)']) {
      const client = await pool.connect();
      expect(await cutDuring(client, sql, 'forward-then-cut')).toBeInstanceOf(TransactionLostError);
      client.release();
    }
    expect(await rows()).toBe(0);
  });

  it('before anything was sent: repeated silently on another connection', async () => {
    const clients = await Promise.all([pool.connect(), pool.connect()]);
    for (const client of clients) client.release();
    expect(pool.idleCount).toBeGreaterThanOrEqual(2);
    routing.proxies.primary.cut('rst');
    // In this very turn no event has told of the loss; the sockets are closed when the loop comes round.
    await new Promise((resolve) => setImmediate(resolve));
    await pool.query('INSERT INTO t VALUES (1)');
    expect(await rows()).toBe(1);
  });

  it('while idle, in the turn in which it is lost: the connection is not handed out', async () => {
    const client = await pool.connect();
    client.release();
    client.connection.stream.destroy();
    await pool.query('INSERT INTO t VALUES (1)');
    expect(await rows()).toBe(1);
  });

  it('of a statement that waits behind another on one client: it was not sent', async () => {
    const client = await pool.connect();
    const first = failure(client.query('SELECT pg_sleep(20)'));
    const second = failure(client.query('INSERT INTO t VALUES (1)'));
    await waitFor(() => routing.proxies.primary.openConnections > 0, { what: 'a connection' });
    routing.proxies.primary.cut();
    expect(await first).toBeInstanceOf(OutcomeUnknownError);
    expect(await second).toBeInstanceOf(NotSentError);
    client.release();
    expect(await rows()).toBe(0);
  });

  it('by the server (57P01) inside a transaction: 40001', async () => {
    const client = await pool.connect();
    await client.query('BEGIN');
    const { rows: pids } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    const sleeping = failure(client.query('SELECT pg_sleep(20)'));
    await query(routing.urls.primary, 'SELECT pg_terminate_backend($1)', [pids[0]?.pid]);
    const error = await sleeping;
    expect(error).toBeInstanceOf(TransactionLostError);
    expect(error.cause).toMatchObject({ code: '57P01' });
    client.release();
  });

  it('while nobody listens and nothing is under way: no crash, and the next statement says so', async () => {
    const client = await pool.connect();
    await client.query('SELECT 1');
    routing.proxies.primary.cut();
    await waitFor(async () => (await failure(client.query('SELECT 1'))).code === '40001', { what: 'the loss is seen' });
    client.release();
  });

  it('is told apart in the same way by a pool without a controller', async () => {
    const plain = new RouterPool({ primary: routing.options().primary });
    const client = await plain.connect();
    await client.query('BEGIN');
    expect((await cutDuring(client, 'SELECT 1', 'cut')).code).toBe('40001');
    client.release();
    expect(plain.route).toBeNull();
    await plain.end();
  });
});

describe('an answer that says that a statement was not run', () => {
  it('from a fenced primary sends it to the other side, when an authority says so', async () => {
    await using routing = await Routing.open({ schema: SCHEMA, renewMs: 3_000, leaseMs: 10_000, controlRows: true });
    const pool = routing.pool();
    await pool.query('SELECT 1');
    const { pathname } = new URL(routing.urls.primary);
    const database = pathname.slice(1);
    await query(routing.urls.primary, `ALTER DATABASE "${database}" SET default_transaction_read_only = on`);
    routing.proxies.primary.cut();
    // No flip yet: the router asks, learns nothing new, and gives the server's own error.
    await waitFor(async () => (await failure(pool.query('INSERT INTO t VALUES (1)'))).code === '25006', {
      what: 'a connection made after the fence',
    });
    await routing.killController();
    await routing.writeControl('secondary', routing.route({ epoch: 2, active: 'secondary' }));
    await pool.query('INSERT INTO t VALUES (1)');
    expect(pool.metrics()).toMatchObject({ vouched: 'control-row', route: { epoch: 2 } });
    expect(await routing.count('secondary', 't')).toBe(1);
  });
});
