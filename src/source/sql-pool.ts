/**
 * Ordinary connections to the primary, for catalog and chunk reads. Every session prints values as the walsender does,
 * and hands them over as text. Connections are closed when unused: an idle streamer holds the slot's connection only.
 */
import pg, { type ClientConfig, type PoolClient } from 'pg';
import { RAW_TEXT_TYPES } from '../core/raw-types.js';
import { SOURCE_SESSION_SQL } from './session-settings.js';

export class SourcePool {
  readonly #pool: pg.Pool;
  readonly #prepared = new WeakSet<PoolClient>();

  constructor(config: ClientConfig, max: number) {
    this.#pool = new pg.Pool({
      connectionTimeoutMillis: 10_000,
      ...config,
      max,
      idleTimeoutMillis: 10_000,
      types: RAW_TEXT_TYPES,
    } as pg.PoolConfig);
    // A connection that dies while idle is replaced by the next use, which reports what is wrong.
    this.#pool.on('error', () => undefined);
  }

  async use<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
    const client = await this.#pool.connect();
    let failure: Error | undefined;
    // The pool listens only while the connection is its own, and an error that nobody hears ends the process.
    const onError = (error: Error) => {
      failure ??= error;
    };
    client.on('error', onError);
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
      // After an error the session may be inside a transaction: it is not used again.
      client.release(failure);
      client.off('error', onError);
    }
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }
}
