/** Compares tables of two PostgreSQL databases by value, while nothing writes: every column of every row counts. */
import type { ClientBase } from 'pg';
import { quoteIdent, quoteTable, type TableName } from '../core/ident.js';

export interface Fingerprint {
  readonly rows: number;
  /** Hash of all rows, whatever their order on the disk. */
  readonly hash: string;
}

export interface Comparison extends TableName {
  readonly primary: Fingerprint;
  readonly secondary: Fingerprint;
  readonly equal: boolean;
}

export async function compareTables(
  primary: ClientBase,
  secondary: ClientBase,
  tables: readonly TableName[],
): Promise<Comparison[]> {
  const results: Comparison[] = [];
  for (const table of tables) {
    const columns = await columnsOf(primary, table);
    const [left, right] = await Promise.all([primary, secondary].map((client) => fingerprint(client, table, columns)));
    if (!left || !right) continue;
    results.push({
      ...table,
      primary: left,
      secondary: right,
      equal: left.rows === right.rows && left.hash === right.hash,
    });
  }
  return results;
}

/** In the primary's order, so that it does not matter in which order the other side has them. */
async function columnsOf(client: ClientBase, { schema, name }: TableName): Promise<string[]> {
  const { rows } = await client.query<{ column_name: string }>(
    'SELECT column_name FROM information_schema.columns WHERE table_schema = $1 AND table_name = $2 ORDER BY ordinal_position',
    [schema, name],
  );
  return rows.map((row) => row.column_name);
}

/** Row by row first, so that no row's text is ever confused with a neighbour's; NULL and '' differ in a row's text. */
async function fingerprint(client: ClientBase, table: TableName, columns: readonly string[]): Promise<Fingerprint> {
  const row = `ROW(${columns.map(quoteIdent).join(', ')})::text`;
  const { rows } = await client.query<{ count: string; hash: string | null }>(
    `SELECT count(*) AS count, md5(string_agg(h, '' ORDER BY h)) AS hash
     FROM (SELECT md5(${row}) AS h FROM ${quoteTable(table.schema, table.name)}) hashed`,
  );
  return { rows: Number(rows[0]?.count), hash: rows[0]?.hash ?? '' };
}
