/**
 * The session in which a catalog is read: an empty search path, so that every name outside `pg_catalog` is printed
 * qualified, and fixed output settings for values kept in the catalog. The settings are local to a transaction, since
 * the connection may belong to a pool or sit behind one.
 */
import type pg from 'pg';

/** What a catalog is read through; a pool client or a client of its own. */
export type CatalogClient = pg.Client | pg.PoolClient;

const SETTINGS: Readonly<Record<string, string>> = {
  search_path: '',
  DateStyle: 'ISO, YMD',
  IntervalStyle: 'postgres',
  extra_float_digits: '1',
  bytea_output: 'hex',
  // Compiling these queries takes longer than running them.
  jit: 'off',
};

/**
 * Runs `read` with those settings. Outside a transaction it opens a read-only one; inside the caller's own it changes
 * the settings and puts them back, and leaves the transaction open.
 */
export async function withCatalogSession<T>(client: CatalogClient, read: () => Promise<T>): Promise<T> {
  if (client.getTransactionStatus() === 'T') return insideTransaction(client, read);
  await client.query('BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY');
  try {
    await applySettings(client, SETTINGS);
    const result = await read();
    await client.query('COMMIT');
    return result;
  } catch (error) {
    // A lost connection makes ROLLBACK fail too: the first error is the one to tell.
    await client.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

async function insideTransaction<T>(client: CatalogClient, read: () => Promise<T>): Promise<T> {
  const before: Record<string, string> = {};
  for (const name of Object.keys(SETTINGS)) {
    const row = (await rows<{ value: string }>(client, 'SELECT current_setting($1) AS value', [name]))[0];
    if (row) before[name] = row.value;
  }
  await applySettings(client, SETTINGS);
  const result = await read();
  await applySettings(client, before);
  return result;
}

async function applySettings(client: CatalogClient, settings: Readonly<Record<string, string>>): Promise<void> {
  const names = Object.keys(settings);
  await client.query('SELECT set_config(name, value, true) FROM unnest($1::text[], $2::text[]) AS s(name, value)', [
    names,
    names.map((name) => settings[name]),
  ]);
}

const NUMBERS = new Set([20, 21, 23, 26, 700, 701, 1700]);
const JSON_TYPES = new Set([114, 3802]);

/**
 * Own parsers: an application may have changed the driver's global ones. Numbers (also int8: sizes stay far below
 * 2^53), booleans, JSON; everything else stays text.
 */
const plainTypes = {
  getTypeParser(oid: number) {
    if (NUMBERS.has(oid)) return Number;
    if (JSON_TYPES.has(oid)) return JSON.parse;
    if (oid === 16) return (text: string) => text === 't';
    return (text: string) => text;
  },
};

export async function rows<R extends object>(
  client: CatalogClient,
  text: string,
  values: readonly unknown[] = [],
): Promise<R[]> {
  const result = await client.query<R & pg.QueryResultRow>({ text, values: [...values], types: plainTypes });
  return result.rows;
}
