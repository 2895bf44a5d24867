import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { Hono, type MiddlewareHandler } from 'hono';
import { methodNotAllowed } from 'hono/method-not-allowed';
import { ConfigurationError } from '../core/errors.js';
import type { Secret } from '../core/secret.js';
import type { StatusSource } from '../core/status.js';
import type { Logger } from '../log/logger.js';
import { requireToken, requireTokenIfSet } from './auth.js';
import { limitBody } from './body.js';
import { errorBody, errorHandler, methodNotAllowedResponse, notFound } from './errors.js';
import { healthRoutes } from './health.js';
import { type Metrics, metricsRoutes } from './metrics.js';
import { replicationLagRoutes } from './replication-lag.js';
import type { RouteModule } from './routes.js';

export interface HttpServerOptions {
  /** Address or name to bind to; 127.0.0.1 unless the operator decides otherwise. */
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
  readonly status: StatusSource;
  readonly metrics: Metrics;
  readonly logger: Logger;
  /** null refuses every control verb. */
  readonly controlToken?: Secret | null;
  /** Further groups of routes, registered after those of this folder. */
  readonly routes?: readonly RouteModule[];
}

export interface HttpServer {
  readonly port: number;
  /** Stops listening, ends event streams, lets running requests finish for one second, then cuts them. */
  close(): Promise<void>;
}

const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
const CLOSE_GRACE_MS = 1000;

/** Starts the HTTP surface (SPEC section 9). Throws a ConfigurationError when the address cannot be bound. */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const closing = new AbortController();
  const app = createApp(options, closing.signal);
  const listener = getRequestListener(app.fetch, {
    // Only what fails outside of the routes comes here: a request that is no valid URL, a host that is none.
    errorHandler: () => Response.json(errorBody('bad-request', 'The request is malformed.'), { status: 400 }),
  });
  const server = createServer(
    { headersTimeout: HEADERS_TIMEOUT_MS, requestTimeout: REQUEST_TIMEOUT_MS },
    (request, response) => void listener(request, response),
  );
  server.on('clientError', refuse);
  await listen(server, options);
  const { port } = server.address() as AddressInfo;
  options.logger.info({ host: options.host, port }, `HTTP surface listens on ${options.host}:${port}`);
  return { port, close: () => close(server, closing) };
}

function createApp(options: HttpServerOptions, closing: AbortSignal): Hono {
  const app = new Hono();
  const token = options.controlToken ?? null;
  const tools = { control: requireToken(token), tokenIfSet: requireTokenIfSet(token), closing };
  app.onError(errorHandler(options.logger));
  app.notFound(notFound);
  app.use(securityHeaders);
  app.use(methodNotAllowed({ app, onMethodNotAllowed: methodNotAllowedResponse }));
  app.use(limitBody());
  const own = [healthRoutes(options.status), replicationLagRoutes(options.status), metricsRoutes(options.metrics)];
  for (const register of [...own, ...(options.routes ?? [])]) register(app, tools);
  return app;
}

/** A route that serves a page sets its own policy; what it sets is kept. */
const SECURITY_HEADERS = {
  'X-Content-Type-Options': 'nosniff',
  'Cache-Control': 'no-store',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
  'Referrer-Policy': 'no-referrer',
} as const;

const securityHeaders: MiddlewareHandler = async (context, next) => {
  await next();
  for (const [name, value] of Object.entries(SECURITY_HEADERS)) {
    if (!context.res.headers.has(name)) context.res.headers.set(name, value);
  }
};

/** What Node's parser refuses before there is a request: not HTTP at all, or headers that are too large. */
function refuse(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const [line, code] =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? ['431 Request Header Fields Too Large', 'headers-too-large']
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? ['408 Request Timeout', 'timeout']
        : ['400 Bad Request', 'bad-request'];
  const body = JSON.stringify(errorBody(code, 'The request is malformed or was not finished in time.'));
  const head = `HTTP/1.1 ${line}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${body.length}`;
  socket.end(`${head}\r\n\r\n${body}`);
}

function listen(server: Server, { host, port }: HttpServerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const why =
        cause.code === 'EADDRINUSE' ? 'another process uses it' : `the system answers ${cause.code ?? 'an error'}`;
      const message = `The HTTP surface cannot listen on ${host}:${port}: ${why}.`;
      const remedy = 'Choose another address with DB_HTTP_HOST and DB_HTTP_PORT, or stop the other process.';
      reject(new ConfigurationError(message, { code: 'http-address', remedy, cause }));
    });
    server.listen({ host, port }, resolve);
  });
}

function close(server: Server, closing: AbortController): Promise<void> {
  closing.abort();
  return new Promise((resolve) => {
    const cut = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS);
    server.close(() => {
      clearTimeout(cut);
      resolve();
    });
    server.closeIdleConnections();
  });
}
