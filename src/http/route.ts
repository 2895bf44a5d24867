import type { Context } from 'hono';
import { stream } from 'hono/streaming';
import { z } from 'zod';
import type { LeaseAnswer, LeaseRequest, Route } from '../core/route.js';
import { readJsonObject } from './body.js';
import { HttpError } from './errors.js';
import type { RouteModule } from './routes.js';

/** What src/authority holds: the published route, and leases on it. */
export interface RouteSource {
  readonly route: Route | null;
  lease(request: LeaseRequest): LeaseAnswer | 'unknown' | 'full';
  subscribe(listener: (route: Route) => void): () => void;
}

/** A comment line so often, so that a dead connection is noticed on both ends. */
const HEARTBEAT_MS = 2_000;

const age = z.number().min(0).nullable();
const count = z.int().min(0);
const side = z.object({
  ...{ okAgoMs: age, writeOkAgoMs: age, failedAgoMs: age, busy: count },
  // A router of an earlier version does not say these.
  ...{ writes: count.optional(), failures: count.optional(), quota: z.boolean().optional() },
});
const leaseRequest = z.object({
  router: z.uuid(),
  name: z.string().max(200).nullable(),
  epoch: z.int().min(0),
  idle: z.boolean(),
  waiting: z.int().min(0),
  primary: side,
  secondary: side,
}) satisfies z.ZodType<LeaseRequest>;

/** `GET /api/system/route`, `GET /api/system/route/stream`, `POST /api/system/route/lease` (decision 5). */
export function routeRoutes(source: RouteSource): RouteModule {
  return (app, { tokenIfSet, closing }) => {
    app.get('/api/system/route', tokenIfSet, (context) => {
      if (source.route === null) throw unknown();
      return context.json(source.route);
    });
    app.get('/api/system/route/stream', tokenIfSet, (context) => events(context, source, closing));
    app.post('/api/system/route/lease', tokenIfSet, async (context) => {
      const parsed = leaseRequest.safeParse(await readJsonObject(context));
      if (!parsed.success) {
        const [issue] = parsed.error.issues;
        const where = issue === undefined || issue.path.length === 0 ? 'the body' : issue.path.join('.');
        throw new HttpError(400, 'malformed-lease', `A lease request is malformed at ${where}: ${issue?.message}.`);
      }
      const answer = source.lease(parsed.data);
      if (answer === 'unknown') throw unknown();
      if (answer === 'full') throw new HttpError(503, 'too-many-routers', 'More routers report than can be followed.');
      return context.json(answer);
    });
  };
}

function unknown(): HttpError {
  return new HttpError(503, 'route-unknown', 'The control row was not read yet: the route is not known.');
}

/**
 * The present route, each later one, and comments in between. A reader that is slow gets the newest route only, since
 * only the highest epoch counts: so nothing piles up behind a stalled connection.
 */
function events(context: Context, source: RouteSource, closing: AbortSignal): Response {
  context.header('Content-Type', 'text/event-stream');
  context.header('X-Accel-Buffering', 'no');
  return stream(context, async (out) => {
    let wake: () => void = () => undefined;
    const changed = () => wake();
    const leave = source.subscribe(changed);
    closing.addEventListener('abort', changed, { once: true });
    out.onAbort(changed);
    try {
      let sent = -1;
      while (!out.aborted && !closing.aborted) {
        const route = source.route;
        const news = route !== null && route.epoch > sent;
        if (news) sent = route.epoch;
        await out.write(news ? `event: route\ndata: ${JSON.stringify(route)}\n\n` : ': still here\n\n');
        if ((source.route?.epoch ?? -1) > sent || out.aborted || closing.aborted) continue;
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, HEARTBEAT_MS);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
    } finally {
      leave();
      closing.removeEventListener('abort', changed);
    }
  });
}
