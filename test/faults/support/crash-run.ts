/**
 * A streamer that is made to die at named places while everything happens that leads there: a load of tables, a ledger
 * that is written all the time, values that swap, large transactions, and rows that drift on the secondary.
 */
import { expect } from 'vitest';
import { createDatabasePair, type DatabasePair } from '../../harness/cluster.js';
import type { SecondaryDialect } from '../../harness/secondary-dialects.js';
import { canonicalDump, query } from '../../harness/sql.js';
import { waitFor } from '../../harness/wait.js';
import { expectLedger, LEDGER_DDL, LedgerLoad } from './ledger.js';
import { Serve, type ServeEnvironment, serveEnvironment } from './serve.js';

const ROWS = 1500;
const DDL = `${LEDGER_DDL}
CREATE TABLE swaps (id int PRIMARY KEY, place int NOT NULL UNIQUE);
INSERT INTO swaps SELECT n, n FROM generate_series(1, 10) AS n;
CREATE TABLE wide (id int PRIMARY KEY, v text NOT NULL);
INSERT INTO wide SELECT n, repeat('x', 300) FROM generate_series(1, ${ROWS}) AS n;
CREATE TABLE drifting (id int PRIMARY KEY, v int NOT NULL, updated_at timestamptz NOT NULL DEFAULT now());
INSERT INTO drifting SELECT n, 0 FROM generate_series(1, 20) AS n;
`;
const TABLES = ['swaps', 'wide', 'drifting'] as const;
/** More changes than this in one transaction, and it arrives in parts. */
const MAX_ROWS = 200;
const REACHED_MS = 60_000;

export class CrashRun implements AsyncDisposable {
  readonly #pair: DatabasePair;
  readonly #environment: ServeEnvironment;
  readonly #load: LedgerLoad;
  #serve: Serve | null = null;

  private constructor(pair: DatabasePair, load: LedgerLoad) {
    this.#pair = pair;
    this.#load = load;
    this.#environment = serveEnvironment(pair, {
      DB_APPLY_MAX_ROWS: String(MAX_ROWS),
      DB_SYNC_INTERVAL_MS: '1000',
      DB_VERIFY_INTERVAL_MS: '0',
    });
  }

  static async start(dialect: SecondaryDialect, seed: number): Promise<CrashRun> {
    const pair = await createDatabasePair('crash', dialect);
    await query(pair.primary.url, DDL);
    return new CrashRun(pair, new LedgerLoad(pair.primary.url, { seed, sessions: 2, pauseMs: 15 }));
  }

  /** @returns the signal that ended the process at that place; rejects when it does not get there in time */
  async diesAt(point: string): Promise<NodeJS.Signals | null> {
    this.#serve = await Serve.start({ ...this.#environment, NODE_ENV: 'test', DB_CRASH_AT: point }, 'streamer');
    const { process } = this.#serve;
    // A position is stored by itself only where nothing of the stream's tables is written for a while, and much else is.
    const idle = point.startsWith('checkpoint:');
    this.#load.paused = idle;
    for (let round = 1; process.ended === undefined; round++) {
      await (idle ? this.#elsewhere() : this.#shake(round));
      await waitFor(async () => process.ended !== undefined, { what: 'the end', timeoutMs: 700 }).catch(() => null);
      if (round > REACHED_MS / 700) throw new Error(`${point} is not reached:\n${process.output().slice(-2000)}`);
    }
    this.#load.paused = false;
    return process.ended.signal;
  }

  /** Nothing lost, nothing twice, nothing paused, both sides equal. */
  async comesBack(): Promise<void> {
    const serve = await Serve.start(this.#environment, 'streamer');
    this.#serve = serve;
    await serve.leading();
    const entries = await this.#load.stop();
    await serve.caughtUp();
    const { primary, secondary } = this.#pair;
    // What had drifted and not been mended yet is mended by a sweep of the new process.
    const dump = (url: string) => Promise.all(TABLES.map((table) => canonicalDump(url, table)));
    const expected = await dump(primary.url);
    await waitFor(async () => JSON.stringify(await dump(secondary.url)) === JSON.stringify(expected), {
      what: 'the sides are equal',
      timeoutMs: 20_000,
    }).catch(async () => expect(await dump(secondary.url)).toEqual(expected));
    await expectLedger(this.#pair, entries);
    const { body } = await serve.lag();
    expect(body).toMatchObject({ deadLetters: 0, dropped: 0, tables: { total: 6, streaming: 6 } });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#serve?.[Symbol.asyncDispose]();
    await this.#load[Symbol.asyncDispose]();
    await this.#pair[Symbol.asyncDispose]();
  }

  async #elsewhere(): Promise<void> {
    await query(this.#pair.primary.url, `SELECT pg_logical_emit_message(false, 'elsewhere', repeat('x', 9000000))`);
  }

  async #shake(round: number): Promise<void> {
    const { primary, secondary } = this.#pair;
    await query(
      primary.url,
      `BEGIN; UPDATE swaps SET place = -place WHERE id <= 2; UPDATE swaps SET place = 3 + place WHERE id <= 2; COMMIT`,
    );
    await query(primary.url, `UPDATE wide SET v = v || '${round % 10}'`);
    await query(primary.url, `UPDATE drifting SET v = v + 1, updated_at = clock_timestamp()`);
    // Behind the stream's back; the table may not be there yet.
    await query(
      secondary.url,
      `UPDATE drifting SET v = -1, updated_at = updated_at - interval '1 minute' WHERE id <= 5`,
    ).catch(() => undefined);
  }
}
