import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createRouteAuthority } from '../../src/authority/authority.js';
import type { Route } from '../../src/core/route.js';
import { routeRoutes } from '../../src/http/route.js';
import { openHttp, TOKEN } from '../harness/http-fixture.js';
import { waitFor } from '../harness/wait.js';

const route = (epoch: number): Route => ({
  epoch,
  active: 'primary',
  phase: 'open',
  graceMs: 0,
  since: '2026-01-24T20:00:00.000Z',
  state: 'PRIMARY_ACTIVE',
});

const side = { okAgoMs: 3, writeOkAgoMs: null, failedAgoMs: null, busy: 0 };
const lease = () => ({
  router: randomUUID() as string,
  name: 'shop' as string | null,
  epoch: 7,
  idle: true,
  waiting: 0,
  primary: side,
  secondary: side,
});
const headers = { Authorization: `Bearer ${TOKEN}` };
const post = (body: unknown): RequestInit => ({
  method: 'POST',
  headers,
  body: typeof body === 'string' ? body : JSON.stringify(body),
});

async function open() {
  const authority = createRouteAuthority();
  authority.grantUntil(Number.MAX_SAFE_INTEGER);
  const http = await openHttp({ routes: [routeRoutes(authority)] });
  return { authority, http };
}

/** All that an event stream has sent so far. */
function reading(response: Response) {
  const seen = { text: '', ended: false };
  const decoder = new TextDecoder();
  void (async () => {
    for await (const chunk of response.body ?? []) seen.text += decoder.decode(chunk, { stream: true });
  })()
    .catch(() => undefined)
    .finally(() => {
      seen.ended = true;
    });
  return seen;
}

describe('GET /api/system/route', () => {
  it('is 503 before the route is known, then the route', async () => {
    const { authority, http } = await open();
    await using _ = http;
    const before = await http.get('/api/system/route', { headers });
    expect(before.status).toBe(503);
    expect(await before.json()).toMatchObject({ error: { code: 'route-unknown' } });
    authority.publish(route(7));
    expect(await (await http.get('/api/system/route', { headers })).json()).toEqual(route(7));
  });

  it.each(['/api/system/route', '/api/system/route/stream'])('%s needs the token where one is set', async (path) => {
    const { http } = await open();
    await using _ = http;
    expect((await http.get(path)).status).toBe(401);
    await using free = await openHttp({ controlToken: null, routes: [routeRoutes(createRouteAuthority())] });
    expect((await free.get('/api/system/route')).status).toBe(503);
  });
});

describe('POST /api/system/route/lease', () => {
  it('answers with route and lease', async () => {
    const { authority, http } = await open();
    await using _ = http;
    authority.publish(route(7));
    const answer = await http.get('/api/system/route/lease', post(lease()));
    expect(await answer.json()).toEqual({ route: route(7), leaseMs: 10_000, renewMs: 3_000 });
    expect(authority.routers()).toMatchObject([{ name: 'shop', epoch: 7, primary: side }]);
  });

  it('is 503 before the route is known', async () => {
    const { http } = await open();
    await using _ = http;
    expect((await http.get('/api/system/route/lease', post(lease()))).status).toBe(503);
  });

  it.each<[string, unknown]>([
    ['no JSON', '{'],
    ['no object', '[]'],
    ['empty', ''],
    ['no UUID', { ...lease(), router: 'me' }],
    ['a long name', { ...lease(), name: 'x'.repeat(201) }],
    ['a negative epoch', { ...lease(), epoch: -1 }],
    ['an epoch beyond whole numbers', '{"epoch":1e400}'],
    ['a broken epoch', { ...lease(), epoch: 1.5 }],
    ['an age below 0', { ...lease(), primary: { ...side, okAgoMs: -1 } }],
    ['a side that is missing', { ...lease(), secondary: undefined }],
    ['null', { ...lease(), idle: null }],
  ])('refuses %s with 400', async (_name, body) => {
    const { authority, http } = await open();
    await using _ = http;
    authority.publish(route(7));
    const answer = await http.get('/api/system/route/lease', post(body));
    expect(answer.status).toBe(400);
    expect(authority.routers()).toEqual([]);
  });

  it('refuses other methods and no token', async () => {
    const { http } = await open();
    await using _ = http;
    expect((await http.get('/api/system/route/lease', { headers })).status).toBe(405);
    expect((await http.get('/api/system/route/lease', { method: 'POST', body: '{}' })).status).toBe(401);
  });
});

describe('GET /api/system/route/stream', () => {
  it('sends the route, each later one, comments in between, and ends with the server', async () => {
    const { authority, http } = await open();
    authority.publish(route(7));
    const response = await http.get('/api/system/route/stream', { headers });
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    const seen = reading(response);
    await waitFor(() => seen.text.includes('"epoch":7'), { what: 'the present route' });
    authority.publish(route(8));
    await waitFor(() => seen.text.includes('"epoch":8'), { what: 'the next route' });
    expect(seen.text.split('event: route\n')).toHaveLength(3);
    await waitFor(() => /\n: .*\n\n$/.test(seen.text), { what: 'a comment' });
    await http.close();
    await waitFor(() => seen.ended, { what: 'the end of the stream' });
  });

  it('leaves nothing behind when the reader goes', async () => {
    const left: number[] = [];
    const source = createRouteAuthority();
    const subscribe: typeof source.subscribe = (listener) => {
      const leave = source.subscribe(listener);
      return () => {
        left.push(1);
        leave();
      };
    };
    await using http = await openHttp({
      controlToken: null,
      routes: [routeRoutes({ route: null, lease: source.lease.bind(source), subscribe })],
    });
    const abort = new AbortController();
    reading(await http.get('/api/system/route/stream', { signal: abort.signal }));
    abort.abort();
    await waitFor(() => left.length === 1, { what: 'the subscription is given up' });
  });
});
