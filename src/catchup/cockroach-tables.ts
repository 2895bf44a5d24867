/** The followed tables as they were at a time: what a changefeed's rows are read by. */
import pg, { type Client, type ClientConfig } from 'pg';
import { readTargetTable } from '../apply/target-table.js';
import { displayName, quoteLiteral, type TableName } from '../core/ident.js';
import { RAW_TEXT_TYPES } from '../core/raw-types.js';
import { SchemaChangedError } from './catchup-errors.js';
import { type ValueForm, valueForm } from './value-text.js';

export interface TableShape {
  /** Key columns in key order: what the elements of a changefeed's key are. */
  readonly key: readonly string[];
  /** Columns in their order, without a hidden row id. */
  readonly columns: readonly string[];
  readonly forms: ReadonlyMap<string, ValueForm>;
}

/** A short-lived connection that hands over raw text. */
async function withCockroach<T>(connection: ClientConfig, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({
    keepAlive: true,
    connectionTimeoutMillis: 10_000,
    query_timeout: 30_000,
    ...connection,
    types: RAW_TEXT_TYPES,
  } as ClientConfig);
  // The statement's own rejection is what the caller sees.
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await work(client);
  } finally {
    void client.end().catch(() => undefined);
  }
}

/** The cluster's logical time as decimal text: everything committed before the call is before it. */
export async function readHlc(connection: ClientConfig): Promise<string> {
  return withCockroach(connection, async (client) => {
    const { rows } = await client.query<{ at: string }>('SELECT cluster_logical_timestamp()::text AS at');
    return rows[0]?.at ?? '';
  });
}

/**
 * The tables' shapes at a time (decimal HLC), in the order of `tables`. Rejects with a SchemaChangedError when one did
 * not exist, and with the server's error when its catalog does not go back that far.
 */
export async function readShapes(
  connection: ClientConfig,
  tables: readonly TableName[],
  at: string,
): Promise<TableShape[]> {
  return withCockroach(connection, async (client) => {
    await client.query('BEGIN');
    await client.query(`SET TRANSACTION AS OF SYSTEM TIME ${quoteLiteral(at)}`);
    const shapes: TableShape[] = [];
    for (const table of tables) shapes.push(await readShape(client, table, at));
    await client.query('ROLLBACK');
    return shapes;
  });
}

async function readShape(client: Client, name: TableName, at: string): Promise<TableShape> {
  const table = await readTargetTable(client, name, { hiddenKey: 'rowid', jsonbArrays: false });
  if (!table) throw new SchemaChangedError(`Table ${displayName(name)} is not on the secondary at position ${at}.`);
  const forms = new Map(table.columns.map((column) => [column.name, valueForm(column.typeName)] as const));
  const key = table.primaryKey ?? [table.rowId.replace(/^"(.*)"$/s, '$1')];
  return { key, columns: table.columns.map((column) => column.name), forms };
}
