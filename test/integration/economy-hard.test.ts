/** DB_BUDGET_HARD: above a budget the stream gathers changes between two target transactions, and loses none. */
import { expect, it } from 'vitest';
import { describeDialects } from '../harness/secondary-dialects.js';
import { waitFor } from '../harness/wait.js';
import { streamingPair } from './support/stream.js';

const BREATH_MS = 2000;

describeDialects('a stream that takes a breath', (dialect) => {
  it('applies what has come meanwhile afterwards, all of it, in few transactions', async () => {
    await using it_ = await streamingPair('CREATE TABLE entries (id int PRIMARY KEY)', {
      dialect,
      breathMs: BREATH_MS,
    });
    const rows = async () => Number((await it_.secondary('SELECT count(*)::int AS n FROM entries'))[0]?.n);
    const from = performance.now();
    await it_.primary('INSERT INTO entries VALUES (0)');
    await waitFor(async () => (await rows()) === 1, { what: 'the first row' });
    const batches = it_.stream.streamer.counters.batchesApplied;
    for (let id = 1; id <= 5; id++) await it_.primary(`INSERT INTO entries VALUES (${id})`);
    await waitFor(async () => (await rows()) > 1, { what: 'more rows' });
    expect(performance.now() - from).toBeGreaterThanOrEqual(BREATH_MS);
    await waitFor(async () => (await rows()) === 6, { what: 'every row' });
    expect(it_.stream.streamer.counters.batchesApplied - batches).toBeLessThan(5);
  });
});
