import { describe, expect, it } from 'vitest';
import { Secret } from '../../src/core/secret.js';
import { type DbHealth, healthHandler } from '../../src/router/health.js';
import { RouterPool } from '../../src/router/pool.js';
import { openHttp, TOKEN } from '../harness/http-fixture.js';
import { knows, Routing } from './support/routing.js';

const look = async (handler: () => Promise<Response>) => {
  const response = await handler();
  return { code: response.status, body: (await response.json()) as DbHealth };
};

describe('healthHandler', () => {
  it('answers as the application sees both databases, where the controller has no such route', async () => {
    await using routing = await Routing.open();
    const pool = routing.pool({ holdTimeoutMs: 500 });
    const handler = healthHandler(pool, { passiveEveryMs: 0, timeoutMs: 10_000 });
    const healthy = await look(handler);
    expect(healthy.code).toBe(200);
    expect(healthy.body).toMatchObject({
      status: 'healthy',
      primary: { connected: true, latency: expect.any(Number), lastCheck: expect.stringMatching(/Z$/) },
      secondary: { connected: true },
      activeDatabase: 'primary',
      lastSync: null,
      state: 'PRIMARY_ACTIVE',
      epoch: 1,
    });
    await routing.breakDown('secondary');
    expect((await look(handler)).body).toMatchObject({
      status: 'degraded',
      secondary: { connected: false, latency: null },
    });
    await routing.proxies.secondary.accept();
    await routing.crash();
    await knows(pool, routing.epoch);
    expect((await look(handler)).body).toMatchObject({
      status: 'failed_over',
      activeDatabase: 'secondary',
      primary: { connected: false },
      secondary: { connected: true },
    });
    await routing.breakDown('secondary');
    expect(await look(handler)).toMatchObject({ code: 503, body: { status: 'unhealthy' } });
  });

  it("takes the controller's word for what only it knows", async () => {
    await using routing = await Routing.open();
    const told = {
      activeDatabase: 'primary',
      secondary: { connected: true, latency: 120, lastCheck: '2026-01-24T20:00:00Z' },
      lastSync: '2026-01-24T19:55:00Z',
      syncStatus: 'lagging',
      replication: { lagSeconds: 40, lagBytes: 5 },
    };
    await using controller = await openHttp({
      controlToken: new Secret(TOKEN),
      routes: [
        (app, { tokenIfSet }) => app.get('/api/system/db-health', tokenIfSet, (context) => context.json(told, 503)),
      ],
    });
    const pool = routing.pool({ controllerUrl: controller.base });
    const { code, body } = await look(healthHandler(pool, { timeoutMs: 10_000 }));
    expect(code).toBe(200);
    expect(body).toMatchObject({ ...told, status: 'degraded', primary: { connected: true } });
  });

  it('of a plain pool knows the primary only', async () => {
    await using routing = await Routing.open();
    const pool = new RouterPool({ primary: routing.options().primary });
    const { code, body } = await look(healthHandler(pool));
    expect(code).toBe(200);
    expect(body).toMatchObject({
      status: 'healthy',
      activeDatabase: 'primary',
      epoch: 0,
      secondary: { connected: false },
    });
    await pool.end();
  });
});
