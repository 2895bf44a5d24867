/**
 * The demo's application: workers that run transactions at a steady rate, on connections of a pool that follows the
 * controller to whichever database is active.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientBase } from 'pg';
import { sqlstateOf } from '../core/policy.js';
import { RouterPool, type RouterPoolOptions } from '../router/pool.js';
import { anyTransaction, type Position, type Stock } from './workload-transactions.js';

export interface WorkloadOptions {
  readonly pool: RouterPoolOptions;
  readonly connections: number;
  /** Transactions a second, over all connections. */
  readonly perSecond: number;
}

/** Serialization failure and deadlock: such a transaction is given up, as an application would try it again. */
const TRY_AGAIN = ['40001', '40P01'];

export class Workload {
  /** Transactions committed so far. */
  committed = 0;
  /** Given up and not counted: the database or a flip ended them, and nothing of them is there. */
  givenUp = 0;
  /** Between two commits of anybody. May be set back. */
  longestPauseMs = 0;
  readonly #options: WorkloadOptions;
  readonly #pool: RouterPool;
  readonly #stock: Stock;
  #nextSlotMs = 0;
  #lastCommitMs = 0;

  private constructor(options: WorkloadOptions, pool: RouterPool, stock: Stock) {
    this.#options = options;
    this.#pool = pool;
    this.#stock = stock;
  }

  static async open(options: WorkloadOptions): Promise<Workload> {
    const pool = new RouterPool(options.pool);
    pool.on('error', () => undefined);
    return new Workload(options, pool, await readStock(pool));
  }

  /** Works until `signal` is aborted, and resolves when every transaction has ended. May be called again. */
  async run(signal: AbortSignal): Promise<void> {
    this.#nextSlotMs = performance.now();
    this.#lastCommitMs = performance.now();
    await Promise.all(Array.from({ length: this.#options.connections }, () => this.#work(signal)));
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }

  async #work(signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.#slot();
      if (signal.aborted) return;
      const client = await this.#pool.connect();
      let failure: unknown;
      try {
        if (await this.#transaction(client)) this.#counted();
      } catch (error) {
        failure = error;
        if (!TRY_AGAIN.includes(sqlstateOf(error) ?? '')) throw error;
        this.givenUp += 1;
      } finally {
        client.release(failure instanceof Error ? failure : undefined);
      }
    }
  }

  #counted(): void {
    this.committed += 1;
    const now = performance.now();
    this.longestPauseMs = Math.max(this.longestPauseMs, now - this.#lastCommitMs);
    this.#lastCommitMs = now;
  }

  /** False when it was rolled back by its own wish. */
  async #transaction(client: ClientBase): Promise<boolean> {
    await client.query('BEGIN');
    try {
      const good = await anyTransaction()(client, this.#stock);
      await client.query(good ? 'COMMIT' : 'ROLLBACK');
      return good;
    } catch (error) {
      await client.query('ROLLBACK');
      throw error;
    }
  }

  /** Starting times are evenly spaced; what a slow moment missed is not made up for. */
  async #slot(): Promise<void> {
    const spacing = 1000 / this.#options.perSecond;
    const now = performance.now();
    this.#nextSlotMs = Math.max(this.#nextSlotMs + spacing, now - 10 * spacing);
    if (this.#nextSlotMs > now) await sleep(this.#nextSlotMs - now);
  }
}

async function readStock(client: Pick<RouterPool, 'query'>): Promise<Stock> {
  const customers = await client.query<{ userId: string; profileId: number }>(
    'SELECT user_id AS "userId", id AS "profileId" FROM billing_profiles',
  );
  const positions = await client.query<Position>(
    `SELECT p.id, p.user_id AS "userId", b.id AS "profileId" FROM real_positions p JOIN billing_profiles b USING (user_id)`,
  );
  return {
    customers: customers.rows,
    profileIds: customers.rows.map((row) => row.profileId),
    positions: positions.rows,
  };
}
