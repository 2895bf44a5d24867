import { collectDefaultMetrics, Registry } from 'prom-client';
import type { StatusSource } from '../core/status.js';
import type { RouteModule } from './routes.js';
import { METRIC_PREFIX, streamMetrics } from './stream-metrics.js';

/** What `GET /metrics` serves. Other parts register metrics of their own in `registry`. */
export interface Metrics {
  readonly registry: Registry;
  readonly contentType: string;
  /** Prometheus text format. */
  render(): Promise<string>;
}

/**
 * A registry of its own (not prom-client's global one), so that two streams or tests in one process do not meet.
 * Values are read from one snapshot per scrape: they fit together, and nothing is counted twice.
 */
export function createMetrics(status: StatusSource): Metrics {
  const registry = new Registry();
  const update = streamMetrics(registry);
  collectDefaultMetrics({ register: registry, prefix: METRIC_PREFIX });
  return {
    registry,
    contentType: registry.contentType,
    render: () => {
      const snapshot = status.snapshot();
      // Also for what has no stream by itself (controller, budgets, the process): a server may hold those of several.
      registry.setDefaultLabels({ stream: snapshot.stream });
      update(snapshot, status.ready().ready);
      return registry.metrics();
    },
  };
}

export function metricsRoutes(metrics: Metrics): RouteModule {
  return (app) => {
    app.get('/metrics', async (context) =>
      context.body(await metrics.render(), 200, { 'Content-Type': metrics.contentType }),
    );
  };
}
