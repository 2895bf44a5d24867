/** `streamer` and `serve`: the long-running process, with its HTTP surface. `serve` is the failover controller as well. */
import { createRouteAuthority } from '../../authority/authority.js';
import { systemClock } from '../../core/clock.js';
import { ALWAYS_AWAKE } from '../../core/economy.js';
import { RouterReports } from '../../economy/router-reports.js';
import { controlRoutes, listRoutes } from '../../http/control.js';
import { controllerMetrics } from '../../http/controller-metrics.js';
import { dashboardRoutes } from '../../http/dashboard.js';
import { dbHealthRoutes } from '../../http/db-health.js';
import { createMetrics } from '../../http/metrics.js';
import { reconcileRoutes, tablesRoutes } from '../../http/reconcile.js';
import { routeRoutes } from '../../http/route.js';
import type { RouteModule } from '../../http/routes.js';
import { startHttpServer } from '../../http/server.js';
import { systemRoutes } from '../../http/system-events.js';
import { SystemSource } from '../../http/system-source.js';
import { assertPreflight } from '../../preflight/report.js';
import { runPreflight } from '../../preflight/run.js';
import { secondaryIsActive } from '../../reconcile/active.js';
import { createFailover } from '../failover.js';
import { createRest, createStreamer, type Runtime } from '../runtime.js';
import { systemSettings } from '../system-settings.js';

/** Runs until `signal` is aborted. Rejects with what the checks at start find. */
export async function serve(runtime: Runtime, signal: AbortSignal, withController: boolean): Promise<void> {
  const { config, logger } = runtime;
  const rest = createRest(runtime);
  const streamer = createStreamer(runtime, { scheduled: true, rest });
  const metrics = createMetrics(streamer);
  const reports = new RouterReports(systemClock, rest ?? ALWAYS_AWAKE, (failure) =>
    failover?.controller.heardFailure(failure),
  );
  const authority = createRouteAuthority({ onReport: (request) => reports.heard(request) });
  const failover = withController
    ? createFailover(runtime, {
        ...{ authority, automatic: true, onReleased: () => streamer.nudge() },
        ...(rest ? { rest } : {}),
      })
    : null;
  const system = new SystemSource({
    name: config.stream.name,
    settings: systemSettings(config),
    controller: failover?.controller ?? null,
    routers: () => authority.routers().length,
    stream: streamer,
    control: config.http.controlToken !== null,
    redact: runtime.redact,
  });
  const routes: RouteModule[] = [
    dashboardRoutes(),
    systemRoutes(system),
    tablesRoutes(async () => streamer.snapshot()),
    reconcileRoutes({
      tables: () => streamer.store.list(),
      secondaryIsActive: () => secondaryIsActive(streamer.link, config.stream.name),
      orderSync: (table) => streamer.resync(table),
      orderVerify: (table, order) => streamer.orderVerify(table, order),
      ordered: (verb, tables, reason) =>
        logger.info({ verb, tables, reason }, `A ${verb} of ${tables.length} tables was ordered over HTTP`),
    }),
  ];
  if (failover) {
    const { controller } = failover;
    controllerMetrics(metrics.registry, () => controller.snapshot());
    routes.push(
      routeRoutes(authority),
      dbHealthRoutes({
        controller,
        stream: streamer,
        lastSync: () => streamer.snapshot().lastSync ?? null,
        redact: runtime.redact,
      }),
      controlRoutes(controller),
      listRoutes(controller),
    );
  }
  const { host, port, controlToken } = config.http;
  const http = await startHttpServer({ host, port, status: streamer, metrics, logger, controlToken, routes });
  // The two end together: a stream that gives up for good must not leave half of a process behind.
  const over = new AbortController();
  const either = AbortSignal.any([signal, over.signal]);
  try {
    // A process that starts in the middle of an outage must not give up: what waiting may mend is left to the stream.
    assertPreflight((await runPreflight(config)).filter((result) => !result.transient));
    const controlling = failover?.controller.run(either);
    try {
      await streamer.run(signal);
    } finally {
      over.abort(signal.reason ?? new Error('the streamer has ended'));
      await controlling;
    }
  } finally {
    system[Symbol.dispose]();
    rest?.close();
    await http.close();
    await failover?.close();
    logger.info({ reason: String(signal.reason ?? 'error') }, 'Stopped');
  }
}
