/** One snapshot of the database that is exported: where it stands, what it holds, and its rows. */
import pg, { type ClientConfig } from 'pg';
import { dialectOf } from '../apply/dialect.js';
import type { Row } from '../core/change.js';
import { RedundancyError } from '../core/errors.js';
import { displayName, type TableName } from '../core/ident.js';
import { RAW_TEXT_TYPES } from '../core/raw-types.js';
import type { Dialect } from '../schema/capabilities.js';
import { wasRewritten } from '../source/rewritten.js';
import { TEXT_FORM_SQL } from '../source/session-settings.js';
import { streamRows } from './stream-rows.js';

export class ExportSource {
  readonly client: pg.Client;
  readonly dialect: Dialect;
  /** As `SELECT version()` says it. */
  readonly version: string;
  /** Of the snapshot: a WAL position, or CockroachDB's logical time. */
  readonly position: string;

  private constructor(client: pg.Client, version: string, position: string) {
    this.client = client;
    this.dialect = dialectOf(version).name;
    this.version = version;
    this.position = position;
  }

  static async open(config: ClientConfig): Promise<ExportSource> {
    const client = new pg.Client({ connectionTimeoutMillis: 10_000, ...config, types: RAW_TEXT_TYPES } as ClientConfig);
    // What was asked rejects as well; an error that nobody hears would end the process.
    client.on('error', () => undefined);
    await client.connect();
    try {
      const version = await single(client, 'SELECT version()');
      const position =
        dialectOf(version).name === 'cockroach' ? await beginCockroach(client) : await beginPostgres(client);
      return new ExportSource(client, version, position);
    } catch (error) {
      await client.end().catch(() => undefined);
      throw error;
    }
  }

  async value(text: string): Promise<string> {
    return single(this.client, text);
  }

  /**
   * The tables stay as they are until the end. One that was emptied or rewritten since the snapshot was taken would look
   * empty in it, and an export without its rows is no copy.
   */
  async hold(tables: readonly (TableName & { readonly oid: number })[]): Promise<void> {
    if (this.dialect === 'cockroach') return;
    for (const table of tables) {
      if (!(await wasRewritten(this.client, table))) continue;
      throw new RedundancyError(`${displayName(table)} was changed by TRUNCATE or ALTER TABLE as the export began.`, {
        code: 'table-rewritten',
        remedy: 'Run db:export again.',
      });
    }
  }

  rows(text: string): AsyncGenerator<Row[], void, void> {
    return streamRows(this.client, text);
  }

  async close(): Promise<void> {
    // A query that is still streaming would have to be read to its end first: the connection is cut instead.
    const { stream } = (this.client as unknown as { connection: { stream: { destroy(): void } } }).connection;
    stream.destroy();
    await this.client.end().catch(() => undefined);
  }
}

async function single(client: pg.Client, text: string): Promise<string> {
  const { rows } = await client.query<string[]>({ text, rowMode: 'array' });
  return rows[0]?.[0] ?? '';
}

/** Rows that a policy would hide are an error, not an export without them. */
async function beginPostgres(client: pg.Client): Promise<string> {
  await client.query(`${TEXT_FORM_SQL}; SET row_security = off; SET statement_timeout = 0; SET jit = off`);
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  // The first statement takes the snapshot.
  return single(
    client,
    'SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text',
  );
}

async function beginCockroach(client: pg.Client): Promise<string> {
  await client.query(dialectOf('CockroachDB').sessionSql);
  const now = await single(client, 'SELECT cluster_logical_timestamp()::STRING');
  await client.query(`BEGIN TRANSACTION AS OF SYSTEM TIME ${now}`);
  return now;
}
