import type { StatusSource } from '../core/status.js';
import type { RouteModule } from './routes.js';

/**
 * `/healthz`: 200 as long as the process answers. `/readyz`: 200 when it is able to do its work, else 503; the
 * source judges that by progress, so a process that exists but stands still is not ready.
 */
export function healthRoutes(status: Pick<StatusSource, 'ready'>): RouteModule {
  return (app) => {
    app.get('/healthz', (context) => context.json({ status: 'alive', uptimeSeconds: Math.floor(process.uptime()) }));
    app.get('/readyz', (context) => {
      const { ready, reason } = status.ready();
      return context.json({ ready, reason }, ready ? 200 : 503);
    });
  };
}
