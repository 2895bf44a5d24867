/**
 * What an application imports: the router and its types. Importing it loads neither streamer nor controller nor their
 * dependencies. The router itself is the next part to come; what is here already are the errors that it shares.
 */
export { ConfigurationError, type ErrorDetails, type ExitCode, RedundancyError } from './core/errors.js';
export type { Route, RoutePhase, Side } from './core/route.js';
