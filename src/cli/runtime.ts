/** From the environment to running parts: what every command that needs the databases shares. */
import type { ClientConfig } from 'pg';
import { clientConfig } from '../config/client-config.js';
import { type Config, secretsOf } from '../config/config.js';
import { type Environment, mergeEnvironment, readEnvFile } from '../config/env-file.js';
import { loadConfig } from '../config/load.js';
import { systemClock } from '../core/clock.js';
import { onCrashPoint } from '../core/crash-points.js';
import { createRedactor, type Redactor } from '../core/redact.js';
import { createLogger, type Logger } from '../log/logger.js';
import { SchemaBridge } from '../streamer/schema-bridge.js';
import { Streamer } from '../streamer/streamer.js';
import type { StreamerOptions } from '../streamer/streamer-options.js';
import { type Dying, dying } from './dying.js';
import { markFor } from './marking.js';

/** What economy mode and budgets tell a streamer. */
interface StreamEconomy {
  readonly rest: StreamerOptions['rest'] | null;
  readonly onStatement: (text: string) => void;
  readonly breathMs: () => number;
  readonly pace: () => number;
}

export interface GlobalOptions {
  readonly envFile?: string;
  readonly verbose?: boolean;
}

export interface Runtime {
  readonly config: Config;
  readonly logger: Logger;
  readonly redact: Redactor;
  /** Hears of every named place that this process passes; does nothing in production. */
  readonly dying: Dying;
}

/** Throws InvalidConfiguration with every mistake at once. */
export function createRuntime(
  environment: Environment,
  options: GlobalOptions,
  logTo?: NodeJS.WritableStream,
): Runtime {
  const merged = options.envFile ? mergeEnvironment(readEnvFile(options.envFile), environment) : environment;
  const config = loadConfig(merged);
  const redact = createRedactor(secretsOf(config));
  const logger = createLogger({ level: config.logLevel, redact, ...(logTo ? { destination: logTo } : {}) });
  for (const warning of config.warnings) logger.warn(warning);
  const dyingAt = dying(merged);
  onCrashPoint(dyingAt);
  return { config, logger, redact, dying: dyingAt };
}

const LOAD_CONCURRENCY = 3;

/** @param scheduled sweeps and verifies of its own accord: for a process that stays */
export function createStreamer(
  { config, logger }: Runtime,
  { economy = null, scheduled = false }: { readonly scheduled?: boolean; readonly economy?: StreamEconomy | null } = {},
): Streamer {
  const primary: ClientConfig = clientConfig(config.primary);
  const secondary: ClientConfig = clientConfig(config.secondary);
  const { name, slot, publication } = config.stream;
  return new Streamer({
    primary,
    secondary,
    tables: config.tables,
    settings: {
      stream: name,
      slot,
      publication,
      maxRows: config.apply.maxRows,
      onError: config.apply.onError,
      largeTransactions: config.apply.largeTx,
      loadConcurrency: LOAD_CONCURRENCY,
    },
    clock: systemClock,
    log: logger,
    onRows: markFor(),
    ...(economy?.rest ? { rest: economy.rest } : {}),
    ...(economy ? { onStatement: economy.onStatement, breathMs: economy.breathMs } : {}),
    ...(scheduled
      ? {
          reconcile: {
            sweepIntervalMs: config.sync.intervalMs,
            verifyIntervalMs: config.verify.intervalMs,
            ...(economy ? { pace: economy.pace } : {}),
          },
        }
      : {}),
    schema: (parts) => new SchemaBridge({ ...parts, stream: name, clock: systemClock, log: logger }),
  });
}
