/** A database of the benchmark: connections that are closed with it, and what is asked of them. */
import pg, { type ClientConfig } from 'pg';
import { clientConfig } from '../config/client-config.js';
import { parseDatabaseUrl } from '../config/database-url.js';

export class BenchDatabase {
  readonly url: string;
  readonly isCockroach: boolean;
  /** As the server names itself, up to the first comma or bracket. */
  readonly version: string;
  readonly client: pg.Client;
  readonly #open: Set<pg.Client>;

  private constructor(url: string, client: pg.Client, version: string) {
    this.url = url;
    this.client = client;
    this.version = version.split(/[,(]/, 1)[0]?.trim() ?? version;
    this.isCockroach = version.startsWith('CockroachDB');
    this.#open = new Set([client]);
  }

  static async open(url: string): Promise<BenchDatabase> {
    const client = await connect(url);
    const { rows } = await client.query<{ version: string }>('SELECT version()');
    return new BenchDatabase(url, client, rows[0]?.version ?? '');
  }

  /** Another connection, for what runs at the same time. */
  async connect(): Promise<pg.Client> {
    const client = await connect(this.url);
    this.#open.add(client);
    return client;
  }

  async run(sql: string): Promise<void> {
    await this.client.query(sql);
  }

  /** The first column of the first row, as text; null when there is none. */
  async value(sql: string, parameters: readonly unknown[] = []): Promise<string | null> {
    const { rows } = await this.client.query<unknown[]>({ text: sql, values: [...parameters], rowMode: 'array' });
    const value = rows[0]?.[0];
    return value === null || value === undefined ? null : String(value);
  }

  /** Whatever is running in any of the connections ends with an error: a cleaning-up must not wait behind it. */
  async interrupt(): Promise<void> {
    if (this.isCockroach) return;
    const pids = [...this.#open].map((client) => (client as unknown as { processID: number | null }).processID);
    const other = await connect(this.url);
    try {
      for (const pid of pids) if (pid !== null) await other.query('SELECT pg_cancel_backend($1)', [pid]);
    } finally {
      await other.end();
    }
  }

  /** Ends the other connections, with the locks that they hold. */
  async release(): Promise<void> {
    const others = [...this.#open].filter((client) => client !== this.client);
    for (const client of others) this.#open.delete(client);
    await Promise.all(others.map((client) => client.end().catch(() => undefined)));
  }

  async close(): Promise<void> {
    await this.release();
    await this.client.end().catch(() => undefined);
  }
}

export async function connect(url: string): Promise<pg.Client> {
  const extra: ClientConfig = { application_name: 'db-redundancy bench', keepAlive: true };
  const client = new pg.Client(clientConfig(parseDatabaseUrl(url), extra));
  // What is asked of a lost connection is rejected as well.
  client.on('error', () => undefined);
  await client.connect();
  return client;
}
