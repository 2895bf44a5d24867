import { isLoopback } from './database-url.js';
import type { Environment } from './env-file.js';
import { environmentSchema, type Values } from './schema.js';

const FIVE_MINUTES_MS = 300_000;

/** What is valid but probably not meant: TLS that does not protect, parameters without effect, misspelt names. */
export function warningsOf(values: Values, env: Environment): string[] {
  const warnings: string[] = [];
  for (const variable of ['DATABASE_URL', 'DATABASE_URL_SECONDARY'] as const) {
    const url = values[variable];
    if (!isLoopback(url.host) && url.tls === 'disable') {
      warnings.push(`${variable} connects to ${url.host} without TLS; add sslmode=verify-full.`);
    }
    if (!isLoopback(url.host) && url.tls === 'no-verify') {
      warnings.push(`${variable} does not check who ${url.host} is; use sslmode=verify-full.`);
    }
    if (url.ignored.length > 0) {
      warnings.push(`${variable} has parameters that have no effect here: ${url.ignored.join(', ')}.`);
    }
  }
  if (!isLoopback(values.DB_HTTP_HOST) && values.DB_CONTROL_TOKEN === undefined) {
    warnings.push(
      'DB_HTTP_HOST opens the HTTP surface to others, but DB_CONTROL_TOKEN is not set: control verbs are refused.',
    );
  }
  if (values.NEON_API_KEY !== undefined && !(values.NEON_PROJECT_ID && values.NEON_ENDPOINT_ID)) {
    warnings.push(
      "NEON_API_KEY has no effect without NEON_PROJECT_ID and NEON_ENDPOINT_ID: Neon's API is not asked about the primary.",
    );
  }
  if (values.DB_IDLE_DETACH_MS > FIVE_MINUTES_MS) {
    warnings.push(
      `DB_IDLE_DETACH_MS keeps the primary awake for ${Math.round(values.DB_IDLE_DETACH_MS / 60_000)} minutes after each use, and Neon for another five; 60000 is enough for most.`,
    );
  }
  return [...warnings, ...misspelt(env)];
}

/** Variables called DB_... that are one or two letters from a known one. Others may belong to the application. */
function misspelt(env: Environment): string[] {
  const known = Object.keys(environmentSchema.shape);
  return Object.keys(env)
    .filter((name) => name.startsWith('DB_') && !known.includes(name))
    .flatMap((name) => {
      const meant = known.find((each) => each.startsWith('DB_') && distance(name, each) <= 2);
      return meant ? [`${name} is not a variable of db-redundancy; ${meant} is.`] : [];
    });
}

/** Levenshtein's distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, left] of Array.from(a).entries()) {
    const next = [i + 1];
    for (const [j, right] of Array.from(b).entries()) {
      next.push(Math.min(next[j]! + 1, row[j + 1]! + 1, row[j]! + (left === right ? 0 : 1)));
    }
    row = next;
  }
  return row.at(-1)!;
}
