import { Client, type PoolConfig } from 'pg';
import type { Route } from '../core/route.js';
import { parseRoute } from './controller-link.js';

const TEXT = `SELECT epoch::text AS epoch, active, phase, grace_ms::text AS grace_ms, state,
  (extract(epoch FROM since) * 1000)::int8::text AS since_ms
  FROM db_redundancy.control WHERE stream = $1`;

/** An application may have replaced pg's parsers; here every value stays the text that the server sent. */
const types = { getTypeParser: () => (text: unknown) => text };

/**
 * Reads the control row by a connection of its own, beside the pool: on the secondary as an authority, on the primary
 * as news. The connection is kept between two readings, since the secondary may be a continent away, and closed when
 * the controller speaks again.
 */
export class ControlRow {
  readonly #config: PoolConfig;
  readonly #stream: string;
  #client: Client | null = null;

  constructor(config: PoolConfig, stream: string) {
    const { Client: _own, ...rest } = config;
    this.#config = rest;
    this.#stream = stream;
  }

  /** @throws Error when it cannot be read in time, or there is no such row. */
  async read(timeoutMs: number): Promise<Route> {
    this.#client ??= this.#create();
    const client = this.#client;
    // One limit for connecting and reading together: the whole attempt has to be over well within a lease.
    const timer = setTimeout(() => client.connection.stream.destroy(), timeoutMs);
    timer.unref();
    try {
      if (client.getTransactionStatus() === null) {
        await client.connect();
        // Not declared in pg's types; the route alone is no reason for a program to go on.
        (client as Client & { unref(): void }).unref();
      }
      const query = { text: TEXT, values: [this.#stream], types };
      const { rows } = await client.query<Row>(query);
      const [row] = rows;
      const route = row && toRoute(row);
      if (!route) throw new Error(`There is no control row of stream ${this.#stream}.`);
      return route;
    } catch (error) {
      this.close();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  close(): void {
    const client = this.#client;
    this.#client = null;
    // A connection that hangs would wait for an orderly end; nothing is lost without it.
    client?.connection.stream.destroy();
  }

  #create(): Client {
    const client = new Client({ ...this.#config, application_name: 'db-redundancy-router' });
    client.on('error', () => {
      if (this.#client === client) this.#client = null;
    });
    return client;
  }
}

type Row = Readonly<Record<'epoch' | 'active' | 'phase' | 'grace_ms' | 'since_ms' | 'state', string>>;

function toRoute(row: Row): Route | null {
  const since = Number(row.since_ms);
  return parseRoute({
    epoch: Number(row.epoch),
    active: row.active,
    phase: row.phase,
    graceMs: Number(row.grace_ms),
    since: Number.isFinite(since) ? new Date(since).toISOString() : '',
    state: row.state,
  });
}
