import type { Hono, MiddlewareHandler } from 'hono';

/** What a route module gets to build its routes with. */
export interface RouteTools {
  /** Put before the handler of every control verb: `app.post(path, control, handler)`. */
  readonly control: MiddlewareHandler;
  /** For routes that are open where no token is configured, and need it where one is. */
  readonly tokenIfSet: MiddlewareHandler;
  /** Aborted when the server closes: ends event streams and other long answers. */
  readonly closing: AbortSignal;
}

/**
 * A group of routes: `(app, { control }) => { app.get('/x', ...); app.post('/y', control, ...) }`. Each method of a
 * path is registered by name (not `app.all`), so that other methods get 405 with the right Allow header.
 */
export type RouteModule = (app: Hono, tools: RouteTools) => void;
