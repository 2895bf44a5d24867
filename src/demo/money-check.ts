/**
 * A reader of the standby that watches the guarantee G1 while the stream works: at every read it must see a state that
 * the primary had after some transaction, and so the same total of money. A stream that wrote row by row, or half a
 * transaction, would be caught in the middle of a transfer.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { TOTAL_MONEY_SQL } from './waybank-schema.js';

const PAUSE_MS = 20;

export class MoneyCheck {
  reads = 0;
  wrong = 0;
  /** Reads whose balances differ from the read before: money really moves between them. */
  moved = 0;
  /** The first wrong total, in dollars as text. */
  firstWrong: string | null = null;
  readonly expected: string;
  readonly #client: pg.Client;
  #balances: string | null = null;

  private constructor(client: pg.Client, expected: string) {
    this.#client = client;
    this.expected = expected;
  }

  /** @param expected the primary's total, in dollars as text */
  static async open(secondary: string, expected: string): Promise<MoneyCheck> {
    const client = new pg.Client({ connectionString: secondary, application_name: 'db-redundancy demo reader' });
    client.on('error', () => undefined);
    await client.connect();
    return new MoneyCheck(client, expected);
  }

  /** Reads until `signal` is aborted (resolves). Rejects when the standby cannot be read. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const { total, balances } = await totalMoney(this.#client);
      this.reads += 1;
      if (balances !== this.#balances) this.moved += 1;
      this.#balances = balances;
      if (total !== this.expected) {
        this.wrong += 1;
        this.firstWrong ??= total;
      }
      await sleep(PAUSE_MS);
    }
  }

  async close(): Promise<void> {
    await this.#client.end();
  }
}

export interface Money {
  /** Dollars, as text. */
  readonly total: string;
  readonly balances: string;
}

export async function totalMoney(client: pg.ClientBase): Promise<Money> {
  const { rows } = await client.query<Money>(TOTAL_MONEY_SQL);
  return rows[0] ?? { total: '', balances: '' };
}
