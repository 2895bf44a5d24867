/**
 * An application of many writers on the real router: single statements and transactions, each row with a number of its
 * own. Nothing keeps a number from being stored twice, so that a statement that runs twice shows.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { RouterPool } from '../../../src/router/pool.js';

export const ROUTED_DDL = `CREATE TABLE entries (id bigserial PRIMARY KEY, writer int NOT NULL, no int NOT NULL, updated_at timestamptz NOT NULL DEFAULT now());`;

const CERTAINLY_LOST = '40001';
const OUTCOME_UNKNOWN = '40003';

export class RoutedFleet implements AsyncDisposable {
  /** Monotonic times by `writer/no`. */
  readonly acknowledged = new Map<string, number>();
  /** Their connection was lost on the way: there once, or not at all. */
  readonly unknown = new Set<string>();
  /** What the application was told: SQLSTATE or message, and when. */
  readonly errors: { readonly code: string; readonly atMs: number }[] = [];
  readonly #pool: RouterPool;
  readonly #pauseMs: number;
  readonly #done: Promise<void>[];
  #stopping = false;

  /**
   * Every other writer writes two rows in a transaction.
   * @param pauseMs of a writer between two writes
   */
  constructor(pool: RouterPool, writers: number, pauseMs: number) {
    this.#pool = pool;
    this.#pauseMs = pauseMs;
    this.#done = Array.from({ length: writers }, (_, writer) => this.#write(writer, writer % 2 === 1));
  }

  /** The longest time without an acknowledgement between two moments. */
  pauseMs(from: number, to: number): number {
    const times = [...this.acknowledged.values()].filter((at) => at >= from && at <= to).sort((a, b) => a - b);
    return Math.round(Math.max(0, ...times.map((at, i) => at - (times[i - 1] ?? at))));
  }

  /** How often each error came. */
  told(): string {
    const counts = new Map<string, number>();
    for (const { code } of this.errors) counts.set(code, (counts.get(code) ?? 0) + 1);
    return JSON.stringify(Object.fromEntries(counts));
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#done);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #write(writer: number, inTransaction: boolean): Promise<void> {
    for (let no = 1; !this.#stopping; ) {
      const numbers = inTransaction ? [no, no + 1] : [no];
      try {
        if (inTransaction) await this.#transaction(writer, numbers);
        else await this.#insert(this.#pool, writer, no);
        for (const each of numbers) this.acknowledged.set(`${writer}/${each}`, performance.now());
        no += numbers.length;
      } catch (error) {
        const { code, message } = error as { code?: string; message: string };
        this.errors.push({ code: code ?? message, atMs: performance.now() });
        // As an application does that knows the codes: the first is repeated with the same number, the second is not.
        if (code !== CERTAINLY_LOST) {
          if (code === OUTCOME_UNKNOWN) for (const each of numbers) this.unknown.add(`${writer}/${each}`);
          no += numbers.length;
        }
        await sleep(5);
      }
      await sleep(this.#pauseMs);
    }
  }

  async #transaction(writer: number, numbers: readonly number[]): Promise<void> {
    const client = await this.#pool.connect();
    try {
      await client.query('BEGIN');
      for (const no of numbers) await this.#insert(client, writer, no);
      await client.query('COMMIT');
    } catch (error) {
      await client.query('ROLLBACK').catch(() => undefined);
      throw error;
    } finally {
      client.release();
    }
  }

  async #insert(on: { query(text: string, values: unknown[]): Promise<unknown> }, writer: number, no: number) {
    await on.query('INSERT INTO entries (writer, no) VALUES ($1, $2)', [writer, no]);
  }
}

/** Acknowledged rows that are not there, and rows that are there more than once. */
export function accounts(fleet: RoutedFleet, rows: readonly Record<string, unknown>[]) {
  const found = new Map<string, number>();
  for (const { no, writer } of rows) found.set(`${writer}/${no}`, (found.get(`${writer}/${no}`) ?? 0) + 1);
  return {
    lost: [...fleet.acknowledged.keys()].filter((key) => !found.has(key)),
    twice: [...found].filter(([, times]) => times > 1).map(([key]) => key),
    invented: [...found.keys()].filter((key) => !fleet.acknowledged.has(key) && !fleet.unknown.has(key)),
  };
}
