/** G6 and G10 at the router: which authority counts, and what happens with none. */
import { describe, expect, it } from 'vitest';
import { createRouteAuthority } from '../../src/authority/authority.js';
import { Secret } from '../../src/core/secret.js';
import { routeRoutes } from '../../src/http/route.js';
import { AuthorityLostError } from '../../src/router/errors.js';
import { openHttp, TOKEN } from '../harness/http-fixture.js';
import { TcpProxy } from '../harness/proxy.js';
import { waitFor } from '../harness/wait.js';
import { failure, knows, Routing, sideOf } from './support/routing.js';

describe('G10 the controller is gone', () => {
  it('traffic goes on by the control row, which counts as a lease', async () => {
    await using routing = await Routing.open({ controlRows: true, leaseMs: 400, renewMs: 100 });
    await routing.writeControl('secondary', routing.route({}));
    const pool = routing.pool({ onAuthorityLost: 'hold' });
    expect(await sideOf(pool)).toBe('primary');
    expect(pool.metrics().vouched).toBe('controller');
    await routing.killController();
    await waitFor(() => pool.metrics().vouched === 'control-row', { what: 'the control row is read' });
    expect(await sideOf(pool)).toBe('primary');
    await routing.writeControl('secondary', routing.route({ epoch: 2, active: 'secondary' }));
    await knows(pool, 2);
    expect(await sideOf(pool)).toBe('secondary');
  });

  it('from the start', async () => {
    await using routing = await Routing.open({ controlRows: true });
    await routing.killController();
    await routing.writeControl('secondary', routing.route({ epoch: 5, active: 'secondary' }));
    expect(await sideOf(routing.pool({ onAuthorityLost: 'hold' }))).toBe('secondary');
  });

  it('the mirror on the primary is news, but never a lease', async () => {
    await using routing = await Routing.open({ controlRows: true, leaseMs: 400, renewMs: 100 });
    const pool = routing.pool({ onAuthorityLost: 'hold', holdTimeoutMs: 1_000 });
    await pool.query('SELECT 1');
    await routing.writeControl('primary', routing.route({ epoch: 3, active: 'primary' }));
    await routing.killController();
    await routing.breakDown('secondary');
    await knows(pool, 3);
    await waitFor(() => pool.metrics().vouched === 'none', { what: 'nothing vouches' });
    expect(await failure(pool.query('SELECT 1'))).toBeInstanceOf(AuthorityLostError);
  });
});

describe('both authorities are gone', () => {
  it("'trust' goes on with the last route, without a pause", async () => {
    await using routing = await Routing.open({ controlRows: true, leaseMs: 400, renewMs: 100 });
    await routing.writeControl('secondary', routing.route({}));
    const pool = routing.pool();
    await pool.query('SELECT 1');
    await routing.killController();
    await routing.breakDown('secondary');
    await waitFor(
      async () => {
        expect(await sideOf(pool)).toBe('primary');
        return pool.metrics().vouched === 'trust';
      },
      { what: 'trust' },
    );
  });

  it("'trust' takes the primary when no authority was ever reached", async () => {
    await using routing = await Routing.open();
    await routing.killController();
    const pool = routing.pool();
    expect(await sideOf(pool)).toBe('primary');
    expect(pool.route).toMatchObject({ state: 'UNKNOWN' });
  });

  it("'hold' lets queries wait, refuses them in time, and goes on when an authority is back", async () => {
    await using routing = await Routing.open({ controlRows: true, leaseMs: 300, renewMs: 100 });
    await routing.writeControl('secondary', routing.route({}));
    const pool = routing.pool({ onAuthorityLost: 'hold', holdTimeoutMs: 600 });
    const client = await pool.connect();
    await client.query('BEGIN');
    await client.query('CREATE TABLE n (i int)');
    await routing.killController();
    await routing.breakDown('secondary');
    await waitFor(() => pool.metrics().vouched === 'none', { what: 'nothing vouches' });
    const [inside, outside] = await Promise.all([failure(client.query('COMMIT')), failure(pool.query('SELECT 1'))]);
    expect(inside).toBeInstanceOf(AuthorityLostError);
    expect(outside).toMatchObject({ code: '57P03', message: expect.stringContaining('Neither the controller') });
    await client.query('ROLLBACK');
    client.release();
    const waiting = pool.query('SELECT 1');
    await routing.proxies.secondary.accept();
    await waiting;
    expect(pool.metrics().vouched).toBe('control-row');
  });
});

describe('a stale controller', () => {
  it('with a lower epoch is ignored, its leases too', async () => {
    await using routing = await Routing.open({ controlRows: true, leaseMs: 400, renewMs: 100 });
    const old = createRouteAuthority({ leaseMs: 400, renewMs: 100 });
    old.publish(routing.route({}));
    old.grantUntil(Number.MAX_SAFE_INTEGER);
    await using stale = await openHttp({ controlToken: new Secret(TOKEN), routes: [routeRoutes(old)] });
    await using proxy = await TcpProxy.start(routing.controllerUrl);
    const pool = routing.pool({ controllerUrl: `http://127.0.0.1:${proxy.port}`, onAuthorityLost: 'hold' });
    await pool.query('SELECT 1');
    await routing.switchover();
    expect(await sideOf(pool)).toBe('secondary');
    await routing.writeControl('secondary', routing.authority.route as never);
    proxy.target = { port: stale.port };
    proxy.cut();
    await waitFor(() => pool.metrics().staleRoutes > 2, { what: 'the stale controller was heard' });
    await waitFor(() => pool.metrics().vouched === 'control-row', { what: 'the control row vouches instead' });
    expect(await sideOf(pool)).toBe('secondary');
    expect(pool.route?.epoch).toBe(3);
  });

  it('that has lost its own authority grants no lease: the control row does', async () => {
    await using routing = await Routing.open({ controlRows: true, leaseMs: 400, renewMs: 100 });
    await routing.writeControl('secondary', routing.route({}));
    const pool = routing.pool({ onAuthorityLost: 'hold' });
    await pool.query('SELECT 1');
    routing.authority.grantUntil(0);
    await waitFor(() => pool.metrics().vouched === 'control-row', { what: 'the control row is read' });
    expect(await sideOf(pool)).toBe('primary');
  });
});

describe('what the controller hears', () => {
  it('of successes, writes, failures and connections of each side', async () => {
    await using routing = await Routing.open({ schema: 'CREATE TABLE t (i int)' });
    const pool = routing.pool({ name: 'shop' });
    await pool.query('SELECT 1');
    const heard = () => routing.authority.routers()[0];
    await waitFor(() => (heard()?.primary.okAgoMs ?? null) !== null, { what: 'a success' });
    expect(heard()).toMatchObject({ name: 'shop', epoch: 1, idle: true, primary: { writeOkAgoMs: null, busy: 0 } });
    const client = await pool.connect();
    await client.query('BEGIN');
    await client.query('INSERT INTO t VALUES (1)');
    await waitFor(() => heard()?.primary.busy === 1, { what: 'a busy connection' });
    expect(heard()?.primary.writeOkAgoMs).toBeNull();
    await client.query('COMMIT');
    client.release();
    await waitFor(() => (heard()?.primary.writeOkAgoMs ?? null) !== null, { what: 'a write, at its COMMIT' });
    expect(heard()?.primary.failedAgoMs).toBeNull();
    await routing.breakDown('primary');
    await failure(pool.query('SELECT 1'));
    await waitFor(() => (heard()?.primary.failedAgoMs ?? null) !== null, { what: 'a failure' });
    expect(heard()?.secondary).toEqual({ okAgoMs: null, writeOkAgoMs: null, failedAgoMs: null, busy: 0 });
  });
});
