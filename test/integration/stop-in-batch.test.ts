/** A process that is told to stop while its batch takes long does not wait for it: the batch is there once, or not at all. */
import { expect, it } from 'vitest';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query, withClient } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { bothSides, RunningStream, streamingPair } from './support/stream.js';

/** Sessions of the apply loop that have been at one statement for a while. */
const WAITING = {
  postgres: `SELECT pid::text FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'db-redundancy apply' AND wait_event_type = 'Lock'`,
  cockroach: `SELECT session_id FROM crdb_internal.cluster_queries WHERE application_name = 'db-redundancy apply' AND query LIKE '%public.t%' AND start < now() - interval '300 ms'`,
};

describeDialects('a stop in the middle of a batch', (dialect) => {
  it('G1 G3 takes less than 10 seconds, and the batch is applied once by the next process', async () => {
    const made =
      'CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, $$old$$); CREATE TABLE bag (n int)';
    await using streamed = await streamingPair(made, { dialect });
    const { pair, primary, secondary, stream } = streamed;
    await stream.caughtUp();
    const checkpoint = () => secondary('SELECT lsn FROM db_redundancy.checkpoint');
    await withClient(pair.secondary.url, async (other) => {
      await other.query(`BEGIN; UPDATE t SET v = 'held' WHERE id = 1`);
      const before = await checkpoint();
      await primary(`INSERT INTO bag SELECT generate_series(1, 3); UPDATE t SET v = 'new' WHERE id = 1`);
      await waitFor(async () => (await query(pair.secondary.url, WAITING[dialect])).length > 0, {
        what: 'the batch waits for a lock of somebody else',
      });
      const began = performance.now();
      await stream.stop();
      expect(performance.now() - began).toBeLessThan(10_000);
      expect(await checkpoint()).toEqual(before);
      expect(await secondary('SELECT n FROM bag')).toEqual([]);
      await other.query('ROLLBACK');
    });
    await using next = await new RunningStream(pair).streaming();
    await next.caughtUp();
    for (const table of ['t', 'bag']) {
      const { primary: there, secondary: here } = await bothSides(pair, table);
      expect(here).toEqual(there);
    }
  });
});
