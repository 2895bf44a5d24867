/** A process that is told to stop while its batch gets no answer does not wait for it: it is there once, or not at all. */
import { expect, it } from 'vitest';
import { createDatabasePair } from '../harness/cluster.js';
import { TcpProxy } from '../harness/proxy.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { bothSides, RunningStream } from './support/stream.js';

describeDialects('a stop in the middle of a batch', (dialect) => {
  it('G1 G3 takes less than 10 seconds, and the batch is applied once by the next process', async () => {
    await using pair = await createDatabasePair('stop', dialect);
    await query(pair.primary.url, 'CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE bag (n int)');
    await query(pair.primary.url, `INSERT INTO t VALUES (1, 'old')`);
    await using proxy = await TcpProxy.start(pair.secondary.url);
    await using stream = await new RunningStream(pair, { secondaryUrl: proxy.url(pair.secondary.url) }).streaming();
    await stream.caughtUp();
    const before = await query(pair.secondary.url, 'SELECT lsn FROM db_redundancy.checkpoint');
    let sent = false;
    proxy.onData = (direction, data) => {
      if (direction !== 'toTarget' || !data.includes('remember me')) return;
      sent = true;
      proxy.swallow();
    };
    await query(
      pair.primary.url,
      `INSERT INTO bag SELECT generate_series(1, 3); UPDATE t SET v = 'remember me' WHERE id = 1`,
    );
    await waitFor(() => sent, { what: 'the batch is on its way' });
    const began = performance.now();
    await stream.stop();
    expect(performance.now() - began).toBeLessThan(10_000);
    expect(await query(pair.secondary.url, 'SELECT lsn FROM db_redundancy.checkpoint')).toEqual(before);
    expect(await query(pair.secondary.url, 'SELECT n FROM bag')).toEqual([]);
    await using next = await new RunningStream(pair).streaming();
    await next.caughtUp();
    for (const table of ['t', 'bag']) {
      const { primary, secondary } = await bothSides(pair, table);
      expect(secondary).toEqual(primary);
    }
  });
});
