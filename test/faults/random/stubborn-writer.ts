/** A client that is no router: connected to the primary as the application, and writing there whatever the route says. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import type { FaultCluster } from './cluster.js';
import type { Transaction } from './history.js';
import type { Workload } from './workload.js';

/** Apart from those of the workload's own writers. */
const WRITER = 90;
const PAUSE_MS = 20;

export class StubbornWriter {
  readonly #done: Promise<void>;
  #stopping = false;

  private constructor(done: (writer: StubbornWriter) => Promise<void>) {
    this.#done = done(this);
  }

  static async start(cluster: FaultCluster, workload: Workload): Promise<StubbornWriter> {
    const url = cluster.applicationUrl('primary');
    return new StubbornWriter((writer) => writer.#write(url, workload));
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#done;
  }

  async #write(url: string, workload: Workload): Promise<void> {
    let client: Client | null = null;
    for (let no = workload.after + 1; !this.#stopping; no++) {
      const transaction = workload.record(WRITER, no);
      try {
        client ??= await connected(url);
        await client.query('BEGIN');
        await client.query(
          `INSERT INTO events (id, writer, no, side, ran_at) VALUES ($1, $2, $3, current_setting('cluster_name', true), clock_timestamp())`,
          [transaction.element, WRITER, no],
        );
        await client.query('INSERT INTO parts (event) VALUES ($1)', [transaction.element]);
        await client.query('COMMIT');
        this.#ended(transaction, 'acknowledged');
      } catch {
        // Refused before COMMIT, or cut: the checker allows for both.
        this.#ended(transaction, 'unknown');
        await client?.end().catch(() => undefined);
        client = null;
      }
      await sleep(PAUSE_MS);
    }
    await client?.end();
  }

  #ended(transaction: Transaction, outcome: Transaction['outcome']): void {
    transaction.endMs = performance.now();
    transaction.outcome = outcome;
  }
}

async function connected(url: string): Promise<Client> {
  const client = new Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}
