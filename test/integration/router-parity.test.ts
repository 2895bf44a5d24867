/** The same assertions on pg.Pool, on a RouterPool without a controller, and on one that follows a route. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Client, Pool, type PoolClient, type PoolConfig, Query } from 'pg';
import Cursor from 'pg-cursor';
import QueryStream from 'pg-query-stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RouterPool } from '../../src/router/pool.js';
import { ask } from '../harness/broker.js';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { failure, Routing } from './support/routing.js';

let routing: Routing;
beforeAll(async () => {
  routing = await Routing.open({ schema: 'CREATE TABLE items (id int)' });
});
afterAll(() => routing[Symbol.asyncDispose]());

type Make = (config?: PoolConfig) => Pool;
const base = (): PoolConfig => ({ connectionString: routing.urls.primary, max: 3 });
const KINDS: [string, Make][] = [
  ['pg.Pool', (config) => new Pool({ ...base(), ...config })],
  ['RouterPool without a controller', (config) => new RouterPool({ primary: { ...base(), ...config } })],
  [
    'RouterPool with a controller',
    (config) => {
      const side = { ...base(), ...config };
      return new RouterPool({ ...routing.options(), primary: side, secondary: side });
    },
  ],
];

describe.each(KINDS)('%s', (_name, make) => {
  async function withPool<T>(use: (pool: Pool) => Promise<T>, config?: PoolConfig): Promise<T> {
    const pool = make(config);
    try {
      return await use(pool);
    } finally {
      if (!pool.ending) await pool.end();
    }
  }

  it('is a pg.Pool, with its options and their defaults', () =>
    withPool(async (pool) => {
      expect(pool).toBeInstanceOf(Pool);
      expect(pool.constructor.name).toContain('Pool');
      expect(pool.options).toMatchObject({ max: 3, maxUses: Number.POSITIVE_INFINITY, idleTimeoutMillis: 10_000 });
      expect(pool).toMatchObject({ totalCount: 0, idleCount: 0, waitingCount: 0, expiredCount: 0, ending: false });
    }));

  it('hides the password', () =>
    withPool(
      async (pool) => {
        expect(Object.keys(pool.options)).not.toContain('password');
        expect(JSON.stringify(pool.options)).not.toContain('very-secret');
      },
      { password: 'very-secret' },
    ));

  it('query: promise and callback forms, configs, arrays, errors', () =>
    withPool(async (pool) => {
      expect((await pool.query('SELECT 1 AS n')).rows).toEqual([{ n: 1 }]);
      expect((await pool.query('SELECT $1::int AS n', [2])).rows).toEqual([{ n: 2 }]);
      expect((await pool.query({ text: 'SELECT 3', rowMode: 'array' })).rows).toEqual([[3]]);
      expect((await pool.query({ name: 'n', text: 'SELECT $1::int AS n', values: [4] })).rows).toEqual([{ n: 4 }]);
      const several = (await pool.query('SELECT 1 AS a; SELECT 2 AS b')) as unknown as { rows: unknown[] }[];
      expect(several.map((result) => result.rows)).toEqual([[{ a: 1 }], [{ b: 2 }]]);
      const called = await new Promise((resolve) => pool.query('SELECT 5 AS n', (_e, result) => resolve(result.rows)));
      expect(called).toEqual([{ n: 5 }]);
      const valued = await new Promise((resolve) =>
        pool.query('SELECT $1::int AS n', [6], (_error, result) => resolve(result.rows)),
      );
      expect(valued).toEqual([{ n: 6 }]);
      expect(await failure(pool.query('SELECT 1/0'))).toMatchObject({ code: '22012' });
      expect(await new Promise((resolve) => pool.query('SELEC', (error) => resolve(error)))).toMatchObject({
        code: '42601',
      });
      const error = await failure(pool.query('SELEC'));
      expect(error.stack).toContain('router-parity.test');
      const misuse = await new Promise<Error>((resolve) => pool.query(resolve as never));
      expect(misuse.message).toContain('Passing a function as the first parameter');
      await failure(pool.query(null as never));
      expect((await pool.query('SELECT 7 AS n')).rows).toEqual([{ n: 7 }]);
    }));

  it('connect: promise and callback forms, release once', () =>
    withPool(async (pool) => {
      const client = await pool.connect();
      expect(client).toBeInstanceOf(Client);
      expect((await client.query('SELECT 1 AS n')).rows).toEqual([{ n: 1 }]);
      client.release();
      expect(() => client.release()).toThrow('already been released');
      await new Promise<void>((resolve, reject) => {
        pool.connect((error, borrowed, done) => {
          if (error || !borrowed) return reject(error);
          void borrowed.query('SELECT 2 AS n', (_problem, result) => {
            done();
            expect(result.rows).toEqual([{ n: 2 }]);
            resolve();
          });
        });
      });
    }));

  it('counters, queue and events', () =>
    withPool(async (pool) => {
      const events: string[] = [];
      for (const name of ['connect', 'acquire', 'remove'] as const) pool.on(name, () => events.push(name));
      pool.on('release', (error, client) => events.push(`release ${Boolean(error)} ${client instanceof Client}`));
      const clients = await Promise.all([pool.connect(), pool.connect(), pool.connect()]);
      const waiting = pool.connect();
      expect(pool).toMatchObject({ totalCount: 3, idleCount: 0, waitingCount: 1 });
      clients[0]?.release();
      const fourth = await waiting;
      expect(fourth).toBe(clients[0]);
      clients[1]?.release(true);
      clients[2]?.release(new Error('broken'));
      fourth.release();
      expect(pool).toMatchObject({ totalCount: 1, idleCount: 1, waitingCount: 0 });
      await waitFor(() => events.filter((name) => name === 'remove').length === 2, { what: 'removals' });
      expect(events.filter((name) => name === 'connect')).toHaveLength(3);
      expect(events.filter((name) => name === 'acquire')).toHaveLength(4);
      expect(events.filter((name) => name.startsWith('release'))).toEqual([
        'release false true',
        'release true true',
        'release true true',
        'release false true',
      ]);
    }));

  it('idleTimeoutMillis, maxUses, maxLifetimeSeconds', async () => {
    await withPool(
      async (pool) => {
        await pool.query('SELECT 1');
        expect(pool.idleCount).toBe(1);
        await waitFor(() => pool.totalCount === 0, { what: 'the idle connection is closed' });
      },
      { idleTimeoutMillis: 30 },
    );
    const pidOf = async (pool: Pool) => (await pool.query('SELECT pg_backend_pid() AS pid')).rows[0].pid;
    await withPool(
      async (pool) => {
        const [first, second, third] = [await pidOf(pool), await pidOf(pool), await pidOf(pool)];
        expect(second).toBe(first);
        expect(third).not.toBe(first);
      },
      { maxUses: 2 },
    );
    await withPool(
      async (pool) => {
        const client = await pool.connect();
        await waitFor(() => pool.expiredCount === 1, { what: 'the connection expires' });
        client.release();
        expect(pool.totalCount).toBe(0);
      },
      { maxLifetimeSeconds: 0.05 },
    );
  });

  it('connectionTimeoutMillis, onConnect and verify', async () => {
    await withPool(
      async (pool) => {
        const clients = await Promise.all([pool.connect(), pool.connect(), pool.connect()]);
        expect((await failure(pool.connect())).message).toContain('timeout exceeded');
        for (const client of clients) client.release();
      },
      // Of the waiting for a free connection; making one is quicker than that.
      { connectionTimeoutMillis: 500 },
    );
    await withPool(
      async (pool) => {
        expect((await pool.query("SELECT current_setting('my.mark') AS mark")).rows).toEqual([{ mark: 'x' }]);
      },
      { onConnect: async (client) => void (await client.query("SET my.mark = 'x'")) },
    );
    await withPool(
      async (pool) => {
        expect((await failure(pool.connect())).message).toBe('not this one');
        await waitFor(() => pool.totalCount === 0, { what: 'it is closed' });
      },
      { verify: (_client, done) => done(new Error('not this one')) },
    );
  });

  it('a server that refuses: its own error', () =>
    withPool(
      async (pool) => {
        expect((await failure(pool.query('SELECT 1'))).code).toBe('3D000');
        expect((await failure(pool.connect())).code).toBe('3D000');
        expect(pool.totalCount).toBe(0);
      },
      { connectionString: undefined, ...partsOf(routing?.urls.primary), database: 'nowhere' },
    ));

  it('cursors and query streams', () =>
    withPool(async (pool) => {
      const client = await pool.connect();
      const cursor = client.query(new Cursor('SELECT generate_series(1, $1::int) AS n', ['5']));
      expect(await cursor.read(2)).toEqual([{ n: 1 }, { n: 2 }]);
      expect(await cursor.read(10)).toHaveLength(3);
      await cursor.close();
      const seen: number[] = [];
      for await (const row of client.query(new QueryStream('SELECT generate_series(1, 300) AS n'))) seen.push(row.n);
      expect(seen).toHaveLength(300);
      const events = client.query(new Query('SELECT generate_series(1, 3) AS n'));
      const rows: unknown[] = [];
      events.on('row', (row) => rows.push(row));
      await new Promise<void>((resolve) => events.on('end', () => resolve()));
      expect(rows).toHaveLength(3);
      const broken = client.query(new Cursor('SELECT nothing FROM nowhere'));
      expect((await failure(broken.read(1))).code).toBe('42P01');
      client.release();
    }));

  it('named statements are kept per connection', () =>
    withPool(
      async (pool) => {
        for (const id of [1, 2, 3]) {
          await pool.query({ name: 'put', text: 'INSERT INTO items VALUES ($1)', values: [id] });
        }
        const { rows } = await pool.query('SELECT name FROM pg_prepared_statements');
        expect(rows).toEqual([{ name: 'put' }]);
        expect((await failure(pool.query({ name: 'put', text: 'SELECT 1' }))).message).toContain('must be unique');
      },
      { max: 1 },
    ));

  it('LISTEN', () =>
    withPool(async (pool) => {
      const client = await pool.connect();
      const heard = new Promise((resolve) => client.on('notification', ({ payload }) => resolve(payload)));
      await client.query('LISTEN channel_of_parity');
      await pool.query("SELECT pg_notify('channel_of_parity', 'hello')");
      expect(await heard).toBe('hello');
      client.release(true);
    }));

  it('an idle connection that is lost: an error event, and the pool goes on', () =>
    withPool(async (pool) => {
      const { rows } = await pool.query('SELECT pg_backend_pid() AS pid');
      const lost = new Promise<[Error, PoolClient]>((resolve) =>
        pool.on('error', (error, client) => resolve([error, client])),
      );
      await query(routing.urls.primary, 'SELECT pg_terminate_backend($1)', [rows[0].pid]);
      const [error, client] = await lost;
      expect(error).toMatchObject({ code: '57P01' });
      expect(client).toBeInstanceOf(Client);
      expect(pool.totalCount).toBe(0);
      await pool.query('SELECT 1');
    }));

  it('statements in flight when their client is released with an error do not come back', () =>
    withPool(async (pool) => {
      const client = await pool.connect();
      const running = failure(client.query('SELECT pg_sleep(5)'));
      client.release(true);
      expect((await running).message).toContain('Connection terminated');
    }));

  it('end: waits for those that are out, then refuses', () =>
    withPool(async (pool) => {
      const client = await pool.connect();
      const ended = pool.end();
      expect(pool).toMatchObject({ ending: true, ended: false });
      client.release();
      await ended;
      expect(pool.ended).toBe(true);
      expect((await failure(pool.query('SELECT 1'))).message).toContain('after calling end');
      expect((await failure(pool.connect())).message).toContain('after calling end');
      expect((await failure(pool.end())).message).toContain('more than once');
    }));

  it('end with a callback', () => withPool((pool) => new Promise<void>((resolve) => pool.end(() => resolve()))));
});

describe('a program that is done', () => {
  const run = async (source: string) =>
    promisify(execFile)(process.execPath, ['--input-type=module', '-e', source], {
      timeout: 9_000,
      cwd: new URL('../..', import.meta.url).pathname,
    });

  it.each(KINDS.map(([name]) => name))('%s with allowExitOnIdle: ends by itself', async (name) => {
    const config = { ...base(), allowExitOnIdle: true };
    const options = { ...routing.options(), primary: config, secondary: config };
    if (name.includes('without')) delete (options as { controllerUrl?: string }).controllerUrl;
    const module = JSON.stringify(`file://${await ask('dist')}/index.js`);
    const create =
      name === 'pg.Pool'
        ? `import pg from 'pg'; const pool = new pg.Pool(${JSON.stringify(config)});`
        : `import { RouterPool } from ${module}; const pool = new RouterPool(${JSON.stringify(options)});`;
    const { stdout } = await run(`${create} console.log((await pool.query('SELECT 1 AS n')).rows[0].n);`);
    expect(stdout.trim()).toBe('1');
  });
});

function partsOf(text: string | undefined): PoolConfig {
  if (text === undefined) return {};
  const url = new URL(text);
  return { host: url.hostname, port: Number(url.port), user: url.username, password: url.password };
}
