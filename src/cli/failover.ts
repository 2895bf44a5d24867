/** The failover controller of the configuration, with its recovery. */
import { clientConfig } from '../config/client-config.js';
import { systemClock } from '../core/clock.js';
import type { Order, OrderResult } from '../core/failover.js';
import type { RouteAuthority } from '../core/route.js';
import { type BuiltController, createController } from '../failover/create.js';
import { Database } from '../failover/database.js';
import type { ControllerRest } from '../failover/repose.js';
import { survey } from '../failover/survey.js';
import { DatabaseRecovery } from '../recovery/database-recovery.js';
import type { Runtime } from './runtime.js';

/**
 * Catch-up lag below which a failback may begin; the rest is drained while writes are held. A changefeed of CockroachDB is
 * some seconds behind by nature.
 */
const READY_LAG_MS = 15_000;
/** Open transactions of routers may finish for so long at a switchover or failback. */
const GRACE_MS = 2000;
const LONGEST_NAME = 63;

export interface FailoverOptions {
  readonly authority: RouteAuthority;
  /** False: only what a person orders. */
  readonly automatic: boolean;
  readonly onReleased?: () => void;
  /** Economy mode: whether the primary may be contacted. */
  readonly rest?: ControllerRest;
  /** Told of each statement that is sent to the secondary. */
  readonly onStatement?: (text: string) => void;
}

export function createFailover(runtime: Runtime, options: FailoverOptions): BuiltController {
  const { config, dying, logger } = runtime;
  const { name, publication, slot } = config.stream;
  const primary = clientConfig(config.primary);
  const secondary = clientConfig(config.secondary);
  const catchUp = `${slot}_catchup`.slice(0, LONGEST_NAME);
  return createController({
    stream: name,
    primary,
    secondary,
    timeoutMs: config.health.timeoutMs,
    settings: { ...judgementOf(runtime, options.automatic), health: config.health, graceMs: GRACE_MS },
    drainTimeoutMs: config.failback.drainTimeoutMs,
    stateDir: config.stateDir,
    webhookUrl: config.alertWebhookUrl,
    authority: options.authority,
    createRecovery: () =>
      new DatabaseRecovery({
        stream: name,
        slot,
        publication,
        catchUpSlot: catchUp,
        catchUpPublication: catchUp,
        primary,
        secondary,
        clock: systemClock,
        log: logger,
        at: async (point) => dying(point),
      }),
    clock: systemClock,
    log: logger,
    ...(options.onReleased ? { onReleased: options.onReleased } : {}),
    ...(options.rest ? { rest: options.rest } : {}),
    ...(options.onStatement ? { onStatement: options.onStatement } : {}),
    crash: dying,
  });
}

/** The guards of an order, read without a controller: nothing is changed. */
export async function surveyOf(runtime: Runtime, order: Order): Promise<OrderResult> {
  const { config } = runtime;
  const open = (side: 'primary' | 'secondary') =>
    new Database({ side, purpose: 'survey', clock: systemClock, config: clientConfig(config[side]) });
  const primary = open('primary');
  const secondary = open('secondary');
  try {
    const settings = judgementOf(runtime, false);
    const deadlineMs = config.health.timeoutMs;
    return await survey({ stream: config.stream.name, primary, secondary, settings, deadlineMs }, order);
  } finally {
    await Promise.all([primary.close(), secondary.close()]);
  }
}

function judgementOf({ config }: Runtime, automatic: boolean) {
  return {
    thresholds: { failover: config.failover.threshold, failback: config.failback.threshold },
    autoFailover: automatic && config.failover.auto,
    autoFailback: automatic && config.failback.auto,
    maxLagMs: config.failover.maxLagMs,
    readyLagMs: READY_LAG_MS,
    cooldownMs: config.failover.cooldownMs,
  };
}
