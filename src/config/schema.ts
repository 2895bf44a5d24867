import { z } from 'zod';
import { LONGEST_TIMER_MS } from '../core/clock.js';
import { Secret } from '../core/secret.js';
import { DatabaseUrlError, parseDatabaseUrl } from './database-url.js';
import { DEFAULT_TABLES, parseTableList } from './tables.js';

/**
 * Every environment variable (SPEC section 13): how its text is read, its default, and an example for the error
 * message. Messages complete the sentence "VARIABLE ..."; they show the value only where it cannot be a secret.
 */
const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

const HOUR_MS = 3_600_000;
/** Neon drops a slot that stands still for about 40 hours: the longest detachment stays clear of that. */
const LONGEST_DETACH_MS = 36 * HOUR_MS;

const shown = (value: string) => JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}...` : value);

function wholeNumber(unit: string, least: number, most: number) {
  const range = `must be a whole number of ${unit} from ${least} to ${most}`;
  return z.string().transform((text, context) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    context.addIssue(`${range}, got ${shown(text)}`);
    return z.NEVER;
  });
}

const milliseconds = (least: number, most = LONGEST_TIMER_MS) => wholeNumber('milliseconds', least, most);

const yesOrNo = z.string().transform((text, context) => {
  if (/^(true|1|yes|on)$/i.test(text)) return true;
  if (/^(false|0|no|off)$/i.test(text)) return false;
  context.addIssue(`must be true or false, got ${shown(text)}`);
  return z.NEVER;
});

function choice<const T extends readonly [string, ...string[]]>(values: T) {
  return z.enum(values, { error: (issue) => `must be one of ${values.join(', ')}, got ${shown(String(issue.input))}` });
}

function matching(pattern: RegExp, what: string) {
  return z.string().regex(pattern, { error: (issue) => `must be ${what}, got ${shown(String(issue.input))}` });
}

const databaseUrl = z.string({ error: 'is missing' }).transform((text, context) => {
  try {
    return parseDatabaseUrl(text);
  } catch (error) {
    if (!(error instanceof DatabaseUrlError)) throw error;
    context.addIssue(error.message);
    return z.NEVER;
  }
});

const tableList = z.string().transform((text, context) => {
  const result = parseTableList(text);
  if ('tables' in result) return result.tables;
  for (const mistake of result.mistakes) context.addIssue(mistake);
  return z.NEVER;
});

function isHttpUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
}

const httpUrl = z.string().refine(isHttpUrl, 'must be an http:// or https:// URL');
const secret = (shortest: number) =>
  z
    .string()
    .min(shortest, `must have at least ${shortest} characters`)
    .regex(/^[\x21-\x7e]*$/, 'must consist of printable ASCII characters without blanks')
    .transform((text) => new Secret(text));

/** As Neon gives them out: `ep-cool-name-123456`, `shiny-wind-028834`. */
const neonId = matching(/^[A-Za-z0-9-]{1,64}$/, 'an identifier of letters, digits and hyphens');
/** Below this the reports of routers, which come every three seconds, would come too late. */
const SHORTEST_IDLE_MS = 10_000;
const idleMilliseconds = z.string().transform((text, context) => {
  const value = Number(text);
  if (/^\d+$/.test(text) && (value === 0 || (value >= SHORTEST_IDLE_MS && value <= LONGEST_DETACH_MS))) return value;
  context.addIssue(
    `must be 0 (off) or a whole number of milliseconds from ${SHORTEST_IDLE_MS} to ${LONGEST_DETACH_MS}, got ${shown(text)}`,
  );
  return z.NEVER;
});

/** PostgreSQL allows no other characters in the name of a slot. */
const slotName = matching(/^[a-z0-9_]{1,63}$/, 'of lower-case letters, digits and underscores, at most 63');
const publicationName = z
  .string()
  .refine((text) => Buffer.byteLength(text) <= 63 && !text.includes('\0'), 'must have at most 63 bytes');

/** Where a name of the stream's objects is unset, it is the stream's name. */
export const environmentSchema = z.object({
  DATABASE_URL: databaseUrl.meta({
    example: 'postgresql://user:password@ep-name-123.region.azure.neon.tech/db?sslmode=verify-full',
  }),
  DATABASE_URL_SECONDARY: databaseUrl.meta({
    example: 'postgresql://user:password@name.cockroachlabs.cloud:26257/db?sslmode=verify-full',
  }),
  DB_SYNC_TABLES: tableList.default(DEFAULT_TABLES).meta({ example: 'users,invoices,billing.payments' }),
  DB_SYNC_INTERVAL_MS: milliseconds(1000).default(300_000).meta({ example: '300000' }),
  DB_HEALTH_CHECK_INTERVAL_MS: milliseconds(100).default(30_000).meta({ example: '30000' }),
  DB_HEALTH_SUSPECT_INTERVAL_MS: milliseconds(100).optional().meta({ example: '5000' }),
  DB_HEALTH_TIMEOUT_MS: milliseconds(50).default(5000).meta({ example: '5000' }),
  DB_FAILOVER_THRESHOLD: wholeNumber('failures', 1, 1000).default(3).meta({ example: '3' }),
  DB_FAILBACK_THRESHOLD: wholeNumber('successes', 1, 1000).default(5).meta({ example: '5' }),
  DB_FAILOVER_MAX_LAG_MS: milliseconds(0).default(300_000).meta({ example: '300000' }),
  DB_COOLDOWN_MS: milliseconds(0).default(600_000).meta({ example: '600000' }),
  DB_FAILBACK_DRAIN_TIMEOUT_MS: milliseconds(100).default(30_000).meta({ example: '30000' }),
  DB_AUTO_FAILOVER: yesOrNo.default(true).meta({ example: 'true' }),
  DB_AUTO_FAILBACK: yesOrNo.default(true).meta({ example: 'true' }),
  DB_STREAM_NAME: slotName.default('db_redundancy').meta({ example: 'db_redundancy' }),
  DB_REPLICATION_SLOT: slotName.optional().meta({ example: 'db_redundancy' }),
  DB_PUBLICATION: publicationName.optional().meta({ example: 'db_redundancy' }),
  DB_APPLY_MAX_ROWS: wholeNumber('rows', 1, 1_000_000).default(5000).meta({ example: '5000' }),
  DB_APPLY_ON_ERROR: choice(['pause-table', 'halt']).default('pause-table').meta({ example: 'pause-table' }),
  DB_APPLY_LARGE_TX: choice(['atomic', 'chunked']).default('atomic').meta({ example: 'atomic' }),
  DB_VERIFY_INTERVAL_MS: milliseconds(0)
    .default(24 * HOUR_MS)
    .meta({ example: '86400000' }),
  DB_IDLE_DETACH_MS: idleMilliseconds.default(0).meta({ example: '60000' }),
  DB_MAX_DETACH_MS: milliseconds(1000, LONGEST_DETACH_MS)
    .default(24 * HOUR_MS)
    .meta({ example: '86400000' }),
  DB_HTTP_HOST: matching(/^[A-Za-z0-9.:_-]+$/, 'a host name or an address')
    .default('127.0.0.1')
    .meta({ example: '127.0.0.1' }),
  DB_HTTP_PORT: wholeNumber('a port', 0, 65_535).default(8080).meta({ example: '8080' }),
  DB_CONTROL_TOKEN: secret(16).optional().meta({ example: '$(openssl rand -hex 32)' }),
  DB_CONTROLLER_URL: httpUrl.optional().meta({ example: 'http://controller:8080' }),
  DB_ALERT_WEBHOOK_URL: httpUrl
    .transform((text) => new Secret(text))
    .optional()
    .meta({ example: 'https://hooks.example.com/alerts' }),
  DB_STATE_DIR: z.string().default('./.db-redundancy').meta({ example: './.db-redundancy' }),
  LOG_LEVEL: choice(LOG_LEVELS).default('info').meta({ example: 'info' }),
  DB_MONTHLY_RU_BUDGET: wholeNumber('request units', 1, 1e12).default(50_000_000).meta({ example: '50000000' }),
  DB_MONTHLY_COMPUTE_HOURS: wholeNumber('compute-hours', 1, 1_000_000).default(100).meta({ example: '100' }),
  DB_BUDGET_HARD: yesOrNo.default(false).meta({ example: 'false' }),
  NEON_API_KEY: secret(1).optional().meta({ example: 'napi_...' }),
  NEON_PROJECT_ID: neonId.optional().meta({ example: 'shiny-wind-028834' }),
  NEON_ENDPOINT_ID: neonId.optional().meta({ example: 'ep-cool-name-123456' }),
  NEON_API_URL: httpUrl
    .default('https://console.neon.tech/api/v2')
    .meta({ example: 'https://console.neon.tech/api/v2' }),
});

export type Variable = keyof typeof environmentSchema.shape;
export type Values = z.output<typeof environmentSchema>;

export function exampleOf(variable: Variable): string {
  return `${variable}=${String(environmentSchema.shape[variable].meta()?.example ?? '')}`;
}
