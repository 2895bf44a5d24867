/**
 * Measures how long a commit takes to become visible on the standby: a row is changed on the primary, and from the
 * moment of the commit the standby is asked again and again until it shows the change.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { RedundancyError } from '../core/errors.js';

const KEY = 'demo.probe';
const PAUSE_MS = 40;
const RECENT = 100;
const TIMEOUT_MS = 30_000;

export interface Delays {
  /** Milliseconds; null before the first measurement. */
  readonly p50: number | null;
  readonly p99: number | null;
  readonly samples: number;
}

export class Probe {
  readonly #primary: pg.Client;
  readonly #secondary: pg.Client;
  readonly #delays: number[] = [];
  /** Transactions committed so far. */
  committed = 0;

  private constructor(primary: pg.Client, secondary: pg.Client) {
    this.#primary = primary;
    this.#secondary = secondary;
  }

  static async open(primary: string, secondary: string): Promise<Probe> {
    const clients = [primary, secondary].map(
      (connectionString) => new pg.Client({ connectionString, application_name: 'db-redundancy demo probe' }),
    ) as [pg.Client, pg.Client];
    for (const client of clients) client.on('error', () => undefined);
    await Promise.all(clients.map((client) => client.connect()));
    return new Probe(...clients);
  }

  /** Measures until `signal` is aborted (resolves). */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#delays.push(await this.once());
      await sleep(PAUSE_MS);
    }
  }

  /**
   * Changes the row and waits until the standby shows it. Since changes are applied in the order of their commits,
   * everything that was committed on the primary before is on the standby then, too.
   * @returns milliseconds from the commit's answer to the first read that shows it. @throws RedundancyError in time.
   */
  async once(timeoutMs = TIMEOUT_MS): Promise<number> {
    this.committed += 1;
    const serial = this.committed;
    await this.#primary.query(
      `INSERT INTO app_config (key, value, description) VALUES ($1, to_jsonb($2::int), 'Measures the delay of the standby')
       ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
      [KEY, serial],
    );
    const committed = performance.now();
    for (;;) {
      const { rows } = await this.#secondary.query<{ value: number }>({
        name: 'probe',
        text: 'SELECT value FROM app_config WHERE key = $1',
        values: [KEY],
      });
      const waited = performance.now() - committed;
      if ((rows[0]?.value ?? 0) >= serial) return waited;
      if (waited > timeoutMs) {
        throw new RedundancyError(`A change was not on the standby ${timeoutMs / 1000} seconds after its commit.`, {
          code: 'demo-not-caught-up',
          remedy:
            'Messages of the stream above, if there are any, say why; on a machine that is very busy, run the demo again.',
        });
      }
      await sleep(1);
    }
  }

  /** Of all measurements, or of the last hundred. */
  delays(which: 'all' | 'recent'): Delays {
    const sorted = (which === 'all' ? [...this.#delays] : this.#delays.slice(-RECENT)).sort((a, b) => a - b);
    const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? null;
    return { p50: at(0.5), p99: at(0.99), samples: sorted.length };
  }

  async close(): Promise<void> {
    await Promise.all([this.#primary.end(), this.#secondary.end()]);
  }
}
