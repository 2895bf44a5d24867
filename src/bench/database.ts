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

  async close(): Promise<void> {
    await Promise.all([...this.#open].map((client) => client.end().catch(() => undefined)));
    this.#open.clear();
  }
}

async function connect(url: string): Promise<pg.Client> {
  const extra: ClientConfig = { application_name: 'db-redundancy bench', keepAlive: true };
  const client = new pg.Client(clientConfig(parseDatabaseUrl(url), extra));
  // What is asked of a lost connection is rejected as well.
  client.on('error', () => undefined);
  await client.connect();
  return client;
}
