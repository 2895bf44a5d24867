/** The parts of a demo that must be taken down again, from the two servers to the last connection. */
import pg from 'pg';
import { Background } from './background.js';
import { EmbeddedServer } from './embedded.js';

/** Durability against power loss is of no use to databases that live for a minute. */
const THROW_AWAY = { fsync: 'off', full_page_writes: 'off' };
const TASKS_TIMEOUT_MS = 3000;

interface Closable {
  close(): Promise<void>;
}

export class DemoParts {
  readonly background: Background;
  readonly #closers: Array<() => Promise<unknown>> = [];

  constructor(signal: AbortSignal) {
    this.background = new Background(signal);
  }

  /** @returns the connection strings of two new servers. */
  async startServers(): Promise<[primary: string, secondary: string]> {
    const starting = ['demo-primary', 'demo-standby'].map((name) =>
      EmbeddedServer.start({ name, settings: THROW_AWAY }),
    );
    // Also one that has not finished starting when the demo is interrupted.
    this.#closers.push(() => Promise.allSettled(starting.map((start) => start.then((server) => server.close()))));
    const [primary, secondary] = await this.background.wait(Promise.all(starting));
    return Promise.all([primary?.createDatabase('waybank') ?? '', secondary?.createDatabase('waybank') ?? '']);
  }

  async connect(connectionString: string): Promise<pg.Client> {
    const client = new pg.Client({ connectionString, application_name: 'db-redundancy demo' });
    client.on('error', () => undefined);
    this.#closers.push(() => client.end());
    await this.background.wait(client.connect());
    return client;
  }

  /** Waits for `opening`, and closes it at the end. */
  async open<T extends Closable>(opening: Promise<T>): Promise<T> {
    const part = await this.background.wait(opening);
    this.#closers.push(() => part.close());
    return part;
  }

  /** Ends the tasks, then closes everything in the reverse order of its opening. Never rejects. */
  async close(): Promise<void> {
    await this.background.close(TASKS_TIMEOUT_MS);
    for (const close of this.#closers.reverse()) await close().catch(() => undefined);
  }
}
