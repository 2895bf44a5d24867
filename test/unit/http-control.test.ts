/** db-health, orders and lists over HTTP: exact shapes, status codes, and bad input (SPEC sections 9 and 15). */

import { Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { RedundancyError } from '../../src/core/errors.js';
import type { OrderResult, SideHealth } from '../../src/core/failover.js';
import { controlRoutes, listRoutes } from '../../src/http/control.js';
import { controllerMetrics } from '../../src/http/controller-metrics.js';
import { dbHealthRoutes } from '../../src/http/db-health.js';
import { tablesRoutes } from '../../src/http/reconcile.js';
import { entry, FixedController, UP } from '../harness/fixed-controller.js';
import { FixedStatus } from '../harness/fixed-status.js';
import { openHttp, TOKEN } from '../harness/http-fixture.js';

const DOWN: SideHealth = { ...UP, connected: false, latencyMs: null, error: 'refused', failures: 2, successes: 0 };

async function open(controlToken?: null) {
  const controller = new FixedController();
  const stream = new FixedStatus();
  const http = await openHttp({
    ...(controlToken === null ? { controlToken } : {}),
    routes: [
      dbHealthRoutes({
        controller,
        stream,
        lastSync: () => '2026-01-24T19:55:00.000Z',
        redact: (text) => text.replace('hunter2', '***'),
      }),
      controlRoutes(controller),
      listRoutes(controller),
      tablesRoutes(async () => stream.snapshot()),
    ],
  });
  const post = (verb: string, body?: unknown, token: string | null = TOKEN) =>
    http.get(`/api/system/${verb}`, {
      method: 'POST',
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      headers: token === null ? {} : { Authorization: `Bearer ${token}` },
    });
  return {
    controller,
    stream,
    post,
    get: http.get,
    [Symbol.asyncDispose]: () => http[Symbol.asyncDispose](),
  };
}

describe('GET /api/system/db-health', () => {
  it('has exactly the fields of the contract', async () => {
    await using it_ = await open();
    const response = await it_.get('/api/system/db-health');
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({
      status: 'healthy',
      primary: { connected: true, latency: 45, lastCheck: '2026-01-24T20:00:00.000Z' },
      secondary: { connected: true, latency: 120, lastCheck: '2026-01-24T20:00:00.000Z' },
      activeDatabase: 'primary',
      lastSync: '2026-01-24T19:55:00.000Z',
      syncStatus: 'healthy',
      state: 'PRIMARY_ACTIVE',
      epoch: 7,
      replication: { lagSeconds: 0.2, lagBytes: 512 },
    });
  });

  it('tells how far the primary is on the way back, and what keeps it, without secrets', async () => {
    await using it_ = await open();
    const recovery = {
      phase: 'merging-tail',
      tailMerged: false,
      lagMs: null,
      touchedKeys: 7,
      copiedKeys: 3,
      conflicts: 1,
    } as const;
    const trouble = 'postgresql://u:hunter2@h is away';
    it_.controller.current = { ...it_.controller.current, active: 'secondary', recovery: { ...recovery, trouble } };
    const body = (await (await it_.get('/api/system/db-health')).json()) as Record<string, unknown>;
    expect(body.recovery).toMatchObject(recovery);
    expect(JSON.stringify(body)).not.toContain('hunter2');
  });

  it('does not pass a guess for a state before the control row was read', async () => {
    await using it_ = await open();
    it_.controller.current = { ...it_.controller.current, epoch: 0, route: null };
    const response = await it_.get('/api/system/db-health');
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ status: 'unhealthy', state: 'STARTING' });
  });

  it('has the alerts as well when there are any, without secrets', async () => {
    await using it_ = await open();
    it_.controller.current = { ...it_.controller.current, alerts: ['postgresql://u:hunter2@h is away'] };
    const body = (await (await it_.get('/api/system/db-health')).json()) as { alerts: string[] };
    expect(body.alerts).toEqual(['postgresql://u:***@h is away']);
  });

  it.each([
    [{ secondary: DOWN }, 'degraded', 200],
    [{ primary: DOWN }, 'unhealthy', 503],
    [{ active: 'secondary', primary: DOWN }, 'failed_over', 200],
    [{ active: 'secondary', secondary: DOWN }, 'unhealthy', 503],
  ] as const)('%j is %s, %d', async (change, status, code) => {
    await using it_ = await open();
    it_.controller.current = { ...it_.controller.current, ...change };
    const response = await it_.get('/api/system/db-health');
    expect([response.status, ((await response.json()) as { status: string }).status]).toEqual([code, status]);
  });

  it.each([
    ['streaming', 0.2, 'healthy'],
    ['streaming', 61, 'lagging'],
    ['snapshot', 0, 'lagging'],
    ['detached', 0, 'healthy'],
    ['fenced', 0, 'paused'],
    ['paused', 0, 'paused'],
    ['error', 0, 'error'],
    ['starting', 0, 'stalled'],
  ] as const)('stream %s with lag %d: sync is %s', async (status, lagSeconds, sync) => {
    await using it_ = await open();
    it_.stream.current = { ...it_.stream.current, status, lagSeconds };
    const body = await (await it_.get('/api/system/db-health')).json();
    expect(body).toMatchObject({ syncStatus: sync, status: sync === 'healthy' ? 'healthy' : 'degraded' });
  });
});

describe('orders', () => {
  it('need the token, and hand everything over', async () => {
    await using it_ = await open();
    expect((await it_.post('failover', {}, null)).status).toBe(401);
    expect((await it_.post('failover', {}, 'wrong-token-of-a-stranger')).status).toBe(401);
    expect(it_.controller.orders).toEqual([]);
    const response = await it_.post('failover', { reason: 'drill', force: true, allowDataLoss: true, dryRun: true });
    expect(response.status).toBe(200);
    expect(it_.controller.orders).toEqual([
      { verb: 'failover', actor: 'http', reason: 'drill', dryRun: true, force: true, allowDataLoss: true },
    ]);
    for (const verb of ['failback', 'pause', 'resume']) expect((await it_.post(verb)).status).toBe(200);
    expect(it_.controller.orders.map((order) => order.verb)).toEqual(['failover', 'failback', 'pause', 'resume']);
  });

  it('are refused for everybody when no token is configured', async () => {
    await using it_ = await open(null);
    expect((await it_.post('failover')).status).toBe(403);
  });

  it('answer 409 with the guards when refused or undone, or when another controller leads', async () => {
    await using it_ = await open();
    const guard = { name: 'cool-down', ok: false, value: '1 ms', limit: 'at least 2 ms', override: 'force' as const };
    it_.controller.result = { done: false, refused: true, guards: [guard] };
    const refused = await it_.post('failover');
    expect([refused.status, ((await refused.json()) as OrderResult).guards]).toEqual([409, [guard]]);
    it_.controller.result = new RedundancyError('This process does not lead.', { code: 'not-leading' });
    expect((await it_.post('failover')).status).toBe(409);
  });

  it.each([
    ['{', 400],
    ['[]', 400],
    [{ reason: 7 }, 400],
    [{ reason: 'x'.repeat(501) }, 400],
    [{ dryrun: true }, 400],
    ['x'.repeat(70_000), 413],
  ])('refuse the body %#', async (body, status) => {
    await using it_ = await open();
    expect((await it_.post('pause', body)).status).toBe(status);
    expect(it_.controller.orders).toEqual([]);
  });

  it('take no other method', async () => {
    await using it_ = await open();
    expect((await it_.get('/api/system/failover')).status).toBe(405);
  });
});

describe('lists', () => {
  it('give what there is, limited', async () => {
    await using it_ = await open();
    expect(await (await it_.get('/api/system/history?limit=2')).json()).toEqual([entry(9), entry(8)]);
    expect(await (await it_.get('/api/system/tables')).json()).toMatchObject({ tables: { length: 4 } });
    for (const limit of ['0', 'x', '-1', '1&limit=2', '12345']) {
      expect((await it_.get(`/api/system/history?limit=${limit}`)).status, limit).toBe(400);
    }
    // Rows of the application are behind the token.
    for (const path of ['conflicts', 'dead-letters']) {
      expect((await it_.get(`/api/system/${path}`)).status).toBe(401);
      const headers = { Authorization: `Bearer ${TOKEN}` };
      expect((await it_.get(`/api/system/${path}`, { headers })).status).toBe(200);
    }
  });
});

describe('metrics', () => {
  it('tell state, epoch and probes', async () => {
    const controller = new FixedController();
    const registry = new Registry();
    controllerMetrics(registry, controller.snapshot);
    const text = await registry.metrics();
    expect(text).toContain('db_redundancy_failover_state{state="PRIMARY_ACTIVE"} 1');
    expect(text).toContain('db_redundancy_failover_state{state="MANUAL_REQUIRED"} 0');
    expect(text).toContain('db_redundancy_control_epoch 7');
    expect(text).toContain('db_redundancy_probes_total{database="primary"} 10');
    expect(text).toContain('db_redundancy_probe_failures_total{database="secondary"} 2');
    expect(text).toContain('db_redundancy_failovers_total 1');
  });
});
