/**
 * G2 and G3 when the secondary is killed: CockroachDB with a store on disk ends by SIGKILL under load, between two
 * statements of a target transaction or between its commit and the answer, and comes back. DB_TEST_LONG=1: ten times.
 */
import { randomBytes } from 'node:crypto';
import { describe, expect, it, onTestFailed } from 'vitest';
import { createDatabasePair } from '../harness/cluster.js';
import { detectCockroach } from '../harness/cockroach.js';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { Random, testSeed } from '../integration/support/random.js';
import { RunningStream } from '../integration/support/stream.js';
import { DiskCockroach } from './support/disk-cockroach.js';
import { expectLedger, LEDGER_DDL, LedgerLoad } from './support/ledger.js';

const KILLS = process.env.DB_TEST_LONG === '1' ? 10 : 2;
const found = await detectCockroach();

describe.skipIf(found.kind !== 'binary')('G2 G3 CockroachDB is killed [cockroach]', () => {
  it(`loses nothing and applies nothing twice over ${KILLS} kills`, async () => {
    const seed = testSeed();
    onTestFailed(() => console.error(`DB_TEST_SEED=${seed}`));
    const random = new Random(seed);
    await using cockroach = await DiskCockroach.start(found.kind === 'binary' ? found.path : '');
    const name = `kill_${randomBytes(5).toString('hex')}`;
    await query(cockroach.url(), `CREATE DATABASE ${name}`);
    await using databases = await createDatabasePair('killcrdb');
    const pair = { ...databases, secondary: { name, url: cockroach.url(name) } };
    await query(pair.primary.url, LEDGER_DDL);
    await using stream = new RunningStream(pair);
    await stream.streaming();
    await using load = new LedgerLoad(pair.primary.url, { seed, sessions: 2, pauseMs: 4 });
    const back: number[] = [];
    for (let kill = 0; kill < KILLS; kill++) {
      const { counters } = stream.streamer;
      const before = counters.batchesApplied;
      await waitFor(() => counters.batchesApplied > before + 3, {
        what: 'the stream applies',
        timeoutMs: 60_000,
      });
      await new Promise((resolve) => setTimeout(resolve, random.int(0, 150)));
      await cockroach.killAndRestart();
      await cockroach.answers();
      const answered = performance.now();
      const applied = counters.batchesApplied;
      await waitFor(() => counters.batchesApplied > applied, {
        what: `the stream goes on after CockroachDB came back: ${stream.streamer.snapshot().detail}`,
        timeoutMs: 60_000,
      });
      back.push(performance.now() - answered);
    }
    const entries = await load.stop();
    await stream.caughtUp(60_000);
    await expectLedger(pair, entries);
    expect(stream.streamer.snapshot()).toMatchObject({ status: 'streaming', deadLetters: 0, dropped: 0 });
    const { batchRetries, reconnects } = stream.streamer.counters;
    console.log(
      `${KILLS} kills of CockroachDB: ${entries} entries, ${batchRetries} batch retries, ${reconnects} new sessions; applies again after ${back.map((ms) => Math.round(ms)).join(', ')} ms`,
    );
  }, 300_000);
});
