/** `controller`: the failover controller as a process of its own, with its HTTP surface; the stream runs elsewhere. */
import { createRouteAuthority } from '../../authority/authority.js';
import { systemClock } from '../../core/clock.js';
import { ALWAYS_AWAKE } from '../../core/economy.js';
import type { StatusSource, StreamSnapshot } from '../../core/status.js';
import type { Controller } from '../../failover/controller.js';
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
import { startHttpServer } from '../../http/server.js';
import { systemRoutes } from '../../http/system-events.js';
import { SystemSource } from '../../http/system-source.js';
import { secondaryIsActive } from '../../reconcile/active.js';
import { zeroCounters } from '../../streamer/counters.js';
import { Economy } from '../economy.js';
import { createFailover } from '../failover.js';
import { createStreamer, type Runtime } from '../runtime.js';
import { systemSettings } from '../system-settings.js';

export async function runController(runtime: Runtime, signal: AbortSignal): Promise<void> {
  const { config, logger } = runtime;
  const economy = new Economy(runtime);
  const { rest } = economy;
  const authority = createRouteAuthority(economy.authority);
  const failover = createFailover(runtime, {
    ...{ authority, automatic: true, onStatement: economy.onStatement },
    ...(rest ? { rest } : {}),
  });
  const { controller } = failover;
  const status = new ControllerStatus(config.stream.name, controller);
  const metrics = createMetrics(status);
  controllerMetrics(metrics.registry, () => controller.snapshot());
  // Never run: it reads what the leading streamer has stored.
  const streamer = createStreamer(runtime);
  economy.attach({ streamer, streams: false, controller });
  const view = () => economy.view();
  economyMetrics(metrics.registry, view);
  const snapshot = async () => {
    await streamer.refreshFromStore();
    return streamer.snapshot();
  };
  const lastSync = new Remembered(async () => (await snapshot()).lastSync ?? null);
  const system = new SystemSource({
    name: config.stream.name,
    settings: systemSettings(config),
    controller,
    routers: () => authority.routers().length,
    stream: null,
    storedTables: async () => (await snapshot()).tables,
    control: config.http.controlToken !== null,
    economy: view,
    redact: runtime.redact,
  });
  const http = await startHttpServer({
    host: config.http.host,
    port: config.http.port,
    status,
    metrics,
    logger,
    controlToken: config.http.controlToken,
    routes: [
      dashboardRoutes(),
      systemRoutes(system),
      economyRoutes(view),
      activityRoutes(rest ?? ALWAYS_AWAKE, systemClock.monotonic),
      routeRoutes(authority),
      dbHealthRoutes({
        controller,
        stream: null,
        lastSync: () => lastSync.value,
        economy: view,
        redact: runtime.redact,
      }),
      controlRoutes(controller),
      listRoutes(controller),
      tablesRoutes(snapshot),
      // Orders for the stream are left on the secondary, where its process looks for them within a minute.
      reconcileRoutes({
        tables: () => streamer.store.list(),
        secondaryIsActive: () => secondaryIsActive(streamer.link, config.stream.name),
        orderSync: async (table) => {
          await streamer.store.orderResync(table, { goOn: true });
          rest?.stir('order');
        },
        orderVerify: async (table, order) => {
          await streamer.store.orderVerify(table, order);
          rest?.stir('order');
        },
        ordered: (verb, tables, reason) =>
          logger.info({ verb, tables, reason }, `A ${verb} of ${tables.length} tables was ordered over HTTP`),
      }),
    ],
  });
  try {
    await Promise.all([controller.run(signal), economy.run(signal)]);
  } finally {
    system[Symbol.dispose]();
    economy.close();
    await http.close();
    await failover.close();
    await Promise.all([streamer.link.close(), streamer.source.close()]);
    logger.info({ reason: String(signal.reason ?? 'error') }, 'Stopped');
  }
}

const REMEMBERED_MS = 30_000;

/** The last answer of a question to the secondary, which may be away: whoever reads it never waits. */
class Remembered<T> {
  readonly #ask: () => Promise<T>;
  #value: T | null = null;
  #askedMs = Number.NEGATIVE_INFINITY;
  #asking = false;

  constructor(ask: () => Promise<T>) {
    this.#ask = ask;
  }

  /** Null before the first answer. */
  get value(): T | null {
    const now = systemClock.monotonic();
    if (!this.#asking && now - this.#askedMs >= REMEMBERED_MS) {
      this.#asking = true;
      this.#askedMs = now;
      void this.#ask()
        .then((value) => {
          this.#value = value;
        })
        // What was known stays.
        .catch(() => undefined)
        .finally(() => {
          this.#asking = false;
        });
    }
    return this.#value;
  }
}

/** A process without a stream: ready while it leads, or watches another that does. */
class ControllerStatus implements StatusSource {
  readonly #stream: string;
  readonly #controller: Controller;

  constructor(stream: string, controller: Controller) {
    this.#stream = stream;
    this.#controller = controller;
  }

  snapshot(): StreamSnapshot {
    return {
      stream: this.#stream,
      status: 'standby',
      detail: 'This process is a controller; the stream runs elsewhere.',
      epoch: null,
      lagSeconds: 0,
      lagBytes: 0,
      sourceLsn: null,
      receivedLsn: null,
      appliedLsn: null,
      lastAppliedCommitAt: null,
      slot: null,
      tables: [],
      deadLetters: 0,
      dropped: 0,
      counters: zeroCounters(),
    };
  }

  ready(): { ready: boolean; reason: string } {
    const { epoch, leads, secondary, state } = this.#controller.snapshot();
    if (epoch === 0) return { ready: false, reason: secondary.error ?? 'The control row was not read yet' };
    return { ready: true, reason: leads ? state : `Another controller leads (${state})` };
  }
}
