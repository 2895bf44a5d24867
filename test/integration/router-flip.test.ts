import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { OutcomeUnknownError, TransactionLostError } from '../../src/router/errors.js';
import { createPgModule } from '../../src/router/module.js';
import { waitFor } from '../harness/wait.js';
import { failure, Routing, sideOf } from './support/routing.js';

describe('a flip', () => {
  let routing: Routing;
  beforeEach(async () => {
    routing = await Routing.open({ schema: 'CREATE TABLE t (id int PRIMARY KEY)' });
  });
  afterEach(() => routing[Symbol.asyncDispose]());

  it('moves queries to the other side, back, and tells so', async () => {
    const pool = routing.pool();
    const events: string[] = [];
    pool.on('hold', () => events.push('hold'));
    pool.on('resume', () => events.push('resume'));
    pool.on('switch', ({ from, to }) => events.push(`${from}-${to}`));
    expect(await sideOf(pool)).toBe('primary');
    expect(pool.route).toMatchObject({ epoch: 1, active: 'primary' });
    await routing.switchover();
    expect(await sideOf(pool)).toBe('secondary');
    expect(pool.options.connectionString).toContain(String(routing.proxies.secondary.port));
    await routing.switchover('primary');
    expect(await sideOf(pool)).toBe('primary');
    expect(events).toEqual(['resume', 'hold', 'primary-secondary', 'resume', 'hold', 'secondary-primary', 'resume']);
    await waitFor(() => routing.proxies.secondary.openConnections === 0, { what: 'the former side is left' });
  });

  it('lets an open transaction finish within the grace, and holds what is new', async () => {
    const pool = routing.pool();
    const client = await pool.connect();
    await client.query('BEGIN');
    await client.query('INSERT INTO t VALUES (1)');
    routing.publish({ phase: 'hold', graceMs: 5_000 });
    await waitFor(() => pool.route?.phase === 'hold', { what: 'the hold' });
    const withdrawal = routing.withdrawn();
    const held = pool.query('INSERT INTO t VALUES (2)');
    await client.query('INSERT INTO t VALUES (3)');
    // The hold was heard, and is not acknowledged while something of the former epoch is under way.
    await waitFor(() => routing.authority.routers()[0]?.epoch === 2, { what: 'a report on the hold' });
    let withdrawn = false;
    void withdrawal.then(() => {
      withdrawn = true;
    });
    const { renewals = 0 } = pool.metrics();
    await waitFor(() => (pool.metrics().renewals ?? 0) > renewals + 1, { what: 'two more reports' });
    expect(withdrawn).toBe(false);
    await client.query('COMMIT');
    client.release();
    const { expired } = await withdrawal;
    expect(expired).toEqual([]);
    routing.publish({ active: 'secondary' });
    await held;
    expect(await routing.count('primary', 't')).toBe(2);
    expect(await routing.count('secondary', 't', 'id = 2')).toBe(1);
  });

  it('ends a transaction that outlasts the grace with 40001; nothing of it is kept', async () => {
    const pool = routing.pool();
    const client = await pool.connect();
    await client.query('BEGIN');
    await client.query('INSERT INTO t VALUES (1)');
    await routing.switchover('secondary', 100);
    const error = await failure(client.query('INSERT INTO t VALUES (2)'));
    expect(error).toBeInstanceOf(TransactionLostError);
    expect(error.code).toBe('40001');
    await client.query('ROLLBACK');
    client.release();
    expect(await routing.count('primary', 't')).toBe(0);
    expect(await sideOf(pool)).toBe('secondary');
  });

  it('after a crash: transactions end with 40001, a write under way with 40003, new ones wait for the other side', async () => {
    const pool = routing.pool();
    const [client, other] = [await pool.connect(), await pool.connect()];
    await client.query('BEGIN');
    const writing = failure(other.query('SELECT pg_sleep(20)'));
    await routing.breakDown('primary');
    routing.publish({ active: 'secondary', phase: 'hold' });
    const held = pool.query('INSERT INTO t VALUES (1)');
    await routing.withdrawn();
    routing.publish({ active: 'secondary', state: 'SECONDARY_ACTIVE' });
    await held;
    expect((await failure(client.query('SELECT 1'))).code).toBe('40001');
    expect(await writing).toBeInstanceOf(OutcomeUnknownError);
    client.release();
    other.release();
    expect(await routing.count('secondary', 't')).toBe(1);
    expect(pool.totalCount).toBeGreaterThan(0);
    expect(await sideOf(pool)).toBe('secondary');
  });

  it('cuts a connection that hangs on a side that is gone', async () => {
    const pool = routing.pool();
    await pool.query('SELECT 1');
    routing.proxies.primary.swallow();
    const hanging = failure(pool.query('SELECT 1'));
    routing.publish({ active: 'secondary', phase: 'hold' });
    expect((await routing.withdrawn()).expired).toEqual([]);
    routing.publish({ active: 'secondary' });
    expect((await hanging).code).toBe('40003');
    expect(await sideOf(pool)).toBe('secondary');
  });

  it('takes a connection attempt that hangs to the other side, silently', async () => {
    const pool = routing.pool({ holdTimeoutMs: 5_000 });
    await pool.query('SELECT 1');
    pool.options.max = 3;
    routing.proxies.primary.swallow();
    const client = await pool.connect();
    const attempts = [pool.query('INSERT INTO t VALUES (1)'), pool.query('INSERT INTO t VALUES (2)')];
    await waitFor(() => routing.proxies.primary.connections >= 3, { what: 'attempts' });
    routing.publish({ active: 'secondary' });
    await Promise.all(attempts);
    client.release();
    expect(await routing.count('secondary', 't')).toBe(2);
  });

  it("tells of an attempt that a flip ended, with 40001, before pg's event 'end': Sequelize listens to both", async () => {
    const module = createPgModule(routing.options());
    const first = new module.Client();
    await first.connect();
    await first.end();
    routing.proxies.primary.swallow();
    const before = routing.proxies.primary.connections;
    const client = new module.Client();
    const told: string[] = [];
    const ended = new Promise<void>((resolve) => {
      client.once('end', () => {
        told.push('end');
        resolve();
      });
    });
    client.connect((error) => told.push((error as Error & { code: string }).code));
    await waitFor(() => routing.proxies.primary.connections > before, { what: 'the attempt' });
    routing.publish({ active: 'secondary' });
    await ended;
    expect(told).toEqual(['40001', 'end']);
    module.close();
  });
});
