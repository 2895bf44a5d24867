/** Statements on a connection of their own, and whole tables for comparison. */
import { Client, type QueryResultRow } from 'pg';
import { quoteTable, type TableName } from '../../src/core/ident.js';
import { canonicalValue } from './canonical.js';

/** One row by column name; the text that the server sent, null for NULL. */
export type DumpedRow = Record<string, string | null>;

export async function withClient<T>(url: string, use: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url });
  // A server that a test kills reports it here as well; the statement's own rejection is what the test sees.
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

/** @returns the rows; of several statements in one text, those of the last. */
export async function query<R extends QueryResultRow = Record<string, unknown>>(
  url: string,
  sql: string,
  params?: readonly unknown[],
): Promise<R[]> {
  return withClient(url, async (client) => {
    const result: unknown = await client.query<R>(sql, params === undefined ? undefined : [...params]);
    const last = Array.isArray(result) ? result.at(-1) : result;
    return (last as { rows: R[] }).rows;
  });
}

/**
 * All rows, each value as the text that the server sends for it: equal dumps are equal by value, whatever the order of
 * columns. Rows come sorted by their text, or in the order that `orderBy` (SQL) gives.
 *
 * @param table `name`, `schema.name`, or the two apart when a name has a dot.
 */
export function dumpTable(url: string, table: string | TableName, orderBy?: string): Promise<DumpedRow[]> {
  return dump(url, table, orderBy, (text) => text);
}

/** The same in a form that PostgreSQL and CockroachDB share: see canonical.ts. */
export function canonicalDump(url: string, table: string | TableName, orderBy?: string): Promise<DumpedRow[]> {
  return dump(url, table, orderBy, canonicalValue);
}

async function dump(
  url: string,
  table: string | TableName,
  orderBy: string | undefined,
  convert: (text: string, typeOid: number) => string,
): Promise<DumpedRow[]> {
  const { fields, rows } = await withClient(url, async (client) => {
    // CockroachDB prints all digits of a float8 with 3 only.
    await client.query("SET TimeZone = 'UTC'; SET DateStyle = 'ISO, MDY'; SET extra_float_digits = 3");
    await client.query("SET bytea_output = 'hex'; SET IntervalStyle = 'postgres'");
    const order = orderBy === undefined ? '' : ` ORDER BY ${orderBy}`;
    return client.query<Array<string | null>>({
      text: `SELECT * FROM ${qualified(table)}${order}`,
      rowMode: 'array',
      types: { getTypeParser: () => (text: unknown) => text },
    });
  });
  // By name, so that JSON.stringify sorts alike rows whose tables order their columns differently.
  const columns = fields.map((field, index) => ({ name: field.name, oid: field.dataTypeID, index }));
  columns.sort((a, b) => (a.name < b.name ? -1 : 1));
  const dumped = rows.map((row) =>
    Object.fromEntries(
      columns.map(({ name, oid, index }) => {
        const text = row[index] ?? null;
        return [name, text === null ? null : convert(text, oid)];
      }),
    ),
  );
  if (orderBy !== undefined) return dumped;
  const keyed = dumped.map((row) => ({ key: JSON.stringify(row), row }));
  return keyed.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)).map(({ row }) => row);
}

function qualified(table: string | TableName): string {
  if (typeof table !== 'string') return quoteTable(table.schema, table.name);
  const [first = '', second] = table.split('.');
  return second === undefined ? quoteTable('public', first) : quoteTable(first, second);
}
