import { ConfigurationError } from '../core/errors.js';
import { clientConfig } from './client-config.js';
import type { Config } from './config.js';
import { contradictions, type Mistake } from './contradictions.js';
import type { Environment } from './env-file.js';
import { environmentSchema, exampleOf, type Values, type Variable } from './schema.js';
import { warningsOf } from './warnings.js';

/** Carries the mistakes one by one; the message lists them all. */
export class InvalidConfiguration extends ConfigurationError {
  readonly mistakes: readonly Mistake[];

  constructor(mistakes: readonly Mistake[]) {
    const count = mistakes.length === 1 ? 'one mistake' : `${mistakes.length} mistakes`;
    const lines = mistakes.map(({ variable, problem, example }) => `  ${variable} ${problem}. Example: ${example}`);
    super([`The configuration has ${count}:`, ...lines].join('\n'), {
      code: 'configuration-invalid',
      remedy: 'Correct the variables named above in the environment or in the file given with --env-file.',
    });
    this.mistakes = mistakes;
  }
}

/**
 * Checks the environment and gives the configuration. Throws an InvalidConfiguration (exit code 2) that names every
 * mistake, contradictions between variables included. A variable that is empty or blank counts as not set.
 */
export function loadConfig(env: Environment): Config {
  const { values, mistakes } = parse(env);
  const found = [...mistakes, ...contradictions(values), ...unreadableFiles(values)];
  if (found.length > 0) throw new InvalidConfiguration(found);
  // Every variable was parsed without a mistake, so no required one is absent.
  return toConfig(values as Values, env);
}

/** Each variable by itself: a mistake in one must not hide the mistakes and contradictions of the others. */
function parse(env: Environment): { values: Partial<Values>; mistakes: Mistake[] } {
  const values: Record<string, unknown> = {};
  const mistakes: Mistake[] = [];
  for (const [name, schema] of Object.entries(environmentSchema.shape)) {
    const result = schema.safeParse(env[name]?.trim() || undefined);
    if (result.success) {
      values[name] = result.data;
      continue;
    }
    const variable = name as Variable;
    for (const issue of result.error.issues) {
      mistakes.push({ variable, problem: issue.message, example: exampleOf(variable) });
    }
  }
  return { values, mistakes };
}

function unreadableFiles(values: Partial<Values>): Mistake[] {
  const variables = ['DATABASE_URL', 'DATABASE_URL_SECONDARY'] as const;
  return variables.flatMap((variable) => {
    const url = values[variable];
    if (!url) return [];
    try {
      clientConfig(url);
      return [];
    } catch (error) {
      if (!(error instanceof ConfigurationError)) throw error;
      const problem = `is not usable: ${error.message.replace(/\.$/, '')}`;
      return [{ variable, problem, example: 'sslrootcert=/etc/ssl/certs/ca.pem' }];
    }
  });
}

function toConfig(values: Values, env: Environment): Config {
  const stream = values.DB_STREAM_NAME;
  return {
    primary: values.DATABASE_URL,
    secondary: values.DATABASE_URL_SECONDARY,
    tables: values.DB_SYNC_TABLES,
    sync: { intervalMs: values.DB_SYNC_INTERVAL_MS },
    health: {
      intervalMs: values.DB_HEALTH_CHECK_INTERVAL_MS,
      // The documented default of 30 s never exceeds a shorter interval that somebody set.
      suspectIntervalMs: values.DB_HEALTH_SUSPECT_INTERVAL_MS ?? Math.min(30_000, values.DB_HEALTH_CHECK_INTERVAL_MS),
      timeoutMs: values.DB_HEALTH_TIMEOUT_MS,
    },
    failover: {
      auto: values.DB_AUTO_FAILOVER,
      threshold: values.DB_FAILOVER_THRESHOLD,
      maxLagMs: values.DB_FAILOVER_MAX_LAG_MS,
      cooldownMs: values.DB_COOLDOWN_MS,
    },
    failback: {
      auto: values.DB_AUTO_FAILBACK,
      threshold: values.DB_FAILBACK_THRESHOLD,
      drainTimeoutMs: values.DB_FAILBACK_DRAIN_TIMEOUT_MS,
    },
    stream: {
      name: stream,
      slot: values.DB_REPLICATION_SLOT ?? stream,
      publication: values.DB_PUBLICATION ?? stream,
    },
    apply: {
      maxRows: values.DB_APPLY_MAX_ROWS,
      onError: values.DB_APPLY_ON_ERROR,
      largeTx: values.DB_APPLY_LARGE_TX,
    },
    verify: { intervalMs: values.DB_VERIFY_INTERVAL_MS },
    economy: { idleDetachMs: values.DB_IDLE_DETACH_MS, maxDetachMs: values.DB_MAX_DETACH_MS },
    http: {
      host: values.DB_HTTP_HOST,
      port: values.DB_HTTP_PORT,
      controlToken: values.DB_CONTROL_TOKEN ?? null,
    },
    controllerUrl: values.DB_CONTROLLER_URL ?? null,
    alertWebhookUrl: values.DB_ALERT_WEBHOOK_URL ?? null,
    neonApiKey: values.NEON_API_KEY ?? null,
    neon: neonOf(values),
    budget: {
      requestUnits: values.DB_MONTHLY_RU_BUDGET,
      computeHours: values.DB_MONTHLY_COMPUTE_HOURS,
      hard: values.DB_BUDGET_HARD,
    },
    stateDir: values.DB_STATE_DIR,
    logLevel: values.LOG_LEVEL,
    warnings: warningsOf(values, env),
  };
}

/** All three or none; a warning names what is missing. */
function neonOf(values: Values): Config['neon'] {
  const {
    NEON_API_KEY: apiKey,
    NEON_API_URL: apiUrl,
    NEON_ENDPOINT_ID: endpointId,
    NEON_PROJECT_ID: projectId,
  } = values;
  return apiKey && endpointId && projectId ? { apiUrl, projectId, endpointId } : null;
}
