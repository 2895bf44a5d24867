import { type DatabaseUrl, isLoopback } from './database-url.js';
import { exampleOf, type Values, type Variable } from './schema.js';

export interface Mistake {
  readonly variable: Variable;
  /** Completes the sentence "VARIABLE ...", without a full stop. */
  readonly problem: string;
  readonly example: string;
}

/** Variables that are right one by one but not together, and a host that cannot replicate. */
export function contradictions(values: Partial<Values>): Mistake[] {
  const mistakes: Mistake[] = [];
  const add = (variable: Variable, problem: string, example = exampleOf(variable)) =>
    mistakes.push({ variable, problem, example });
  const { DATABASE_URL: primary, DATABASE_URL_SECONDARY: secondary } = values;

  if (primary && isPooledNeonHost(primary.host)) {
    const problem = `names the pooled host ${primary.host}, through which replication is not possible; use the direct host ${directHost(primary.host)}`;
    add(
      'DATABASE_URL',
      problem,
      `DATABASE_URL=postgresql://user:password@${directHost(primary.host)}/db?sslmode=verify-full`,
    );
  }
  if (primary && secondary && sameDatabase(primary, secondary)) {
    add('DATABASE_URL_SECONDARY', `names the same database as DATABASE_URL (${secondary.display})`);
  }
  const interval = values.DB_HEALTH_CHECK_INTERVAL_MS;
  const suspect = values.DB_HEALTH_SUSPECT_INTERVAL_MS;
  const timeout = values.DB_HEALTH_TIMEOUT_MS;
  if (interval !== undefined && suspect !== undefined && suspect > interval) {
    const problem = `is ${suspect}, more than DB_HEALTH_CHECK_INTERVAL_MS (${interval}): probes would slow down after a failure`;
    add('DB_HEALTH_SUSPECT_INTERVAL_MS', problem, `DB_HEALTH_SUSPECT_INTERVAL_MS=${interval}`);
  }
  if (interval !== undefined && timeout !== undefined && timeout > interval) {
    const problem = `is ${timeout}, more than DB_HEALTH_CHECK_INTERVAL_MS (${interval}): probes would overlap`;
    add('DB_HEALTH_TIMEOUT_MS', problem, `DB_HEALTH_TIMEOUT_MS=${interval}`);
  }
  const { DB_IDLE_DETACH_MS: idle, DB_MAX_DETACH_MS: longest } = values;
  if (idle !== undefined && longest !== undefined && idle > 0 && idle >= longest) {
    const problem = `is ${idle}, not less than DB_MAX_DETACH_MS (${longest}): the primary would never be left alone`;
    add('DB_IDLE_DETACH_MS', problem);
  }
  return mistakes;
}

/** Neon's pooled host is `ep-name-123-pooler.region...`: PgBouncer, which speaks no replication protocol. */
export function isPooledNeonHost(host: string): boolean {
  return host.includes('-pooler.');
}

export function directHost(host: string): string {
  return host.replace('-pooler.', '.');
}

/** By address only; preflight asks the servers themselves, which also finds two names of one server. */
function sameDatabase(a: DatabaseUrl, b: DatabaseUrl): boolean {
  const place = (url: DatabaseUrl) => (isLoopback(url.host) ? 'loopback' : directHost(url.host.toLowerCase()));
  return place(a) === place(b) && a.port === b.port && a.database === b.database;
}
