/**
 * Ordinary connections to the primary, for catalog and chunk reads. Every session prints values as the walsender does,
 * and hands them over as text. Connections are closed when unused: an idle streamer holds the slot's connection only.
 */
import pg, { type ClientBase, type ClientConfig, type PoolClient, type QueryConfig } from 'pg';
import { RAW_TEXT_TYPES } from '../core/raw-types.js';
import { socketOf } from '../core/socket-of.js';
import { SOURCE_SESSION_SQL } from './session-settings.js';

const CLOSE_GRACE_MS = 500;
const CONNECT_MS = 10_000;
const KEEPALIVE_DELAY_MS = 10_000;
const CANCEL_MS = 3000;

export class SourcePool {
  readonly #create: () => pg.Pool;
  #pool: pg.Pool;
  readonly #prepared = new WeakSet<PoolClient>();
  readonly #inUse = new Set<PoolClient>();
  readonly #config: ClientConfig;
  #closed: Promise<void> | null = null;
  /** Under way; whoever closes the pool waits for them, a moment. */
  readonly #cancels = new Set<Promise<void>>();

  constructor(config: ClientConfig, max: number) {
    this.#config = {
      connectionTimeoutMillis: CONNECT_MS,
      keepAliveInitialDelayMillis: KEEPALIVE_DELAY_MS,
      ...config,
    };
    this.#create = () => {
      const pool = new pg.Pool({
        ...this.#config,
        max,
        idleTimeoutMillis: 10_000,
        types: RAW_TEXT_TYPES,
      } as pg.PoolConfig);
      // A connection that dies while idle is replaced by the next use, which reports what is wrong.
      pool.on('error', () => undefined);
      return pool;
    };
    this.#pool = this.#create();
  }

  /** Closes every connection now; the next use opens new ones. */
  async letGo(): Promise<void> {
    const former = this.#pool;
    this.#pool = this.#create();
    await this.#end(former, new Set(this.#inUse));
  }

  async use<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
    const client = await this.#pool.connect();
    let failure: Error | undefined;
    // The pool listens only while the connection is its own, and an error that nobody hears ends the process.
    const onError = (error: Error) => {
      failure ??= error;
    };
    client.on('error', onError);
    this.#inUse.add(client);
    try {
      if (!this.#prepared.has(client)) {
        await client.query(SOURCE_SESSION_SQL);
        this.#prepared.add(client);
      }
      return await work(client);
    } catch (error) {
      failure = error instanceof Error ? error : new Error(String(error));
      throw error;
    } finally {
      this.#inUse.delete(client);
      // After an error the session may be inside a transaction: it is not used again.
      client.release(failure);
      client.off('error', onError);
    }
  }

  /**
   * Runs a statement that may wait for long; on abort it is cancelled on the server, over a connection of its own, so
   * that nothing of it is left behind.
   */
  async cancellable<T>(client: ClientBase, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    const onAbort = () => {
      const cancelled = this.#cancel(client).catch(() => undefined);
      this.#cancels.add(cancelled);
      void cancelled.then(() => this.#cancels.delete(cancelled));
    };
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await work();
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  async #cancel(client: ClientBase): Promise<void> {
    const { processID } = client as unknown as { readonly processID: number };
    const other = new pg.Client({ ...this.#config, connectionTimeoutMillis: CANCEL_MS });
    other.on('error', () => undefined);
    await other.connect();
    try {
      await other.query({
        text: 'SELECT pg_cancel_backend($1)',
        values: [processID],
        query_timeout: CANCEL_MS,
      } as QueryConfig);
    } finally {
      void other.end().catch(() => undefined);
    }
  }

  /**
   * Reads that are under way get a moment to end; then they are cut. One that waits for a lock of somebody (catalog views
   * of a publication open its tables) would otherwise keep the process for as long as that somebody likes.
   */
  close(): Promise<void> {
    this.#closed ??= this.#end(this.#pool, this.#inUse);
    return this.#closed;
  }

  async #end(pool: pg.Pool, inUse: ReadonlySet<PoolClient>): Promise<void> {
    const late = setTimeout(() => {
      for (const client of inUse) socketOf(client).destroy();
    }, CLOSE_GRACE_MS);
    try {
      await Promise.all(this.#cancels);
      await pool.end();
    } finally {
      clearTimeout(late);
    }
  }
}
