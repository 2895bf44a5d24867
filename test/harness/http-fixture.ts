import { Writable } from 'node:stream';
import { createRedactor } from '../../src/core/redact.js';
import { Secret } from '../../src/core/secret.js';
import { readJsonObject } from '../../src/http/body.js';
import { createMetrics } from '../../src/http/metrics.js';
import type { RouteModule } from '../../src/http/routes.js';
import { startHttpServer } from '../../src/http/server.js';
import { createLogger } from '../../src/log/logger.js';
import { FixedStatus } from './fixed-status.js';

export const TOKEN = 'a-token-of-the-tests';
export const HIDDEN = 'hidden-password';

/** A control verb, a page and an endless stream, as later parts of the surface have them. */
const exampleRoutes: RouteModule = (app, { control, closing }) => {
  app.post('/api/system/pause', control, async (context) => context.json({ got: await readJsonObject(context) }));
  app.get('/page', (context) => context.html('<p>hi</p>', 200, { 'Content-Security-Policy': "default-src 'self'" }));
  app.get('/stream', (context) => {
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode('data: 1\n\n'));
        closing.addEventListener('abort', () => controller.close(), { once: true });
      },
    });
    return context.body(body, 200, { 'Content-Type': 'text/event-stream' });
  });
};

/** A real server on a free port of the loopback, with a status set by hand and the log in memory. */
export async function openHttp(options: { controlToken?: Secret | null; routes?: RouteModule[] } = {}) {
  const status = new FixedStatus();
  let log = '';
  const destination = new Writable({
    write(chunk: Buffer, _encoding, done) {
      log += chunk.toString();
      done();
    },
  });
  const server = await startHttpServer({
    host: '127.0.0.1',
    port: 0,
    status,
    metrics: createMetrics(status),
    logger: createLogger({ level: 'info', redact: createRedactor([HIDDEN]), destination }),
    controlToken: options.controlToken === undefined ? new Secret(TOKEN) : options.controlToken,
    routes: options.routes ?? [exampleRoutes],
  });
  const base = `http://127.0.0.1:${server.port}`;
  return {
    ...server,
    base,
    status,
    get log() {
      return log;
    },
    get: (path: string, init: RequestInit = {}) => fetch(base + path, init),
    [Symbol.asyncDispose]: () => server.close(),
  };
}
