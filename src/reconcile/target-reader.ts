/**
 * A connection to the secondary for one comparison: whole tables in one snapshot, in pages. Apart from the apply
 * pipeline's, whose statements must not wait behind a scan.
 */
import type { Socket } from 'node:net';
import pg, { type ClientConfig } from 'pg';
import { type Dialect, dialectOf } from '../apply/dialect.js';
import { RAW_TEXT_TYPES } from '../core/raw-types.js';

const CONNECT_TIMEOUT_MS = 10_000;

export class TargetReader {
  readonly client: pg.Client;
  readonly dialect: Dialect;

  private constructor(client: pg.Client, dialect: Dialect) {
    this.client = client;
    this.dialect = dialect;
  }

  static async connect(config: ClientConfig): Promise<TargetReader> {
    const client = new pg.Client({
      keepAlive: true,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      application_name: 'db-redundancy verify',
      ...config,
      types: RAW_TEXT_TYPES,
    } as ClientConfig);
    // An error that nobody hears ends the process; what was asked rejects as well.
    client.on('error', () => undefined);
    try {
      await client.connect();
      const { rows } = await client.query<{ version: string }>('SELECT version()');
      const dialect = dialectOf(rows[0]?.version ?? '');
      await client.query(dialect.sessionSql);
      return new TargetReader(client, dialect);
    } catch (error) {
      void client.end().catch(() => undefined);
      throw error;
    }
  }

  async beginSnapshot(): Promise<void> {
    await this.dialect.beginSnapshot(async (sql) => (await this.client.query<Record<string, string | null>>(sql)).rows);
  }

  /** Cuts the connection: whatever is asked of it rejects. */
  destroy(): void {
    destroyConnection(this.client);
  }

  async close(): Promise<void> {
    await this.client.end().catch(() => undefined);
  }
}

/** A long scan must not keep a process from leaving. */
export function destroyConnection(client: pg.ClientBase): void {
  (client as unknown as { connection: { stream: Socket } }).connection.stream.destroy();
}
