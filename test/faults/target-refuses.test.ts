/**
 * The secondary refuses for a while what is no row's fault: it is out of disk or of connections, read-only, others are in
 * the way, somebody cancels. The batch waits, nothing is given up, and the stream goes on by itself when that is over
 * (G2, G3, G9). A full disk and a storm of 40001 are raised by a trigger (CockroachDB: a check) of the table that is
 * written, the others are the server's own refusals.
 */
import { expect, it, onTestFailed } from 'vitest';
import { describeDialects } from '../harness/secondary-dialects.js';
import { waitFor } from '../harness/wait.js';
import { testSeed } from '../integration/support/random.js';
import { streamingPair } from '../integration/support/stream.js';
import { expectLedger, LEDGER_DDL, LedgerLoad } from './support/ledger.js';
import { REFUSALS, type Refusal, TargetRole } from './support/refusals.js';

describeDialects(
  'G2 G3 G9 the secondary refuses',
  (dialect) => {
    const refusals = REFUSALS.filter((each) => each.dialect === undefined || each.dialect === dialect);

    it(`for a while: ${refusals.map(({ name }) => name).join(', ')}`, async () => {
      const seed = testSeed();
      onTestFailed(() => console.error(`DB_TEST_SEED=${seed}`));
      await using role = new TargetRole(dialect);
      await using running = await streamingPair(LEDGER_DDL, { dialect, secondaryUrl: (pair) => role.create(pair) });
      const { log, streamer } = running.stream;
      await running.stream.caughtUp();
      await using load = new LedgerLoad(running.pair.primary.url, { seed, sessions: 1, pauseMs: 10 });

      const suffered = async ({ begin, name, sqlstate }: Refusal) => {
        const from = log.entries.length;
        const before = load.entries;
        const over = await begin(role);
        const refused = () =>
          log.entries.slice(from).some(({ details }) => (details as { sqlstate?: string }).sqlstate === sqlstate);
        await waitFor(refused, {
          what: `${sqlstate} for ${name}, after ${streamer.snapshot().detail}`,
          timeoutMs: 30_000,
        });
        // The application does not notice.
        await waitFor(() => load.entries > before + 20, { what: 'the application works' });
        expect(streamer.snapshot()).toMatchObject({ deadLetters: 0, dropped: 0 });
        await over();
        await running.stream.caughtUp(40_000);
      };
      for (const refusal of refusals) await suffered(refusal);

      const entries = await load.stop();
      await running.stream.caughtUp();
      const { deadLetters, dropped, tables } = streamer.snapshot();
      expect({ deadLetters, dropped }).toEqual({ deadLetters: 0, dropped: 0 });
      expect(tables.map(({ state }) => state)).toEqual(['streaming', 'streaming', 'streaming']);
      expect(streamer.counters.fullSyncs).toBe(0);
      await expectLedger(running.pair, entries);
    }, 180_000);
  },
  ['cockroach'],
);
