/** `GET /api/system/economy`: economy mode, the primary by Neon's API, and the month's budgets. */
import type { EconomyView } from '../core/economy.js';
import type { RouteModule } from './routes.js';

export function economyRoutes(view: () => EconomyView): RouteModule {
  return (app) => {
    app.get('/api/system/economy', (context) => context.json(view()));
  };
}
