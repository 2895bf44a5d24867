/**
 * G1, the proof: whatever a reader of the secondary sees in one snapshot is the primary's state at the commit that the
 * checkpoint in the same snapshot names. See support/oracle.ts for how that state is known.
 *
 * That these tests can fail was tried with defects put into src one at a time. On both dialects they fail with:
 * - pipeline/applier: the checkpoint moved in a target transaction of its own, after the data, or before it;
 * - pipeline/run: a batch cut in the middle of a source transaction (TPC-B's sums notice it too);
 * - pipeline/large: a large transaction committed after each of its parts;
 * - pipeline/fold: unchanged TOAST values taken for NULL; a key change that leaves the old row behind.
 * And on PostgreSQL with:
 * - apply/dialect: TRUNCATE instead of DELETE (a reader with an older snapshot sees the table empty);
 * - apply/dialect: parts of a transaction without deferred constraints (a table is paused).
 */
import type { Client } from 'pg';
import { expect, it, onTestFailed } from 'vitest';
import { parseLsn } from '../../src/core/lsn.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { withClient } from '../harness/sql.js';
import { HISTORY_DDL, HISTORY_FIRST_ROWS, HISTORY_TABLES, runHistory } from './support/history.js';
import { oracleDdl, SourceOracle, type TableState } from './support/oracle.js';
import { Random, testSeed } from './support/random.js';
import { SnapshotReader } from './support/snapshot-reader.js';
import { bothSides, streamingPair } from './support/stream.js';

const LONG = process.env.DB_TEST_LONG === '1';
const SESSIONS = 4;
/** Writing goes on until so many different states were read. */
const MOMENTS = 80;
const MOST_LAG_BYTES = 100_000;

const ENOUGH_MOMENTS = 20;
const MOST_TRANSACTIONS = 50_000;

describeDialects('G1 prefix', (dialect) => {
  // Slow enough for the secondary to be read between most target transactions.
  const maxPauseMs = dialect === 'cockroach' ? 40 : 10;

  it.each([
    { what: 'transactions in batches', maxRows: 5000, transactions: LONG ? 5000 : 400 },
    // Most transactions exceed the limit: they arrive in parts, and are applied as they arrive.
    { what: 'transactions in parts', maxRows: 3, transactions: LONG ? 1000 : 150 },
  ])(
    'shows exactly the states that the primary had: $what',
    async ({ maxRows, transactions }) => {
      const seed = knownSeed();
      const tables = Object.keys(HISTORY_TABLES);
      await using it = await streamingPair(HISTORY_DDL + oracleDdl(HISTORY_TABLES) + HISTORY_FIRST_ROWS, {
        dialect,
        maxRows,
        tables: tables.map((name) => ({ schema: 'public', name })),
      });
      const oracle = await SourceOracle.start(it.pair.primary.url, tables);
      await using reader = await SnapshotReader.connect(it.pair.secondary.url, dialect, HISTORY_TABLES);
      const enough = () => reader.moments.size >= MOMENTS || reader.ended;
      const [committed] = await readDuring(
        async () => {
          const behind = () => !reader.ended && it.stream.streamer.snapshot().lagBytes > MOST_LAG_BYTES;
          const options = { seed, sessions: SESSIONS, transactions, maxPauseMs, enough, behind };
          const count = await runHistory(it.pair.primary.url, options);
          await it.stream.caughtUp(120_000);
          return count;
        },
        (over) => reader.readUntil(over),
      );

      const history = await oracle.history();
      const effective = history.transactions.filter((each) => each.effects.length > 0).length;
      expect(effective).toBeGreaterThan(committed * 0.7);
      const current = reader.reads.filter((read) => read.current).map((read) => parseLsn(read.lsn));
      expect(current, `seed ${seed}: the checkpoint never goes back`).toEqual([...current].sort(ascending));
      const reads = [...reader.reads].sort((a, b) => ascending(parseLsn(a.lsn), parseLsn(b.lsn)));
      for (const read of reads) {
        const expected = history.stateAt(parseLsn(read.lsn));
        if (!sameState(read.state, expected)) {
          expect(read.state, `seed ${seed}, read at ${read.lsn}`).toEqual(expected);
        }
      }
      const counters = it.stream.streamer.counters;
      console.log(
        `G1 ${dialect} maxRows ${maxRows}: ${effective} transactions, ${reads.length} reads (${reader.refused} refused) of ${reader.moments.size} states, ${counters.batchesApplied} batches, ${counters.batchesReordered} reordered, seed ${seed}`,
      );
      for (const table of tables) {
        const { primary, secondary } = await bothSides(it.pair, table);
        expect(secondary, `seed ${seed}, ${table}`).toEqual(primary);
      }
      expect(it.stream.streamer.snapshot()).toMatchObject({ deadLetters: 0, dropped: 0 });
    },
    600_000,
  );

  it('keeps the sums of accounts, tellers, branches and history equal at every read', async () => {
    const seed = knownSeed();
    await using it = await streamingPair(TPCB_DDL, { dialect });
    const transactions = LONG ? 5000 : 500;
    const moments = new Set<string>();
    let made = 0;
    const [, seen] = await readDuring(
      async () => {
        const sessions = Array.from({ length: SESSIONS }, (_, index) =>
          withClient(it.pair.primary.url, async (client) => {
            const random = new Random(seed + index);
            await runTpcB(client, random, transactions, maxPauseMs);
            made += transactions;
            // A busy machine reads and applies seldom: there must be enough to look at.
            while (moments.size <= ENOUGH_MOMENTS && made < MOST_TRANSACTIONS) {
              await runTpcB(client, random, 20, maxPauseMs);
              made += 20;
            }
          }),
        );
        await Promise.all(sessions);
        await it.stream.caughtUp(120_000);
      },
      (over) =>
        withClient(it.pair.secondary.url, async (client) => {
          const all: Sums[] = [];
          for (let last = false; !last; ) {
            last = over();
            const sums = (await client.query<Sums>(SUMS)).rows[0] as Sums;
            all.push(sums);
            moments.add(sums.entries);
          }
          return all;
        }),
    );
    let entries = 0;
    for (const sums of seen) {
      expect(new Set([sums.accounts, sums.tellers, sums.branches, sums.history]).size, JSON.stringify(sums)).toBe(1);
      expect(Number(sums.entries)).toBeGreaterThanOrEqual(entries);
      entries = Number(sums.entries);
    }
    console.log(`TPC-B ${dialect}: ${made} transactions, ${seen.length} reads of ${moments.size} states`);
    expect(moments.size).toBeGreaterThan(ENOUGH_MOMENTS);
    expect(entries).toBe(made);
    for (const table of ['accounts', 'tellers', 'branches', 'history']) {
      const { primary, secondary } = await bothSides(it.pair, table);
      expect(secondary, table).toEqual(primary);
    }
  }, 300_000);
});

interface Sums extends Record<string, string> {
  accounts: string;
  tellers: string;
  branches: string;
  history: string;
  entries: string;
}

/** pgbench's tables and transaction, with rows enough for a sum to take a moment and few enough branches to collide. */
const TPCB_DDL = `
CREATE TABLE branches (bid int PRIMARY KEY, bbalance bigint NOT NULL, filler char(88));
CREATE TABLE tellers (tid int PRIMARY KEY, bid int, tbalance bigint NOT NULL, filler char(84));
CREATE TABLE accounts (aid int PRIMARY KEY, bid int, abalance bigint NOT NULL, filler char(84));
CREATE TABLE history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
ALTER TABLE history REPLICA IDENTITY FULL;
INSERT INTO branches SELECT i, 0, '' FROM generate_series(1, 4) i;
INSERT INTO tellers SELECT i, 1 + i % 4, 0, '' FROM generate_series(1, 40) i;
INSERT INTO accounts SELECT i, 1 + i % 4, 0, '' FROM generate_series(1, 1000) i;
`;

/** One statement, one snapshot. */
const SUMS = `SELECT (SELECT sum(abalance) FROM accounts)::text AS accounts, (SELECT sum(tbalance) FROM tellers)::text AS tellers,
  (SELECT sum(bbalance) FROM branches)::text AS branches, (SELECT coalesce(sum(delta), 0) FROM history)::text AS history,
  (SELECT count(*) FROM history)::text AS entries`;

async function runTpcB(client: Client, random: Random, transactions: number, maxPauseMs: number): Promise<void> {
  for (let i = 0; i < transactions; i++) {
    const [aid, tid, bid, delta] = [random.int(1, 1000), random.int(1, 40), random.int(1, 4), random.int(-5000, 5000)];
    await client.query(`BEGIN;
      UPDATE accounts SET abalance = abalance + ${delta} WHERE aid = ${aid};
      UPDATE tellers SET tbalance = tbalance + ${delta} WHERE tid = ${tid};
      UPDATE branches SET bbalance = bbalance + ${delta} WHERE bid = ${bid};
      INSERT INTO history VALUES (${tid}, ${bid}, ${aid}, ${delta}, now(), '');
      COMMIT`);
    if (random.chance(0.1)) await new Promise((resolve) => setTimeout(resolve, random.int(0, maxPauseMs)));
  }
}

function knownSeed(): number {
  const seed = testSeed();
  onTestFailed(() => console.error(`DB_TEST_SEED=${seed}`));
  return seed;
}

/** Runs both; the reader is told when the work is over. */
function readDuring<W, R>(work: () => Promise<W>, read: (over: () => boolean) => Promise<R>): Promise<[W, R]> {
  let over = false;
  const working = work().finally(() => {
    over = true;
  });
  return Promise.all([working, read(() => over)]);
}

function ascending(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function sameState(a: TableState, b: TableState): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
