/**
 * The slot goes while the application writes: dropped under a stream that runs, invalidated by max_slot_wal_keep_size
 * while nobody streams, and under a stream whose secondary stands still. What was in it is gone: everything is compared
 * again, loudly, and both sides are equal (G2). Runs with DB_TEST_LONG=1; `integration/lifecycle` loses slots always.
 */
import { Client } from 'pg';
import { expect, it, onTestFailed } from 'vitest';
import { createDatabasePair } from '../harness/cluster.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { testSeed } from '../integration/support/random.js';
import { RunningStream, streamNames } from '../integration/support/stream.js';
import { expectLedger, LEDGER_DDL, LedgerLoad } from './support/ledger.js';
import { ownServer } from './support/own-server.js';

/** A checkpoint removes what is older than this. */
const SETTINGS = { max_slot_wal_keep_size: '16MB', min_wal_size: '32MB', max_wal_size: '64MB' };
const FILLER = `SELECT pg_logical_emit_message(false, 'filler', repeat('x', 1000000)) FROM generate_series(1, 20)`;
const INVALIDATED = /the replication slot was invalidated/;

describeDialects(
  'G2 the slot is lost',
  (dialect) => {
    it('dropped, and invalidated by max_slot_wal_keep_size, with a stream and without', async () => {
      const seed = testSeed();
      onTestFailed(() => console.error(`DB_TEST_SEED=${seed}`));
      await using server = await ownServer('primary', SETTINGS);
      await using databases = await createDatabasePair('slotloss', dialect);
      const { name } = databases.primary;
      const pair = { ...databases, primary: { name, url: await server.createDatabase(name) } };
      const { slot } = streamNames(pair);
      await query(pair.primary.url, LEDGER_DDL);
      await using first = await new RunningStream(pair).streaming();
      await using load = new LedgerLoad(pair.primary.url, { seed, sessions: 1, pauseMs: 20 });
      const said = (stream: RunningStream, reason: RegExp) => () =>
        stream.log.entries.some(({ level, message }) => level === 'error' && reason.test(message));
      const again = async (stream: RunningStream, fullSyncs: number) => {
        await stream.streaming();
        await stream.caughtUp();
        await waitFor(() => stream.streamer.counters.fullSyncs === fullSyncs, { what: `${fullSyncs} full syncs` });
      };
      const invalidated = async () => {
        await query(pair.primary.url, FILLER);
        for (const statement of ['SELECT pg_switch_wal()', 'CHECKPOINT']) await query(pair.primary.url, statement);
        const sql = `SELECT 1 FROM pg_replication_slots WHERE slot_name = $1 AND wal_status <> 'lost'`;
        return (await query(pair.primary.url, sql, [slot])).length === 0;
      };

      const dropped = `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '${slot}' AND active;
      SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '${slot}' AND NOT active`;
      await waitFor(async () => (await query(pair.primary.url, dropped).catch(() => [])).length === 1, {
        what: 'the slot is dropped',
      });
      await waitFor(said(first, /the replication slot is missing/), { what: 'the missing slot is noticed' });
      await again(first, 1);

      const other = new Client({ connectionString: pair.secondary.url });
      other.on('error', () => undefined);
      await other.connect();
      await other.query('BEGIN');
      await other.query('SELECT * FROM balance FOR UPDATE');
      // The stream may have made another one by the time that we look.
      const noticed = said(first, INVALIDATED);
      await waitFor(async () => (await invalidated()) || noticed(), {
        what: 'the slot of a stream that stands still is invalidated',
        timeoutMs: 30_000,
      });
      await other.end();
      await waitFor(noticed, { what: 'the invalidated slot is noticed', timeoutMs: 30_000 });
      await again(first, 2);
      await first.stop();

      await waitFor(invalidated, { what: 'the slot is invalidated', timeoutMs: 30_000 });
      await using second = new RunningStream(pair);
      await waitFor(said(second, INVALIDATED), { what: 'the invalidated slot is noticed at the start' });
      await again(second, 1);

      const entries = await load.stop();
      await second.caughtUp();
      await expectLedger(pair, entries);
      expect(second.streamer.snapshot()).toMatchObject({ deadLetters: 0, dropped: 0 });
    }, 180_000);
  },
  ['postgres', 'cockroach'],
);
