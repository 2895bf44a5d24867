/**
 * Every route of the surface under malformed requests (SPEC section 15): what is wrong is answered with 4xx, what is away
 * with 503, and nothing with 500. The routes are read off the modules themselves, and the modules off the folder: one that
 * is added is walked too, or fails the first test.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Hono } from 'hono';
import { beforeAll, describe, expect, it } from 'vitest';
import { createRouteAuthority } from '../../src/authority/authority.js';
import { ALWAYS_AWAKE } from '../../src/core/economy.js';
import { activityRoutes } from '../../src/http/activity.js';
import { LARGEST_BODY_BYTES } from '../../src/http/body.js';
import { controlRoutes, listRoutes } from '../../src/http/control.js';
import { dashboardRoutes } from '../../src/http/dashboard.js';
import { dbHealthRoutes } from '../../src/http/db-health.js';
import { economyRoutes } from '../../src/http/economy.js';
import { healthRoutes } from '../../src/http/health.js';
import { createMetrics, metricsRoutes } from '../../src/http/metrics.js';
import { reconcileRoutes, tablesRoutes } from '../../src/http/reconcile.js';
import { replicationLagRoutes } from '../../src/http/replication-lag.js';
import { routeRoutes } from '../../src/http/route.js';
import type { RouteModule } from '../../src/http/routes.js';
import { systemRoutes } from '../../src/http/system-events.js';
import { SystemSource } from '../../src/http/system-source.js';
import { ask } from '../harness/broker.js';
import { FixedController } from '../harness/fixed-controller.js';
import { FixedStatus } from '../harness/fixed-status.js';
import { openHttp, TOKEN } from '../harness/http-fixture.js';

const SETTINGS = {
  ...{ checkIntervalMs: 30_000, failoverThreshold: 3, failbackThreshold: 5, cooldownMs: 600_000 },
  ...{ autoFailover: true, autoFailback: true },
};
const SERVED_ANYWAY = [healthRoutes, replicationLagRoutes, metricsRoutes].map(({ name }) => name);

/** Every module that a process may serve, by the name of the function that makes it; `away`: each source fails. */
function modules(status: FixedStatus, { away = false, folder = '' } = {}): Record<string, RouteModule> {
  const controller = new FixedController();
  const authority = createRouteAuthority();
  const gone = <T>(value: T): Promise<T> =>
    away ? Promise.reject(new Error('connection refused')) : Promise.resolve(value);
  const there = <T>(value: T): T => {
    if (away) throw new Error('connection refused');
    return value;
  };
  if (away) controller.result = new Error('connection refused');
  const lists = {
    history: (limit: number) => gone(limit).then(controller.history),
    conflicts: () => gone([]),
    deadLetters: () => gone([]),
  };
  const surface = {
    snapshot: controller.snapshot,
    replication: () => gone(null),
  };
  const source = new SystemSource({
    ...{ name: 's', settings: SETTINGS, controller: surface, stream: status, control: true },
    redact: (text) => text,
  });
  return {
    activityRoutes: activityRoutes(ALWAYS_AWAKE, () => there(0)),
    controlRoutes: controlRoutes(controller),
    listRoutes: listRoutes(lists),
    dashboardRoutes: dashboardRoutes(folder),
    dbHealthRoutes: dbHealthRoutes({ controller: surface, stream: away ? null : status, redact: (text) => text }),
    economyRoutes: economyRoutes(() => there({ rest: null, neon: null, budget: null })),
    healthRoutes: healthRoutes(status),
    metricsRoutes: metricsRoutes(createMetrics(status)),
    reconcileRoutes: reconcileRoutes({
      tables: () => gone([{ schema: 'public', name: 'users' }]),
      secondaryIsActive: () => gone(false),
      orderSync: () => gone(undefined),
      orderVerify: () => gone(undefined),
    }),
    tablesRoutes: tablesRoutes(() => gone(status.snapshot())),
    replicationLagRoutes: replicationLagRoutes(status),
    routeRoutes: routeRoutes(authority),
    systemRoutes: systemRoutes(source),
  };
}

interface Endpoint {
  readonly method: string;
  readonly path: string;
}

/** The methods of each path of a module. */
function endpoints(module: RouteModule): Endpoint[] {
  const app = new Hono();
  const pass = async (_: unknown, next: () => Promise<void>) => next();
  module(app, { control: pass, tokenIfSet: pass, closing: new AbortController().signal });
  const seen = app.routes.map(({ method, path }) => ({ method, path }));
  return seen.filter(({ method, path }, i) => seen.findIndex((e) => e.method === method && e.path === path) === i);
}

describe('every route', () => {
  let folder = '';
  let all: Endpoint[] = [];
  beforeAll(async () => {
    folder = join(await ask('dist'), 'dashboard');
    all = Object.values(modules(new FixedStatus(), { folder })).flatMap(endpoints);
  });

  const open = async (away = false) => {
    const status = new FixedStatus();
    const made = modules(status, { folder, away });
    const routes = Object.entries(made).flatMap(([name, module]) => (SERVED_ANYWAY.includes(name) ? [] : [module]));
    return openHttp({ routes });
  };
  const posts = () => all.filter(({ method }) => method === 'POST').map(({ path }) => path);
  const authorized = { Authorization: `Bearer ${TOKEN}` };

  it('is walked here: no module of the folder is missing', async () => {
    const source = fileURLToPath(new URL('../../src/http/', import.meta.url));
    const exported: string[] = [];
    for (const file of (await readdir(source)).filter((name) => name.endsWith('.ts')))
      exported.push(
        ...Object.keys((await import(join(source, file))) as object).filter((name) => /Routes$/.test(name)),
      );
    expect(Object.keys(modules(new FixedStatus())).sort()).toEqual(exported.sort());
    expect(all.length).toBeGreaterThan(25);
    expect(posts().length).toBe(7);
  });

  it('answers 405 to other methods, and says which there are', async () => {
    await using http = await open();
    for (const path of new Set(all.map((each) => each.path))) {
      const has = all.filter((each) => each.path === path).map(({ method }) => method);
      for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'].filter((each) => !has.includes(each))) {
        const response = await http.get(path, { method, headers: authorized });
        expect([path, method, response.status]).toEqual([path, method, 405]);
        for (const each of has) expect(response.headers.get('allow')).toContain(each);
      }
    }
  });

  it('that changes something, or has rows of the application, answers 401 without the right token', async () => {
    await using http = await open();
    const guarded = ['conflicts', 'dead-letters', 'route', 'route/stream', 'activity'].map(
      (name) => `/api/system/${name}`,
    );
    const wrong = ['', `Basic ${TOKEN}`, `Bearer ${TOKEN}x`, 'Bearer', `Bearer ${'x'.repeat(5000)}`, 'Bearer \u00ff'];
    for (const path of [...posts(), ...guarded])
      for (const Authorization of wrong) {
        const response = await http.get(path, {
          method: guarded.includes(path) ? 'GET' : 'POST',
          headers: { Authorization },
        });
        expect([path, Authorization, response.status]).toEqual([path, Authorization, 401]);
      }
  });

  it('with a body answers 400 when it is malformed, and 413 when it is too large', async () => {
    await using http = await open();
    const deep = `${'{"a":'.repeat(5000)}1${'}'.repeat(5000)}`;
    const malformed: (string | Uint8Array<ArrayBuffer>)[] = [
      ...['{', '[]', 'null', '"x"', '7', '{"reason":', '\0', deep],
      ...[
        '{"__proto__": {"force": true}, "reason": 7}',
        '{"unknown": 1}',
        '{"reason": {}}',
        '{"table": 7}',
        '{"dryRun": "yes"}',
      ],
      new Uint8Array([0xff, 0xfe, 0x00]),
    ];
    for (const path of posts()) {
      for (const body of malformed) {
        const response = await http.get(path, { method: 'POST', body, headers: authorized });
        expect([path, body, response.status]).toEqual([path, body, 400]);
        expect(await response.json()).toEqual({
          error: { code: expect.any(String), message: expect.stringMatching(/\.$/) },
        });
      }
      const large = { method: 'POST', body: 'x'.repeat(LARGEST_BODY_BYTES + 1), headers: authorized };
      expect([path, (await http.get(path, large)).status]).toEqual([path, 413]);
    }
  });

  const queries = [
    ...['?', '?%zz', '?limit=-1', '?limit=1e9', '?limit=x&limit=1', '?limit=%00', '?maxSeconds=NaN&maxBytes=-1'],
    ...['?mode=%ff', '?mode=', '?table=%27%3B--', `?${'x=1&'.repeat(1500)}`],
  ];

  it.each([
    ['well', false],
    ['away', true],
  ])('answers every query without 500 when its sources are %s', async (_name, away) => {
    await using http = await open(away);
    if (away) http.status.failure = new Error('connection refused');
    for (const { method, path } of all)
      for (const query of queries) {
        const abort = new AbortController();
        const response = await http.get(path + query, {
          ...{ method, headers: authorized, signal: abort.signal },
          ...(method === 'POST' ? { body: path.endsWith('/sync') ? '{"full":true}' : '{}' } : {}),
        });
        expect([path, query, response.status]).not.toEqual([path, query, 500]);
        expect([200, 202, 400, 404, 409, 503], `${path}${query}: ${response.status}`).toContain(response.status);
        // Streams do not end by themselves.
        if (/events|stream/.test(path)) abort.abort();
        else expect(await response.text()).not.toContain('connection refused');
      }
    expect((await http.get('/healthz')).status).toBe(200);
  });
});
