/**
 * A server that shuts down in an orderly way lets its walsenders wait until their readers have confirmed all that was
 * sent, and a reader that keeps answering without confirming is waited for without end. Where the confirmation cannot
 * come (the other database is away, or is this very server), the reader has to let go. The replication connection does
 * not tell a shutdown from any other question; a new connection is refused with 57P03.
 */
import pg, { type ClientConfig } from 'pg';
import { sqlstateOf } from '../core/policy.js';

const CANNOT_CONNECT_NOW = '57P03';
const DISTANCE_MS = 1000;
const CONNECT_MS = 5000;

export class ShutdownWatch {
  readonly #connection: ClientConfig;
  readonly #onShutdown: (error: unknown) => void;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #asking = false;

  /** @param onShutdown told once for each time that the server was found shutting down */
  constructor(connection: ClientConfig, onShutdown: (error: unknown) => void) {
    this.#connection = connection;
    this.#onShutdown = onShutdown;
  }

  /** The server waits for a confirmation that cannot be given: looks why, at most once a second. Does not throw. */
  suspect(): void {
    const now = performance.now();
    if (this.#asking || now - this.#askedAtMs < DISTANCE_MS) return;
    this.#askedAtMs = now;
    this.#asking = true;
    void this.#ask().finally(() => {
      this.#asking = false;
    });
  }

  async #ask(): Promise<void> {
    const client = new pg.Client({ ...this.#connection, connectionTimeoutMillis: CONNECT_MS });
    // A refusal is what is looked for; whatever else is wrong ends the replication connection by itself.
    client.on('error', () => undefined);
    try {
      await client.connect();
    } catch (error) {
      if (sqlstateOf(error) === CANNOT_CONNECT_NOW) this.#onShutdown(error);
    } finally {
      void client.end().catch(() => undefined);
    }
  }
}
