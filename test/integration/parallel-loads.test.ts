/** Many loads that end together wait for the apply loop with a connection each: the loop must never wait for one of those. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { parseLsn } from '../../src/core/lsn.js';
import { createDatabasePair } from '../harness/cluster.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query, withClient } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { bothSides, RunningStream } from './support/stream.js';

/** More than a pool that both sides shared would have. */
const TABLES = 16;

describeDialects('loads in parallel', (dialect) => {
  it('G9 that end together leave the stream its connections, though it needs the primary for every batch', async () => {
    await using pair = await createDatabasePair('parallel', dialect);
    await query(pair.primary.url, 'CREATE TABLE busy (id int PRIMARY KEY, v varchar(10))');
    for (let i = 0; i < TABLES; i++)
      await query(
        pair.primary.url,
        `CREATE TABLE t${i} (id int PRIMARY KEY); INSERT INTO t${i} SELECT generate_series(1, 50)`,
      );
    await using stream = new RunningStream(pair);
    const states = () => stream.streamer.snapshot().tables;
    let writing = true;
    const writer = withClient(pair.primary.url, async (client) => {
      // Each new shape of the table makes the apply loop ask the primary's catalog.
      for (let n = 1; writing; n++) {
        await client.query('INSERT INTO busy (id, v) VALUES ($1, $2)', [n, `v${n}`]);
        if (n % 3 === 0) await client.query(`ALTER TABLE busy ALTER v TYPE varchar(${10 + n})`);
        // Not ahead of the stream, which needs longer to follow a shape than it takes to make one.
        const { rows } = await client.query<{ lsn: string }>('SELECT pg_current_wal_insert_lsn()::text AS lsn');
        const written = parseLsn(rows[0]?.lsn ?? '0/0');
        while (writing && parseLsn(stream.streamer.snapshot().appliedLsn ?? '0/0') < written) await sleep(10);
      }
    });
    try {
      const all = () => states().length === TABLES + 1 && states().every((table) => table.state === 'streaming');
      await waitFor(all, { what: 'every table streams', timeoutMs: 60_000 });
    } finally {
      writing = false;
      await writer;
    }
    await stream.caughtUp();
    expect(stream.streamer.counters.reconnects).toBe(0);
    const { primary, secondary } = await bothSides(pair, 'busy');
    expect(secondary).toEqual(primary);
  });
});
