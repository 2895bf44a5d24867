/**
 * `GET /api/system/activity`: whether the primary may be contacted, for a streamer in a process of its own. With `?mode=`
 * the answer waits until the mode is another one, for half a minute at most.
 */
import type { PrimaryRest } from '../core/economy.js';
import type { RouteModule } from './routes.js';

/** Below the request timeout of servers and proxies on the way. */
const LONGEST_WAIT_MS = 25_000;

export interface ActivityAnswer {
  readonly mode: PrimaryRest['mode'];
  /** Since the last use of the primary; null where nobody keeps count: then it is always in use. */
  readonly idleMs: number | null;
}

/** @param monotonic the clock of `rest` */
export function activityRoutes(rest: PrimaryRest, monotonic: () => number): RouteModule {
  return (app, { closing, tokenIfSet }) => {
    app.get('/api/system/activity', tokenIfSet, async (context) => {
      if (context.req.query('mode') === rest.mode) await changed(rest, closing);
      const last = rest.lastActivityMs;
      const idleMs = last === null ? null : Math.max(0, Math.round(monotonic() - last));
      return context.json({ mode: rest.mode, idleMs } satisfies ActivityAnswer);
    });
  };
}

function changed(rest: PrimaryRest, closing: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timer);
      leave();
      closing.removeEventListener('abort', finish);
      resolve();
    };
    const timer = setTimeout(finish, LONGEST_WAIT_MS);
    const leave = rest.onChange(finish);
    closing.addEventListener('abort', finish, { once: true });
    if (closing.aborted) finish();
  });
}
