/** `streamer` and `serve`: the long-running process, with its HTTP surface. `serve` is the failover controller as well. */
import { createRouteAuthority } from '../../authority/authority.js';
import { systemClock } from '../../core/clock.js';
import { ALWAYS_AWAKE } from '../../core/economy.js';
import { followController } from '../../economy/controller-activity.js';
import type { Rest } from '../../economy/rest.js';
import { activityRoutes } from '../../http/activity.js';
import { controlRoutes, listRoutes } from '../../http/control.js';
import { controllerMetrics } from '../../http/controller-metrics.js';
import { dashboardRoutes } from '../../http/dashboard.js';
import { dbHealthRoutes } from '../../http/db-health.js';
import { economyRoutes } from '../../http/economy.js';
import { economyMetrics } from '../../http/economy-metrics.js';
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
import { Economy } from '../economy.js';
import { createFailover } from '../failover.js';
import { createStreamer, type Runtime } from '../runtime.js';
import { systemSettings } from '../system-settings.js';

/** Runs until `signal` is aborted. Rejects with what the checks at start find. */
export async function serve(runtime: Runtime, signal: AbortSignal, withController: boolean): Promise<void> {
  const { config, logger } = runtime;
  const economy = new Economy(runtime);
  const { rest } = economy;
  const streamer = createStreamer(runtime, { scheduled: true, economy });
  const metrics = createMetrics(streamer);
  const authority = createRouteAuthority(economy.authority);
  const failover = withController
    ? createFailover(runtime, {
        ...{ authority, automatic: true, onReleased: () => streamer.nudge(), onStatement: economy.onStatement },
        ...(rest ? { rest } : {}),
      })
    : null;
  economy.attach({ streamer, streams: true, controller: failover?.controller ?? null });
  const view = () => economy.view();
  economyMetrics(metrics.registry, view);
  const system = new SystemSource({
    name: config.stream.name,
    settings: systemSettings(config),
    controller: failover?.controller ?? null,
    routers: () => authority.routers().length,
    stream: streamer,
    control: config.http.controlToken !== null,
    economy: view,
    redact: runtime.redact,
  });
  const routes: RouteModule[] = [
    dashboardRoutes(),
    systemRoutes(system),
    economyRoutes(view),
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
      activityRoutes(rest ?? ALWAYS_AWAKE, systemClock.monotonic),
      dbHealthRoutes({
        controller,
        stream: streamer,
        lastSync: () => streamer.snapshot().lastSync ?? null,
        economy: view,
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
    const found = await runPreflight(config);
    assertPreflight(found.filter((result) => !result.transient));
    for (const { detail, ok, remedy, title, transient } of found)
      if (transient && !ok) logger.warn({ detail, remedy }, `Not ready yet: ${title}: ${detail}`);
    const controlling = Promise.all([
      failover?.controller.run(either),
      economy.run(either),
      rest && !failover ? followActivity(runtime, rest, either) : null,
    ]);
    try {
      await streamer.run(signal);
    } finally {
      over.abort(signal.reason ?? new Error('the streamer has ended'));
      await controlling;
    }
  } finally {
    system[Symbol.dispose]();
    economy.close();
    await http.close();
    await failover?.close();
    logger.info({ reason: String(signal.reason ?? 'error') }, 'Stopped');
  }
}

/** A streamer by itself hears from the controller whether the primary is used; where it knows none, it stays attached. */
async function followActivity({ config, logger }: Runtime, rest: Rest, signal: AbortSignal): Promise<void> {
  if (config.controllerUrl === null) {
    logger.warn(
      'DB_IDLE_DETACH_MS needs DB_CONTROLLER_URL in a streamer without a controller; the slot stays attached',
    );
    rest.addObjection(() => 'nobody says whether the primary is used');
    return;
  }
  const { http, controllerUrl: url } = config;
  await followController({ url, token: http.controlToken, rest, clock: systemClock, log: logger }, signal);
}
