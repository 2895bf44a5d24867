/** The demo's application: some connections that run transactions on the primary at a steady rate. */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { sqlstateOf } from '../core/policy.js';
import { anyTransaction, type Position, type Stock } from './workload-transactions.js';

export interface WorkloadOptions {
  readonly connectionString: string;
  readonly connections: number;
  /** Transactions a second, over all connections. */
  readonly perSecond: number;
}

/** Serialization failure and deadlock: such a transaction is given up, as an application would try it again. */
const TRY_AGAIN = ['40001', '40P01'];

export class Workload {
  /** Transactions committed so far. */
  committed = 0;
  readonly #options: WorkloadOptions;
  readonly #clients: readonly pg.Client[];
  readonly #stock: Stock;
  #nextSlotMs = 0;

  private constructor(options: WorkloadOptions, clients: readonly pg.Client[], stock: Stock) {
    this.#options = options;
    this.#clients = clients;
    this.#stock = stock;
  }

  static async open(options: WorkloadOptions): Promise<Workload> {
    const { connectionString, connections } = options;
    const clients = Array.from(
      { length: connections },
      () => new pg.Client({ connectionString, application_name: 'demo application' }),
    );
    for (const client of clients) client.on('error', () => undefined);
    await Promise.all(clients.map((client) => client.connect()));
    return new Workload(options, clients, await readStock(clients[0] as pg.Client));
  }

  /** Works until `signal` is aborted, and resolves when every transaction has ended. May be called again. */
  async run(signal: AbortSignal): Promise<void> {
    this.#nextSlotMs = performance.now();
    const runs = this.#clients.map((client) => this.#work(client, signal));
    await Promise.all(runs);
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.end()));
  }

  async #work(client: pg.Client, signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.#slot();
      if (signal.aborted) return;
      if (await this.#transaction(client)) this.committed += 1;
    }
  }

  async #transaction(client: pg.Client): Promise<boolean> {
    await client.query('BEGIN');
    try {
      const good = await anyTransaction()(client, this.#stock);
      await client.query(good ? 'COMMIT' : 'ROLLBACK');
      return good;
    } catch (error) {
      if (!TRY_AGAIN.includes(sqlstateOf(error) ?? '')) throw error;
      await client.query('ROLLBACK');
      return false;
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

async function readStock(client: pg.Client): Promise<Stock> {
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
