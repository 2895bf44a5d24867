/** An application on the real router: several writers, each with one transaction after the other, all on record. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { PoolClient } from 'pg';
import type { RouterPool } from '../../../src/router/pool.js';
import { Random } from '../../integration/support/random.js';
import type { Transaction } from './history.js';

export const RANDOM_DDL = `
CREATE TABLE lists (id int PRIMARY KEY, elements int8[] NOT NULL, updated_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE events (id int8 PRIMARY KEY, writer int NOT NULL, no int NOT NULL, side text, ran_at timestamptz NOT NULL, updated_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE parts (id bigserial PRIMARY KEY, event int8 NOT NULL REFERENCES events ON DELETE CASCADE, updated_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE tokens (place int8 PRIMARY KEY, token int NOT NULL UNIQUE, updated_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE journal (element int8 NOT NULL, note text);
ALTER TABLE journal REPLICA IDENTITY FULL;
INSERT INTO tokens (place, token) SELECT n, n FROM generate_series(1, 8) AS n;
`;
export const RANDOM_TABLES = ['lists', 'events', 'parts', 'tokens', 'journal'] as const;
export const TOKENS = [1, 2, 3, 4, 5, 6, 7, 8];

/** Of numbers: more than all episodes of an hour use. */
const WRITER_SPAN = 1_000_000_000;
const CERTAINLY_LOST = '40001';
const OUTCOME_UNKNOWN = '40003';
/** Class 23: a key or a rule was broken, which this application never does. */
const INTEGRITY = /^23/;

export interface WorkloadOptions {
  readonly seed: number;
  readonly pools: readonly RouterPool[];
  readonly writers: number;
  /** Average between two transactions of a writer. */
  readonly pauseMs: number;
  /** Ids of the lists that it appends to; they exist. */
  readonly lists: readonly number[];
  /** The highest `no` that was used before. */
  readonly after: number;
}

export class Workload {
  readonly transactions: Transaction[] = [];
  /** What no application should be told, whatever happens. */
  readonly wrong: string[] = [];
  /** How often each SQLSTATE, or message without one, was told. */
  readonly told = new Map<string, number>();
  readonly #options: WorkloadOptions;
  readonly #done: Promise<void>[];
  #stopping = false;
  #paused = false;
  /** Writers that wait for the end of a pause. */
  #parked = 0;

  constructor(options: WorkloadOptions) {
    this.#options = options;
    this.#done = Array.from({ length: options.writers }, (_, writer) => this.#write(writer));
  }

  get acknowledged(): number {
    return this.transactions.filter(({ outcome }) => outcome === 'acknowledged').length;
  }

  /** The highest `no` that was used before. */
  get after(): number {
    return this.#options.after;
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#done);
  }

  /** Resolves when nobody is in a transaction; nobody begins one before `goOn`. */
  async pause(): Promise<void> {
    this.#paused = true;
    while (this.#parked < this.#options.writers) await sleep(5);
  }

  goOn(): void {
    this.#paused = false;
  }

  /** Of somebody else, who writes an event with its part and nothing more. */
  record(writer: number, no: number): Transaction {
    const transaction: Transaction = {
      element: (writer + 1) * WRITER_SPAN + no,
      writer,
      no,
      lists: [],
      journal: false,
      deletes: null,
      startMs: performance.now(),
      endMs: 0,
      outcome: 'unknown',
      reads: new Map(),
    };
    this.transactions.push(transaction);
    return transaction;
  }

  async #write(writer: number): Promise<void> {
    const { after, lists, pauseMs, pools, seed } = this.#options;
    const random = new Random(seed + 7919 * (writer + 1));
    const pool = pools[writer % pools.length] as RouterPool;
    const own: number[] = [];
    for (let no = after + 1; !this.#stopping; no++) {
      await this.#parkedWhilePaused();
      // Always in the same order, so that two of them never wait for each other.
      const first = random.int(0, lists.length - 2);
      const chosen = [lists[first] as number, lists[random.int(first + 1, lists.length - 1)] as number];
      const transaction: Transaction = {
        element: (writer + 1) * WRITER_SPAN + no,
        writer,
        no,
        lists: chosen,
        journal: random.chance(0.15),
        deletes: own.length > 5 && random.chance(0.1) ? (own.shift() ?? null) : null,
        startMs: performance.now(),
        endMs: 0,
        outcome: 'aborted',
        reads: new Map(),
      };
      const token = random.chance(0.05) ? random.int(1, TOKENS.length) : null;
      this.transactions.push(transaction);
      await this.#attempt(pool, transaction, token);
      transaction.endMs = performance.now();
      if (transaction.outcome === 'acknowledged') own.push(transaction.element);
      await sleep(random.int(0, 2 * pauseMs));
    }
  }

  async #parkedWhilePaused(): Promise<void> {
    this.#parked += 1;
    while (this.#paused && !this.#stopping) await sleep(5);
    this.#parked -= 1;
  }

  /** As an application does that knows the codes; it does not repeat, for the next one is as good. */
  async #attempt(pool: RouterPool, transaction: Transaction, token: number | null): Promise<void> {
    let client: PoolClient | null = null;
    let committing = false;
    try {
      client = await pool.connect();
      await client.query('BEGIN');
      await statements(client, transaction, token);
      committing = true;
      await client.query('COMMIT');
      transaction.outcome = 'acknowledged';
    } catch (error) {
      const { code, message } = error as { code?: string; message: string };
      this.told.set(code ?? message, (this.told.get(code ?? message) ?? 0) + 1);
      if (code !== undefined && INTEGRITY.test(code)) this.wrong.push(`${transaction.element}: ${code} ${message}`);
      if (committing && code === OUTCOME_UNKNOWN) transaction.outcome = 'unknown';
      // A server's own answer to COMMIT is a refusal; anything else must come with a code of the contract.
      if (committing && (code === undefined || !/^[0-9A-Z]{5}$/.test(code))) {
        transaction.outcome = 'unknown';
        this.wrong.push(
          `${transaction.element}: COMMIT failed with ${code ?? message}, and not with ${CERTAINLY_LOST} or ${OUTCOME_UNKNOWN}`,
        );
      }
      await client?.query('ROLLBACK').catch(() => undefined);
    } finally {
      client?.release();
    }
  }
}

async function statements(client: PoolClient, transaction: Transaction, token: number | null): Promise<void> {
  const { deletes, element, journal, lists, no, reads, writer } = transaction;
  for (const list of lists) {
    const { rows } = await client.query<{ elements: string[] }>(
      'UPDATE lists SET elements = array_append(elements, $2), updated_at = clock_timestamp() WHERE id = $1 RETURNING elements',
      [list, element],
    );
    reads.set(list, (rows[0]?.elements ?? []).map(Number));
  }
  await client.query(
    `INSERT INTO events (id, writer, no, side, ran_at, updated_at) VALUES ($1, $2, $3, current_setting('cluster_name', true), clock_timestamp(), clock_timestamp())`,
    [element, writer, no],
  );
  // Its key comes from the default: a sequence that hands a number out twice would show.
  await client.query('INSERT INTO parts (event) VALUES ($1)', [element]);
  if (journal)
    await client.query('INSERT INTO journal (element, note) VALUES ($1, $2)', [element, 'x'.repeat(no % 50)]);
  if (deletes !== null) await client.query('DELETE FROM parts WHERE event = $1', [deletes]);
  if (deletes !== null) {
    const { rowCount } = await client.query('DELETE FROM events WHERE id = $1', [deletes]);
    // It is in the tail that a failover left behind: there is nothing yet that could be deleted.
    if (rowCount === 0) transaction.deletes = null;
  }
  if (token !== null) {
    await client.query('UPDATE tokens SET place = place + 1000, updated_at = clock_timestamp() WHERE token = $1', [
      token,
    ]);
  }
}
