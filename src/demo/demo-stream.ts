/** The real streamer, failover controller and HTTP surface, in this process, between the demo's two servers. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { createRouteAuthority } from '../authority/authority.js';
import { DEFAULT_TABLES } from '../config/tables.js';
import { systemClock } from '../core/clock.js';
import { createRedactor } from '../core/redact.js';
import type { Controller } from '../failover/controller.js';
import { createController } from '../failover/create.js';
import { controlRoutes, listRoutes } from '../http/control.js';
import { dashboardRoutes } from '../http/dashboard.js';
import { dbHealthRoutes } from '../http/db-health.js';
import { createMetrics } from '../http/metrics.js';
import { tablesRoutes } from '../http/reconcile.js';
import { routeRoutes } from '../http/route.js';
import { type HttpServer, startHttpServer } from '../http/server.js';
import { systemRoutes } from '../http/system-events.js';
import { SystemSource } from '../http/system-source.js';
import { createLogger } from '../log/logger.js';
import { DatabaseRecovery } from '../recovery/database-recovery.js';
import { SchemaBridge } from '../streamer/schema-bridge.js';
import { Streamer } from '../streamer/streamer.js';

export interface DemoStream {
  readonly streamer: Streamer;
  readonly controller: Controller;
  readonly http: HttpServer;
  /** `http://127.0.0.1:PORT` */
  readonly origin: string;
  /** After the tasks have ended. */
  close(): Promise<void>;
}

const STREAM = 'db_redundancy';
/** A person is watching: everything that waits for a probe is quicker than by default. */
const HEALTH = { intervalMs: 1000, suspectIntervalMs: 1000, timeoutMs: 5000 };
const THRESHOLDS = { failover: 5, failback: 2 };

/** @param message gets the log's warnings and errors, line by line */
export async function createDemoStream(
  primary: string,
  secondary: string,
  message: (line: string) => void,
): Promise<DemoStream> {
  const redact = createRedactor([]);
  const logger = createLogger({ level: 'error', redact, destination: lineSink(message), pretty: true });
  const sides = { primary: { connectionString: primary }, secondary: { connectionString: secondary } };
  const streamer = new Streamer({
    ...sides,
    tables: DEFAULT_TABLES,
    settings: {
      stream: STREAM,
      slot: STREAM,
      publication: STREAM,
      maxRows: 5000,
      onError: 'pause-table',
      largeTransactions: 'atomic',
      loadConcurrency: 3,
    },
    clock: systemClock,
    log: logger,
    schema: (parts) => new SchemaBridge({ ...parts, stream: STREAM, clock: systemClock, log: logger }),
  });
  const stateDir = await mkdtemp(join(tmpdir(), 'db-redundancy-demo-'));
  const authority = createRouteAuthority();
  const settings = { autoFailover: true, autoFailback: false, cooldownMs: 0 };
  const catchUp = `${STREAM}_catchup`;
  const built = createController({
    ...sides,
    stream: STREAM,
    timeoutMs: HEALTH.timeoutMs,
    settings: {
      ...settings,
      health: HEALTH,
      thresholds: THRESHOLDS,
      maxLagMs: 300_000,
      readyLagMs: 15_000,
      graceMs: 2000,
    },
    drainTimeoutMs: 30_000,
    stateDir,
    webhookUrl: null,
    authority,
    createRecovery: () =>
      new DatabaseRecovery({
        ...sides,
        stream: STREAM,
        slot: STREAM,
        publication: STREAM,
        catchUpSlot: catchUp,
        catchUpPublication: catchUp,
        clock: systemClock,
        log: logger,
      }),
    clock: systemClock,
    log: logger,
    onReleased: () => streamer.nudge(),
  });
  const { controller } = built;
  const system = new SystemSource({
    name: STREAM,
    settings: {
      ...settings,
      checkIntervalMs: HEALTH.intervalMs,
      failoverThreshold: THRESHOLDS.failover,
      failbackThreshold: THRESHOLDS.failback,
    },
    controller,
    routers: () => authority.routers().length,
    stream: streamer,
    control: false,
    redact,
  });
  const host = '127.0.0.1';
  const http = await startHttpServer({
    host,
    port: 0,
    status: streamer,
    metrics: createMetrics(streamer),
    logger,
    routes: [
      dashboardRoutes(),
      systemRoutes(system),
      tablesRoutes(async () => streamer.snapshot()),
      routeRoutes(authority),
      dbHealthRoutes({ controller, stream: streamer }),
      controlRoutes(controller),
      listRoutes(controller),
    ],
  });
  const close = async () => {
    system[Symbol.dispose]();
    await http.close();
    await built.close();
    await rm(stateDir, { recursive: true, force: true });
  };
  return { streamer, controller, http, origin: `http://${host}:${http.port}`, close };
}

function lineSink(message: (line: string) => void): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      for (const line of chunk.toString('utf8').split('\n')) if (line.trim() !== '') message(line);
      done();
    },
  });
}
