/** The dashboard's page, its files and its event stream over HTTP. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ControllerSnapshot, SideHealth } from '../../src/core/failover.js';
import type { SystemSettings, SystemView } from '../../src/core/system.js';
import { dashboardRoutes } from '../../src/http/dashboard.js';
import { LagRing, STEP_MS } from '../../src/http/lag-history.js';
import { systemRoutes } from '../../src/http/system-events.js';
import { SystemSource } from '../../src/http/system-source.js';
import { ask } from '../harness/broker.js';
import { FixedStatus } from '../harness/fixed-status.js';
import { openHttp } from '../harness/http-fixture.js';

const SETTINGS: SystemSettings = {
  ...{ checkIntervalMs: 30_000, failoverThreshold: 3, failbackThreshold: 5, cooldownMs: 600_000 },
  ...{ autoFailover: true, autoFailback: true },
};
const UP: SideHealth = {
  ...{ connected: true, latencyMs: 12, lastCheck: '2026-01-24T20:00:00Z', error: null },
  ...{ failures: 0, successes: 4, probes: 4, failedProbes: 0 },
};

function controllerOf(more: Partial<ControllerSnapshot>) {
  const snapshot: ControllerSnapshot = {
    ...{ leads: true, state: 'PRIMARY_ACTIVE', epoch: 7, route: null, active: 'primary', paused: false },
    ...{ primary: UP, secondary: UP, alerts: [], failovers: 0, failbacks: 0, recovery: null, ...more },
  };
  return { snapshot: () => snapshot, replication: async () => null };
}

function sourceOf(status: FixedStatus, more: Partial<ControllerSnapshot> = {}): SystemSource {
  return new SystemSource({
    ...{ name: 's', settings: SETTINGS, controller: controllerOf(more), stream: status, control: true },
    redact: (text) => text.replaceAll('secret', '***'),
  });
}

describe('the page', () => {
  let folder = '';
  beforeAll(async () => {
    folder = join(await ask('dist'), 'dashboard');
  });

  it.each([
    ['/', 'text/html; charset=utf-8'],
    ['/dashboard/main.js', 'text/javascript; charset=utf-8'],
    ['/dashboard/uplot.js', 'text/javascript; charset=utf-8'],
    ['/dashboard/dashboard.css', 'text/css; charset=utf-8'],
    ['/dashboard/icon.svg', 'image/svg+xml'],
  ])('%s has its type, a strict policy, and is asked for anew each time', async (path, type) => {
    await using http = await openHttp({ routes: [dashboardRoutes(folder)] });
    const response = await http.get(path, { headers: { 'Accept-Encoding': 'gzip' } });
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe(type);
    expect(response.headers.get('content-encoding')).toBe('gzip');
    expect(response.headers.get('cache-control')).toBe('no-cache');
    const policy = response.headers.get('content-security-policy') ?? '';
    for (const part of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"])
      expect(policy).toContain(part);
    expect(policy).not.toMatch(/unsafe|https?:|data:|\*/);
    const plain = await (await http.get(path, { headers: { 'Accept-Encoding': 'identity' } })).text();
    expect(await response.text()).toBe(plain);
    const etag = response.headers.get('etag') ?? '';
    expect((await http.get(path, { headers: { 'If-None-Match': `"x", ${etag}` } })).status).toBe(304);
  });

  it('has nothing inline, and names nothing that is not served', async () => {
    await using http = await openHttp({ routes: [dashboardRoutes(folder)] });
    const html = await (await http.get('/')).text();
    expect(html).not.toMatch(/<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)/);
    const named = [...html.matchAll(/(?:src|href)="([^"#]+)"/g)].map(([, path]) => path ?? '');
    expect(named.length).toBeGreaterThan(3);
    for (const path of named) expect((await http.get(`/${path}`)).status, path).toBe(200);
    const seen = new Set(['main.js']);
    for (const name of seen) {
      const response = await http.get(`/dashboard/${name}`);
      expect(response.status, name).toBe(200);
      // Of the server, types only: nothing is left of them in a browser.
      for (const [, path] of (await response.text()).matchAll(/^import .*from '([^']+)'/gm)) {
        expect(path, name).toMatch(/^\.\/[\w-]+\.js$/);
        seen.add((path ?? '').slice(2));
      }
    }
    expect(seen.size).toBeGreaterThan(10);
  });

  it.each([
    ['/dashboard/', 'GET', 404],
    ['/dashboard/nothing.js', 'GET', 404],
    ['/dashboard/..%2fcli%2fmain.js', 'GET', 404],
    ['/dashboard/%2e%2e/index.js', 'GET', 404],
    ['/dashboard/tsconfig.json', 'GET', 404],
    ['/', 'POST', 405],
    ['/dashboard/main.js', 'DELETE', 405],
    ['/api/system/events', 'POST', 405],
  ])('%s by %s: %i', async (path, method, status) => {
    const source = sourceOf(new FixedStatus());
    await using http = await openHttp({ routes: [dashboardRoutes(folder), systemRoutes(source)] });
    expect((await http.get(path, { method })).status).toBe(status);
  });

  it('that was not built leaves the rest of the surface as it is', async () => {
    await using http = await openHttp({ routes: [dashboardRoutes(join(folder, 'missing'))] });
    expect((await http.get('/')).status).toBe(404);
    expect((await http.get('/healthz')).status).toBe(200);
  });
});

describe('files of a folder', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'db-redundancy-page-'));
    await Promise.all(['index.html', 'a.js', 'secret.env'].map((name) => writeFile(join(folder, name), name)));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('are served by kind only', async () => {
    await using http = await openHttp({ routes: [dashboardRoutes(folder)] });
    expect(await (await http.get('/')).text()).toBe('index.html');
    expect((await http.get('/dashboard/a.js')).status).toBe(200);
    expect((await http.get('/dashboard/secret.env')).status).toBe(404);
  });
});

describe('events', () => {
  it('begin with everything, go on with what has changed, and show no secret', async () => {
    const status = new FixedStatus();
    const source = sourceOf(status, { alerts: ['a secret'], secondary: { ...UP, connected: false, error: 'secret' } });
    await using http = await openHttp({ routes: [systemRoutes(source)] });
    const response = await http.get('/api/system/events');
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    const read = reader(response);
    const first = await read();
    const view = JSON.parse(first.system ?? '') as SystemView;
    expect(view.words.title).toBe('The primary is active');
    expect(view).toMatchObject({ lag: { seconds: 0.2, bytes: 512 }, controller: { epoch: 7, alerts: ['a ***'] } });
    expect(JSON.stringify(first)).not.toContain('secret');
    expect(JSON.parse(first.tables ?? '')).toMatchObject({ all: true, tables: { length: 4 } });
    const [users] = status.current.tables;
    if (users) users.rowsApplied += 1;
    const second = await read();
    expect(second.system).toBeUndefined();
    expect(JSON.parse(second.tables ?? '')).toMatchObject({ all: false, tables: [{ name: 'users', rowsApplied: 12 }] });
  });
});

describe('lag of the last hour', () => {
  it('keeps the highest of each step, and no more than an hour', () => {
    const ring = new LagRing(4);
    for (let step = 0; step < 10; step += 1) {
      ring.note(step * STEP_MS, { seconds: step, bytes: 0 });
      ring.note(step * STEP_MS + 1000, { seconds: step + 0.5, bytes: 7 });
      ring.note(step * STEP_MS + 2000, step % 2 === 0 ? null : { seconds: 0, bytes: 0 });
    }
    const { samples } = ring.history(9 * STEP_MS);
    expect(samples.map(([at, seconds]) => [at / STEP_MS, seconds])).toEqual([5, 6, 7, 8, 9].map((n) => [n, n + 0.5]));
    expect(ring.history(9 * STEP_MS + 3_600_000).samples).toEqual([]);
  });
});

/** Reads until a blank line; gives the events of what came, by name. */
function reader(response: Response): () => Promise<Record<string, string>> {
  const source = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  return async () => {
    const { value = '' } = (await source?.read()) ?? {};
    const events = [...value.matchAll(/event: (\w+)\nid: \d+\ndata: (.*)\n\n/g)];
    return Object.fromEntries(events.map(([, name, data]) => [name, data]));
  };
}
