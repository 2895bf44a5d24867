/**
 * Ordinary connections to the primary, for catalog and chunk reads. Every session prints values as the walsender does,
 * and hands them over as text. Connections are closed when unused: an idle streamer holds the slot's connection only.
 */
import pg, { type ClientConfig, type PoolClient } from 'pg';
import { RAW_TEXT_TYPES } from '../core/raw-types.js';
import { socketOf } from '../core/socket-of.js';
import { SOURCE_SESSION_SQL } from './session-settings.js';

const CLOSE_GRACE_MS = 500;

export class SourcePool {
  readonly #create: () => pg.Pool;
  #pool: pg.Pool;
  readonly #prepared = new WeakSet<PoolClient>();
  readonly #inUse = new Set<PoolClient>();

  constructor(config: ClientConfig, max: number) {
    this.#create = () => {
      const pool = new pg.Pool({
        connectionTimeoutMillis: 10_000,
        ...config,
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
    await this.#end(former);
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
   * Reads that are under way get a moment to end; then they are cut. One that waits for a lock of somebody (catalog views
   * of a publication open its tables) would otherwise keep the process for as long as that somebody likes.
   */
  close(): Promise<void> {
    return this.#end(this.#pool);
  }

  async #end(pool: pg.Pool): Promise<void> {
    const late = setTimeout(() => {
      for (const client of this.#inUse) socketOf(client).destroy();
    }, CLOSE_GRACE_MS);
    try {
      await pool.end();
    } finally {
      clearTimeout(late);
    }
  }
}
