import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { ConfigurationError } from '../../src/core/errors.js';
import { LARGEST_BODY_BYTES } from '../../src/http/body.js';
import { HIDDEN, openHttp, TOKEN } from '../harness/http-fixture.js';

type Http = Awaited<ReturnType<typeof openHttp>>;

const VERB = '/api/system/pause';
const authorized = { Authorization: `Bearer ${TOKEN}` };
const post = (
  body: string | Uint8Array | ReadableStream | null = null,
  headers: Record<string, string> = authorized,
): RequestInit => ({
  method: 'POST',
  body,
  headers,
});

/** Sends bytes as they are and gives all that comes back until the server closes. */
function raw(http: Http, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(http.port, '127.0.0.1', () => socket.write(bytes));
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk.toString();
    });
    socket.on('end', () => resolve(answer)).on('error', reject);
  });
}

describe('refused requests', () => {
  it.each<[string, string, RequestInit, number, string]>([
    ['an unknown route', '/nothing', {}, 404, 'not-found'],
    ['a route with a slash too many', '/healthz/', {}, 404, 'not-found'],
    ['a route with encoded dots', '/%2e%2e/etc/passwd', {}, 404, 'not-found'],
    ['a malformed escape', '/%zz', {}, 404, 'not-found'],
    ['POST to a GET', '/healthz', { method: 'POST' }, 405, 'method-not-allowed'],
    ['DELETE of a GET', '/metrics', { method: 'DELETE' }, 405, 'method-not-allowed'],
    ['OPTIONS', '/readyz', { method: 'OPTIONS' }, 405, 'method-not-allowed'],
    ['GET of a verb', VERB, {}, 405, 'method-not-allowed'],
    ['a verb without a token', VERB, post('{}', {}), 401, 'unauthorized'],
    ['a verb with another scheme', VERB, post('{}', { Authorization: `Basic ${TOKEN}` }), 401, 'unauthorized'],
    ['a verb with an empty token', VERB, post('{}', { Authorization: 'Bearer ' }), 401, 'unauthorized'],
    ['a verb with a wrong token', VERB, post('{}', { Authorization: `Bearer ${TOKEN}x` }), 401, 'unauthorized'],
    [
      'a verb with a part of the token',
      VERB,
      post('{}', { Authorization: `Bearer ${TOKEN.slice(1)}` }),
      401,
      'unauthorized',
    ],
    ['a body that is no JSON', VERB, post('{"a":'), 400, 'malformed-json'],
    ['a body that is no object', VERB, post('[1]'), 400, 'malformed-json'],
    ['a body of null', VERB, post('null'), 400, 'malformed-json'],
    ['a body of bytes that are no text', VERB, post(new Uint8Array([0xff, 0xfe, 0])), 400, 'malformed-json'],
    ['a body a byte too large', VERB, post('x'.repeat(LARGEST_BODY_BYTES + 1)), 413, 'body-too-large'],
    ['a body far too large', VERB, post('x'.repeat(5_000_000)), 413, 'body-too-large'],
  ])('%s', async (_name, path, init, status, code) => {
    await using http = await openHttp();
    const response = await http.get(path, init);
    expect(response.status).toBe(status);
    expect(await response.json()).toEqual({ error: { code, message: expect.stringMatching(/^[A-Z].*\.$/) } });
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    expect((await http.get('/healthz')).status).toBe(200);
  });

  it('405 names the methods that are allowed', async () => {
    await using http = await openHttp();
    expect((await http.get('/healthz', { method: 'PUT' })).headers.get('allow')).toBe('GET, HEAD');
    expect((await http.get(VERB)).headers.get('allow')).toBe('POST');
  });

  it('a chunked body that is too large', async () => {
    await using http = await openHttp();
    const chunk = 'x'.repeat(16_000);
    const body = new ReadableStream({
      start(controller) {
        for (let count = 0; count < 6; count += 1) controller.enqueue(new TextEncoder().encode(chunk));
        controller.close();
      },
    });
    const init = { ...post(body), duplex: 'half' as const };
    expect((await http.get(VERB, init)).status).toBe(413);
  });

  it('every control verb, with 403 and the reason, when no token is configured', async () => {
    await using http = await openHttp({ controlToken: null });
    const response = await http.get(VERB, post('{}'));
    expect(response.status).toBe(403);
    expect(await response.json()).toMatchObject({
      error: { code: 'control-disabled', message: expect.stringContaining('DB_CONTROL_TOKEN') },
    });
  });

  it('every control verb, with 403 and the reason, when no token is configured and none is given', async () => {
    await using http = await openHttp({ controlToken: null });
    expect((await http.get(VERB, post('{}', {}))).status).toBe(403);
  });
});

describe('what is no proper HTTP', () => {
  it.each([
    ['noise', '\0\x01\x02 noise\r\n\r\n', '400'],
    ['an unknown version', 'GET / HTTP/9.9\r\nHost: x\r\n\r\n', '400'],
    ['no Host', 'GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n', '400'],
    ['a Host that is none', 'GET /healthz HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n', '400'],
    ['a target that is no URL', 'GET http://[ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', '400'],
    ['two lengths', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx', '400'],
    ['a length that is none', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n', '400'],
    ['headers without end', `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`, '431'],
    ['TRACE', 'TRACE /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', '40'],
    ['an unknown method', 'BREW /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', '40'],
  ])('%s', async (_name, bytes, status) => {
    await using http = await openHttp();
    expect(await raw(http, bytes)).toMatch(new RegExp(`^HTTP/1\\.1 ${status}`));
    expect((await http.get('/healthz')).status).toBe(200);
  });
});

describe('what goes wrong inside', () => {
  it('is 503 without its text, and is logged without secrets', async () => {
    await using http = await openHttp();
    http.status.failure = new Error(`cannot connect with ${HIDDEN}`);
    const response = await http.get('/metrics');
    expect(response.status).toBe(503);
    const body = await response.text();
    expect(JSON.parse(body)).toMatchObject({ error: { code: 'unavailable' } });
    expect(body).not.toContain('connect with');
    expect(http.log).toContain('HTTP request failed unexpectedly');
    expect(http.log).toContain('cannot connect with [redacted]');
    expect(http.log).not.toContain(HIDDEN);
  });
});

describe('accepted requests', () => {
  it('a verb with the token, with and without a body', async () => {
    await using http = await openHttp();
    expect(await (await http.get(VERB, post('{"reason":"test"}'))).json()).toEqual({ got: { reason: 'test' } });
    expect(await (await http.get(VERB, post())).json()).toEqual({ got: {} });
    expect((await http.get(VERB, post(`"${'x'.repeat(LARGEST_BODY_BYTES - 2)}"`))).status).toBe(400);
  });

  it('HEAD, without a body', async () => {
    await using http = await openHttp();
    const response = await http.get('/healthz', { method: 'HEAD' });
    expect(response.status).toBe(200);
    expect(await response.text()).toBe('');
  });

  it('carry the security headers, and keep the policy that a page sets', async () => {
    await using http = await openHttp();
    const api = await http.get('/healthz');
    expect(api.headers.get('cache-control')).toBe('no-store');
    expect(api.headers.get('content-security-policy')).toContain("default-src 'none'");
    expect((await http.get('/page')).headers.get('content-security-policy')).toBe("default-src 'self'");
  });
});

describe('start and close', () => {
  it('close ends event streams and frees the port', async () => {
    const http = await openHttp();
    const stream = await http.get('/stream');
    const text = stream.text();
    await http.close();
    expect(await text).toBe('data: 1\n\n');
    await expect(http.get('/healthz')).rejects.toThrow('fetch failed');
  });

  it('close cuts a request that never ends', async () => {
    const http = await openHttp({
      routes: [(app) => void app.get('/hang', () => new Promise<Response>(() => undefined))],
    });
    const hanging = http.get('/hang').catch(() => 'cut');
    await http.get('/healthz');
    await http.close();
    expect(await hanging).toBe('cut');
  });

  it('a port in use is a mistake of configuration', async () => {
    await using http = await openHttp();
    const { startHttpServer } = await import('../../src/http/server.js');
    const { createMetrics } = await import('../../src/http/metrics.js');
    const { createLogger } = await import('../../src/log/logger.js');
    const options = {
      host: '127.0.0.1',
      status: http.status,
      metrics: createMetrics(http.status),
      logger: createLogger({ level: 'silent', redact: (text) => text }),
    };
    await expect(startHttpServer({ ...options, port: http.port })).rejects.toThrow(ConfigurationError);
    await expect(startHttpServer({ ...options, port: http.port })).rejects.toThrow(/another process uses it/);
  });
});
