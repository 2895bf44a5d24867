import { randomBytes } from 'node:crypto';
import { parseDatabaseUrl } from '../../src/config/database-url.js';
import { parseTableList } from '../../src/config/tables.js';
import type { PreflightResult } from '../../src/preflight/result.js';
import type { DatabasePair } from './cluster.js';
import { query } from './sql.js';

export const STREAM = { name: 'preflight', slot: 'preflight_none', publication: 'preflight' };

export function tables(text: string) {
  const list = parseTableList(text);
  if ('mistakes' in list) throw new Error(list.mistakes.join(', '));
  return list.tables;
}

export const wanted = (primaryUrl: string, list: string, stream = STREAM) => ({
  primary: parseDatabaseUrl(primaryUrl),
  tables: tables(list),
  stream,
});
export const faults = (results: readonly PreflightResult[]) => results.filter((result) => !result.ok);
export const ids = (results: readonly PreflightResult[], severity: string) =>
  faults(results)
    .filter((each) => each.severity === severity)
    .map((each) => each.id);
export const found = (results: readonly PreflightResult[], id: string) => results.find((each) => each.id === id);

/** A login role of this test alone, dropped with everything it owns and was granted in the two databases. */
export async function createRole(pair: DatabasePair, side: 'primary' | 'secondary', attributes: string) {
  const { url, name: database } = pair[side];
  const name = `preflight_${randomBytes(5).toString('hex')}`;
  await query(url, `CREATE ROLE ${name} LOGIN PASSWORD 'p/w:${name}' ${attributes}`);
  const own = new URL(url);
  own.username = name;
  own.password = encodeURIComponent(`p/w:${name}`);
  return {
    name,
    database,
    url: own.href,
    [Symbol.asyncDispose]: () => query(url, `DROP OWNED BY ${name}; DROP ROLE ${name}`).then(() => undefined),
  };
}
