/**
 * A workload whose every effect is counted: each entry stands once in a table with a key and once in one without, where
 * a change that is applied twice cannot hide.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { expect } from 'vitest';
import type { DatabasePair } from '../../harness/cluster.js';
import { canonicalDump, query } from '../../harness/sql.js';
import { Random } from '../../integration/support/random.js';

export const LEDGER_DDL = `
CREATE TABLE ledger (seq bigserial PRIMARY KEY, session int NOT NULL, no int NOT NULL, amount int NOT NULL, UNIQUE (session, no));
CREATE TABLE journal (session int, no int, amount int, note text);
ALTER TABLE journal REPLICA IDENTITY FULL;
CREATE TABLE balance (id int PRIMARY KEY, total bigint NOT NULL, entries bigint NOT NULL);
INSERT INTO balance VALUES (1, 0, 0);
`;
const LEDGER_TABLES = ['ledger', 'journal', 'balance'] as const;

export class LedgerLoad implements AsyncDisposable {
  /** Entries committed so far. */
  entries = 0;
  readonly #url: string;
  readonly #sessions: Promise<void>[];
  readonly #patient: boolean;
  #stopping = false;
  /** Nothing is written meanwhile. */
  paused = false;
  #failure: unknown;

  /**
   * @param pauseMs between two transactions of a session, on average
   * @param patient a session whose connection is lost goes on with its next entry; whether the last one is there, nobody knows
   */
  constructor(url: string, options: { seed: number; sessions: number; pauseMs: number; patient?: boolean }) {
    this.#url = url;
    this.#patient = options.patient ?? false;
    this.#sessions = Array.from({ length: options.sessions }, (_, session) =>
      this.#run(session, new Random(options.seed + session), options.pauseMs).catch((error: unknown) => {
        this.#failure ??= error;
      }),
    );
  }

  /** Stops writing. @throws what a session died of */
  async stop(): Promise<number> {
    this.#stopping = true;
    await Promise.all(this.#sessions);
    if (this.#failure !== undefined) throw this.#failure;
    return this.entries;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#sessions);
  }

  async #run(session: number, random: Random, pauseMs: number): Promise<void> {
    let client: Client | null = null;
    try {
      for (let no = 1; !this.#stopping; no++) {
        while (this.paused && !this.#stopping) await sleep(20);
        if (this.#stopping) break;
        const amount = random.int(-100, 100);
        const statements = [
          `INSERT INTO ledger (session, no, amount) VALUES (${session}, ${no}, ${amount})`,
          `INSERT INTO journal VALUES (${session}, ${no}, ${amount}, NULL)`,
          `UPDATE balance SET total = total + ${amount}, entries = entries + 1`,
        ];
        if (random.chance(0.2))
          statements.push(`UPDATE journal SET note = 'seen' WHERE session = ${session} AND no = ${random.int(1, no)}`);
        try {
          client ??= await connected(this.#url);
          await client.query(`BEGIN; ${statements.join('; ')}; COMMIT`);
          this.entries += 1;
        } catch (error) {
          if (!this.#patient) throw error;
          await client?.end().catch(() => undefined);
          client = null;
          await sleep(50);
        }
        if (pauseMs > 0) await sleep(random.int(0, 2 * pauseMs));
      }
    } finally {
      await client?.end();
    }
  }
}

async function connected(url: string): Promise<Client> {
  const client = new Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

/** Nothing lost and nothing twice, by value: `entries` of them on both sides, each once in every table. */
export async function expectLedger(pair: Pick<DatabasePair, 'primary' | 'secondary'>, entries: number): Promise<void> {
  const [counts] = await query(
    pair.secondary.url,
    `SELECT (SELECT count(*) FROM ledger)::text AS ledger, (SELECT count(*) FROM journal)::text AS journal,
       (SELECT count(*) FROM (SELECT DISTINCT session, no FROM journal) AS d)::text AS once,
       (SELECT entries FROM balance)::text AS balance`,
  );
  const n = String(entries);
  expect(counts).toEqual({ ledger: n, journal: n, once: n, balance: n });
  for (const table of LEDGER_TABLES) {
    const [primary, secondary] = await Promise.all([
      canonicalDump(pair.primary.url, table),
      canonicalDump(pair.secondary.url, table),
    ]);
    expect(secondary, table).toEqual(primary);
  }
}
