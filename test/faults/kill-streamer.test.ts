/**
 * G2 and G3 when the program itself is killed: SIGKILL at random moments under load, start again at once; in the end
 * nothing is lost and nothing there twice, and at no time was the slot told of more than was durable.
 * DB_TEST_LONG=1 kills it 50 times on each dialect.
 */
import { expect, it, onTestFailed } from 'vitest';
import { parseLsn } from '../../src/core/lsn.js';
import { createDatabasePair, type DatabasePair } from '../harness/cluster.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query } from '../harness/sql.js';
import { Random, testSeed } from '../integration/support/random.js';
import { expectLedger, LEDGER_DDL, LedgerLoad } from './support/ledger.js';
import { Serve, serveEnvironment, slotOf } from './support/serve.js';

const KILLS = process.env.DB_TEST_LONG === '1' ? 50 : 5;

describeDialects('G2 G3 the streamer is killed', (dialect) => {
  it(`loses nothing and applies nothing twice over ${KILLS} kills`, async () => {
    const seed = testSeed();
    onTestFailed(() => console.error(`DB_TEST_SEED=${seed}`));
    const random = new Random(seed);
    await using pair = await createDatabasePair('kill', dialect);
    await query(pair.primary.url, LEDGER_DDL);
    const environment = serveEnvironment(pair);
    let serve = await Serve.start(environment);
    try {
      await serve.leading();
      await serve.caughtUp();
      await using load = new LedgerLoad(pair.primary.url, { seed, sessions: 2, pauseMs: 4 });
      const starts: number[] = [];
      let reached = 0;
      const began = performance.now();
      for (let kill = 0; kill < KILLS; kill++) {
        // Most are killed at work, some while they start.
        const atWork = random.chance(0.8);
        const started = performance.now();
        if (atWork && kill > 0) {
          await serve.leading();
          starts.push(performance.now() - started);
        }
        reached += atWork ? 1 : 0;
        await new Promise((resolve) => setTimeout(resolve, random.int(0, atWork ? 400 : 900)));
        await serve.kill();
        await expectNotAhead(pair);
        serve = await Serve.start(environment);
      }
      const entries = await load.stop();
      await serve.leading();
      await serve.caughtUp();
      await expectLedger(pair, entries);
      await expectNotAhead(pair);
      const { body } = await serve.lag();
      expect(body).toMatchObject({ deadLetters: 0, dropped: 0 });
      starts.sort((a, b) => a - b);
      console.log(
        `${KILLS} kills [${dialect}] in ${((performance.now() - began) / 1000).toFixed(1)} s, ${reached} at work, ${entries} entries; from start to streaming: median ${Math.round(starts[starts.length >> 1] ?? 0)} ms, longest ${Math.round(starts.at(-1) ?? 0)} ms`,
      );
    } finally {
      await serve[Symbol.asyncDispose]();
    }
  }, 300_000);
});

/** G2: the slot is read first, so that the checkpoint can only have moved on since. */
async function expectNotAhead(pair: DatabasePair): Promise<void> {
  const [slot] = await query<{ lsn: string }>(
    pair.primary.url,
    'SELECT confirmed_flush_lsn::text AS lsn FROM pg_replication_slots WHERE slot_name = $1',
    [slotOf(pair.primary)],
  );
  const [checkpoint] = await query<{ lsn: string }>(pair.secondary.url, 'SELECT lsn FROM db_redundancy.checkpoint');
  expect(parseLsn(slot?.lsn ?? '0/0')).toBeLessThanOrEqual(parseLsn(checkpoint?.lsn ?? '0/0'));
}
