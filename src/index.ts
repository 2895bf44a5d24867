/**
 * What an application imports: the router and its types. Importing it loads neither streamer nor controller nor their
 * dependencies, only pg.
 */
export { ConfigurationError, type ErrorDetails, type ExitCode, RedundancyError } from './core/errors.js';
export type { Route, RoutePhase, Side } from './core/route.js';
export type { RoutedClient } from './router/client.js';
export {
  AuthorityLostError,
  HoldQueueFullError,
  HoldTimeoutError,
  NotSentError,
  OutcomeUnknownError,
  RouterError,
  TransactionLostError,
} from './router/errors.js';
export { type DbHealth, type HealthOptions, healthHandler, type SideHealth } from './router/health.js';
export type { RouterMetrics } from './router/metrics.js';
export { createPgModule, type PgModule } from './router/module.js';
export type { RouterOptions } from './router/options.js';
export { RouterPool, type RouterPoolOptions } from './router/pool.js';
export type { Router, SwitchEvent } from './router/router.js';
