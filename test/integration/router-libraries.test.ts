/** Each library that docs/router.md names passes through a switchover, the way back, and a crash. */
import { promisify } from 'node:util';
import connectPgSimple from 'connect-pg-simple';
import session from 'express-session';
import { makeWorkerUtils, runMigrations, run as runWorker } from 'graphile-worker';
import { describe, expect, it } from 'vitest';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { LIBRARIES } from './support/libraries.js';
import { failure, Routing } from './support/routing.js';

const SCHEMA = 'CREATE TABLE notes (id int PRIMARY KEY, text text NOT NULL)';

/** The contract's code, however deep a library hides it; Prisma has a word of its own for 40001. */
function codesOf(error: unknown): string[] {
  const codes: string[] = [];
  const queue = [error];
  while (queue.length > 0 && codes.length < 20) {
    const link = queue.shift();
    if (typeof link !== 'object' || link === null) continue;
    const { code, cause, original, parent, driverError } = link as Record<string, unknown>;
    codes.push(String(code));
    queue.push(cause, original, parent, driverError);
  }
  return codes;
}

/** These make connections themselves, by the Client of createPgModule. */
const OWN_POOL = new Set(['Knex', 'Sequelize', 'MikroORM']);

const stored = async (routing: Routing, side: 'primary' | 'secondary') =>
  (await query<{ id: number }>(routing.urls[side], 'SELECT id FROM notes ORDER BY id')).map((row) => row.id);

describe.each(Object.entries(LIBRARIES))('%s', (name, start) => {
  it('goes along with a switchover, back, and with a crash failover', async () => {
    await using routing = await Routing.open({ schema: SCHEMA });
    const program = await start(routing.options());
    // A statement that waits on a connection of a library's own pool cannot move to another one: it ends with 40001, and
    // was not run.
    const again = async <T>(work: () => Promise<T>): Promise<T> => {
      for (let tries = 1; ; tries++) {
        try {
          return await work();
        } catch (error) {
          if (tries === 4 || !OWN_POOL.has(name) || !codesOf(error).includes('40001')) throw error;
        }
      }
    };
    const add = (id: number) => again(() => program.add(id));
    const ids = () => again(() => program.ids());
    try {
      await program.add(1);
      await routing.switchover('secondary');
      await add(2);
      const [begun, ended] = await again(() => program.addTwo(3, 4));
      expect(ended).toBe(begun);
      expect(await ids()).toEqual([2, 3, 4]);

      await routing.switchover('primary');
      await add(5);
      // A switchover lets an open transaction finish.
      await again(() => program.addTwo(6, 7, async () => void routing.publish({ phase: 'hold', graceMs: 5_000 })));
      routing.publish({});
      expect(await ids()).toEqual([1, 5, 6, 7]);

      const error = await failure(program.addTwo(8, 9, () => routing.crash()));
      expect(codesOf(error), `${error.stack}`).toContain(name === 'Prisma' ? 'P2034' : '40001');
      await add(10);
      expect(await ids()).toEqual([2, 3, 4, 10]);
      expect(await stored(routing, 'secondary')).toEqual([2, 3, 4, 10]);
      expect(await stored(routing, 'primary')).toEqual([1, 5, 6, 7]);
    } finally {
      await program.close();
    }
  });
});

describe('graphile-worker', () => {
  it('works on the active side, LISTEN included, through a switchover and a crash', async () => {
    await using routing = await Routing.open();
    for (const connectionString of Object.values(routing.urls)) {
      await runMigrations({ connectionString });
      // The worker keeps the identifiers of tasks, which replication makes the same on both sides; each side's own
      // sequence does not, once two workers name the same task at the same time.
      await query(connectionString, "INSERT INTO graphile_worker._private_tasks (identifier) VALUES ('note')");
    }
    const pool = routing.pool();
    // graphile-worker warns where nobody listens to either.
    pool.on('error', () => undefined);
    pool.on('connect', (client) => void client.on('error', () => undefined));
    const done: unknown[] = [];
    const logger = { debug() {}, info() {}, warn() {}, error() {}, scope: () => logger } as never;
    const worker = await runWorker({
      pgPool: pool,
      logger,
      noHandleSignals: true,
      concurrency: 2,
      pollInterval: 300,
      taskList: { note: async (payload) => void done.push(payload) },
    });
    const utils = await makeWorkerUtils({ pgPool: pool, logger });
    const passes = async (job: string) => {
      await utils.addJob('note', job);
      await waitFor(() => done.includes(job), { what: `job ${job}` });
      // graphile-worker does not catch a completion that fails, whatever the pool: so it is waited for.
      const side = pool.route?.active ?? 'primary';
      const gone = async () => (await routing.count(side, 'graphile_worker._private_jobs')) === 0;
      await waitFor(gone, { what: `completion of ${job}` });
    };
    await passes('first');
    await routing.switchover('secondary');
    await passes('second');
    await routing.switchover('primary');
    await passes('third');
    await routing.crash();
    await passes('fourth');
    expect(await routing.count('secondary', 'graphile_worker._private_jobs')).toBe(0);
    await worker.stop();
    await utils.release();
  });
});

describe('connect-pg-simple', () => {
  it('keeps sessions on the active side', async () => {
    await using routing = await Routing.open({
      schema: 'CREATE TABLE session (sid varchar PRIMARY KEY, sess json NOT NULL, expire timestamp(6) NOT NULL)',
    });
    const Store = connectPgSimple(session);
    const store = new Store({ pool: routing.pool(), pruneSessionInterval: false });
    const set = promisify(store.set.bind(store)) as (sid: string, data: object) => Promise<void>;
    const get = promisify(store.get.bind(store)) as (sid: string) => Promise<unknown>;
    const data = { cookie: { maxAge: 60_000 }, user: 'ada' };
    await set('a', data);
    expect(await get('a')).toMatchObject({ user: 'ada' });
    await routing.switchover('secondary');
    expect(await get('a')).toBeUndefined();
    await set('b', data);
    await routing.switchover('primary');
    await routing.crash();
    expect(await get('b')).toMatchObject({ user: 'ada' });
    await set('c', data);
    expect(await routing.count('secondary', 'session')).toBe(2);
    expect(await routing.count('primary', 'session')).toBe(1);
    store.close();
  });
});
