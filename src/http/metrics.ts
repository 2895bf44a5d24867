import { performance } from 'node:perf_hooks';
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
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
  processMetrics(registry);
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

/**
 * What Prometheus's clients tell of any process. prom-client's delays of the event loop come from a timer that wakes the
 * process a hundred times a second, most of what an idle one costs: its utilization says as much, and costs nothing.
 */
function processMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry, prefix: METRIC_PREFIX, eventLoopMonitoringPrecision: 60_000 });
  for (const figure of ['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99'])
    registry.removeSingleMetric(`${METRIC_PREFIX}nodejs_eventloop_lag_${figure}_seconds`);
  let last = performance.eventLoopUtilization();
  new Gauge({
    name: `${METRIC_PREFIX}nodejs_eventloop_utilization`,
    help: 'Share of the time since the last scrape in which the event loop was busy, 0 to 1.',
    registers: [registry],
    collect() {
      const now = performance.eventLoopUtilization();
      this.set(performance.eventLoopUtilization(now, last).utilization);
      last = now;
    },
  });
}

export function metricsRoutes(metrics: Metrics): RouteModule {
  return (app) => {
    app.get('/metrics', async (context) =>
      context.body(await metrics.render(), 200, { 'Content-Type': metrics.contentType }),
    );
  };
}
