/** Many who wait, many flips: bounded, in order, without a leak. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HoldQueueFullError, HoldTimeoutError } from '../../src/router/errors.js';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { failure, knows, Routing, sideOf } from './support/routing.js';

const LONG = process.env.DB_TEST_LONG === '1';

describe('queries that wait at a flip', () => {
  let routing: Routing;
  beforeEach(async () => {
    routing = await Routing.open({ schema: 'CREATE TABLE t (position serial, id int)' });
  });
  afterEach(() => routing[Symbol.asyncDispose]());

  it('500 of them run on the other side, in their order', async () => {
    // One connection on each side, so that the order of running is the order of being served.
    const { primary, secondary } = routing.options();
    const pool = routing.pool({ primary: { ...primary, max: 1 }, secondary: { ...secondary, max: 1 } });
    const busy = await pool.connect();
    // Half of them wait for a connection already when the hold begins.
    const insert = (id: number) => pool.query('INSERT INTO t (id) VALUES ($1)', [id]);
    const early = Array.from({ length: 250 }, (_, index) => insert(index));
    routing.publish({ phase: 'hold', graceMs: 1_000 });
    await knows(pool, 2);
    const late = Array.from({ length: 250 }, (_, index) => insert(250 + index));
    busy.release();
    expect(pool.waitingCount).toBe(500);
    await routing.withdrawn();
    routing.publish({ active: 'secondary' });
    await knows(pool, 3);
    await Promise.all([...early, ...late]);
    const rows = await query<{ id: number }>(routing.urls.secondary, 'SELECT id FROM t ORDER BY position');
    expect(rows.map((row) => row.id)).toEqual(Array.from({ length: 500 }, (_, index) => index));
    expect(await routing.count('primary', 't')).toBe(0);
    expect(pool.waitingCount).toBe(0);
  });

  it('more than maxWaiting are refused at once, the rest in time', async () => {
    const pool = routing.pool({ maxWaiting: 400, holdTimeoutMs: 500 });
    await pool.query('SELECT 1');
    routing.publish({ phase: 'hold', graceMs: 1_000 });
    await knows(pool, 2);
    const begun = performance.now();
    const outcomes = await Promise.all(Array.from({ length: 500 }, () => failure(pool.query('SELECT 1'))));
    expect(performance.now() - begun).toBeLessThan(3_000);
    expect(outcomes.slice(0, 400).every((error) => error instanceof HoldTimeoutError && error.code === '57P03')).toBe(
      true,
    );
    expect(outcomes.slice(400).every((error) => error instanceof HoldQueueFullError && error.code === '53300')).toBe(
      true,
    );
    expect(pool.metrics()).toMatchObject({ holdTimeouts: 400, queueFull: 100 });
    routing.publish({});
    await knows(pool, 3);
    expect(await sideOf(pool)).toBe('primary');
  });

  it('on a connection that is checked out: the statement waits, and runs when the hold is undone', async () => {
    const pool = routing.pool();
    const client = await pool.connect();
    await client.query('SELECT 1');
    routing.publish({ phase: 'hold', graceMs: 5_000 });
    await knows(pool, 2);
    const order: number[] = [];
    const held = [1, 2].map((id) => client.query('INSERT INTO t (id) VALUES ($1)', [id]).then(() => order.push(id)));
    expect((await routing.withdrawn()).expired).toEqual([]);
    expect(await routing.count('primary', 't')).toBe(0);
    routing.publish({});
    await Promise.all(held);
    expect(order).toEqual([1, 2]);
    client.release();
  });

  it('end with the pool', async () => {
    const pool = routing.pool();
    await pool.query('SELECT 1');
    routing.publish({ phase: 'hold', graceMs: 1_000 });
    await knows(pool, 2);
    const waiting = failure(pool.query('SELECT 1'));
    await pool.end();
    expect((await waiting).message).toContain('after calling end');
  });
});

describe('many flips', () => {
  it(
    'leave no connection, no listener, no timer and no unhandled rejection behind',
    async () => {
      const flips = LONG ? 1_000 : 50;
      await using routing = await Routing.open({ renewMs: 50 });
      const pool = routing.pool();
      const unhandled: unknown[] = [];
      const onUnhandled = (reason: unknown) => unhandled.push(reason);
      process.on('unhandledRejection', onUnhandled);
      const listeners = () =>
        ['switch', 'hold', 'release', 'open'].map((event) => pool.router.listenerCount(event as never));
      const before = listeners();
      let stop = false;
      let done = 0;
      const codes = new Set<string | undefined>();
      const load = Array.from({ length: 4 }, async () => {
        while (!stop) {
          await pool.query('SELECT 1').then(
            () => (done += 1),
            (error) => codes.add(error.code),
          );
        }
      });
      for (let flip = 0; flip < flips; flip += 1) {
        const before = done;
        await waitFor(() => done > before + 4, { what: 'queries between two flips' });
        await routing.switchover(flip % 2 === 0 ? 'secondary' : 'primary', 1_000);
      }
      stop = true;
      await Promise.all(load);
      process.off('unhandledRejection', onUnhandled);
      await knows(pool, routing.epoch);
      expect(unhandled).toEqual([]);
      // Everything under way had the grace; so no query may have failed at all.
      expect([...codes]).toEqual([]);
      expect(done).toBeGreaterThan(flips);
      expect(listeners()).toEqual(before);
      expect(pool.totalCount).toBeLessThanOrEqual(5);
      await waitFor(() => pool.metrics().connections <= pool.totalCount, { what: 'closed connections are forgotten' });
      await waitFor(() => routing.proxies.secondary.openConnections === 0, { what: 'the former side is left' });
      expect(pool.metrics().switches).toBe(flips);
    },
    LONG ? 900_000 : 60_000,
  );
});
