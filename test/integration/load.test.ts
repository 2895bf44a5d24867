/** Loads: under writes, interrupted, and beside a stream (SPEC sections 2 and 5). */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { expect, it } from 'vitest';
import { type Lsn, parseLsn } from '../../src/core/lsn.js';
import { createDatabasePair } from '../harness/cluster.js';
import { spawnCli } from '../harness/process.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query, withClient } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { bothSides, RunningStream } from './support/stream.js';

describeDialects('loading', (dialect) => {
  it('a full sync ends although rows are appended all the time', async () => {
    await using pair = await createDatabasePair('load', dialect);
    await query(
      pair.primary.url,
      'CREATE TABLE growing (id int PRIMARY KEY); INSERT INTO growing SELECT generate_series(1, 3000)',
    );
    await using stream = await new RunningStream(pair).streaming();
    // Nobody on the primary has it: the purge has something to do, too.
    await query(pair.secondary.url, 'INSERT INTO growing VALUES (0)');
    let over = false;
    let next = 3001;
    const writing = [1, 2, 3, 4].map(() =>
      withClient(pair.primary.url, async (client) => {
        while (!over) {
          const from = next;
          next += 5;
          await client.query(`INSERT INTO growing SELECT generate_series(${from}, ${from + 4})`);
          // As fast as it goes the stream would be behind for long.
          if (dialect === 'cockroach') await sleep(20);
        }
      }),
    );
    try {
      await stream.streamer.resync({ schema: 'public', name: 'growing' });
      await waitFor(() => stream.log.entries.filter(({ message }) => /growing loaded/.test(message)).length === 2, {
        what: 'the full sync has ended',
        timeoutMs: 30_000,
      });
    } finally {
      over = true;
      await Promise.all(writing);
    }
    await stream.caughtUp();
    const { primary, secondary } = await bothSides(pair, 'growing');
    expect(secondary).toEqual(primary);
    expect(primary).toHaveLength(next - 1);
  }, 90_000);

  it('G5 a table that is published while a transaction is writing to it is loaded with what that has written', async () => {
    await using pair = await createDatabasePair('load', dialect);
    await query(
      pair.primary.url,
      `CREATE TABLE before (id int PRIMARY KEY); CREATE TABLE added (id int PRIMARY KEY, v text);
       CREATE TABLE bag (a int); ALTER TABLE bag REPLICA IDENTITY FULL; INSERT INTO added VALUES (0, 'there')`,
    );
    const names = ['before', 'added', 'bag'].map((name) => ({ schema: 'public', name }));
    await (await new RunningStream(pair, { tables: names.slice(0, 1) }).streaming()).stop();
    await withClient(pair.primary.url, async (writer) => {
      await writer.query(`BEGIN; INSERT INTO added VALUES (1, 'early'); INSERT INTO bag VALUES (1)`);
      await using stream = new RunningStream(pair, { tables: names });
      const published = async () =>
        (await query(pair.primary.url, `SELECT 1 FROM pg_publication_tables WHERE tablename IN ('added', 'bag')`))
          .length;
      await waitFor(async () => (await published()) === 2, { what: 'the tables are published' });
      await writer.query(`INSERT INTO added VALUES (2, 'late')`);
      // Those that come after it are not waited for.
      await query(pair.primary.url, `INSERT INTO added VALUES (3, 'other')`);
      const waits = () => stream.log.entries.filter(({ message }) => /waits for 1 open transactions/.test(message));
      await waitFor(() => waits().length === 2, { what: 'both loads say what they wait for', timeoutMs: 20_000 });
      await writer.query('COMMIT');
      await stream.streaming();
      await stream.caughtUp();
      for (const [table, rows] of [
        ['added', 4],
        ['bag', 1],
      ] as const) {
        const { primary, secondary } = await bothSides(pair, table);
        expect(primary).toHaveLength(rows);
        expect(secondary, table).toEqual(primary);
      }
    });
  }, 60_000);

  it('G5 a load under inserts, updates, key changes, deletes and truncates ends equal', async () => {
    await using pair = await createDatabasePair('load', dialect);
    await query(
      pair.primary.url,
      `CREATE TABLE big (id int PRIMARY KEY, v text, n int, toast text); ALTER TABLE big ALTER toast SET STORAGE EXTERNAL;
       INSERT INTO big SELECT i, 'v' || i, 0, CASE WHEN i % 100 = 0 THEN repeat(md5(i::text), 200) END FROM generate_series(1, 30000) i; ANALYZE big;
       CREATE TABLE bag (a int, b text); ALTER TABLE bag REPLICA IDENTITY FULL; INSERT INTO bag SELECT i % 100, 'b' FROM generate_series(1, 5000) i;
       CREATE TABLE cleared (id int PRIMARY KEY, v text); INSERT INTO cleared SELECT i, 'old' FROM generate_series(1, 20000) i`,
    );
    await using stream = new RunningStream(pair);
    const stop = new AbortController();
    const written = async (client: Client) => {
      const { rows } = await client.query<{ lsn: string }>('SELECT pg_current_wal_insert_lsn()::text AS lsn');
      return parseLsn(rows[0]?.lsn ?? '0/0');
    };
    const reached = async (lsn: Lsn) => {
      const applied = () => parseLsn(stream.streamer.snapshot().appliedLsn ?? '0/0');
      while (!stop.signal.aborted && applied() < lsn) await sleep(10);
    };
    const writer = async (seed: number) => {
      await withClient(pair.primary.url, async (client) => {
        for (let i = 0; !stop.signal.aborted; i++) {
          // Never more than a moment's writes ahead of the stream: the load waits for it at every chunk.
          if (i % 50 === 49) await reached(await written(client));
          const id = ((i * 7919 + seed * 104729) % 30000) + 1;
          await client.query(
            `UPDATE big SET n = n + 1 WHERE id IN (${id}, ${(id * 31) % 30000}, ${Math.ceil(id / 100) * 100})`,
          );
          if (i % 5 === 0) await client.query(`DELETE FROM big WHERE id = ${(id * 17) % 30000}`);
          if (i % 7 === 0) await client.query(`UPDATE big SET id = -id WHERE id = ${(id * 13) % 30000}`);
          if (i % 11 === 0) await client.query(`INSERT INTO big VALUES (${100_000 + i * 10 + seed}, 'new', 0, NULL)`);
          await client.query(
            `INSERT INTO bag VALUES (${i % 100}, 'w'); DELETE FROM bag WHERE ctid IN (SELECT ctid FROM bag WHERE a = ${(i * 3) % 100} LIMIT 1)`,
          );
          if (i % 150 === 20 && seed === 1)
            await client.query(
              `BEGIN; TRUNCATE cleared; INSERT INTO cleared SELECT g, 'after ${i}' FROM generate_series(1, 500) g; COMMIT`,
            );
        }
      });
    };
    const writers = [writer(1), writer(2)];
    try {
      // Two writers beside it on a small machine: the load takes its time.
      await stream.streaming(120_000);
    } finally {
      stop.abort();
      await Promise.all(writers);
    }
    await stream.caughtUp(60_000);
    for (const table of ['big', 'bag', 'cleared']) {
      const { primary, secondary } = await bothSides(pair, table);
      expect(secondary.length, table).toBe(primary.length);
      expect(secondary, table).toEqual(primary);
    }
  }, 200_000);

  it('an interrupted init-secondary resumes at its last finished chunk', async () => {
    await using pair = await createDatabasePair('resume', dialect);
    await query(
      pair.primary.url,
      `CREATE TABLE big (id int PRIMARY KEY, v text); INSERT INTO big SELECT i, repeat('x', 200) FROM generate_series(1, 100000) i; ANALYZE big`,
    );
    const env = {
      DATABASE_URL: pair.primary.url,
      DATABASE_URL_SECONDARY: pair.secondary.url,
      DB_SYNC_TABLES: 'big',
      DB_REPLICATION_SLOT: `dbr_${pair.primary.name}`,
    };
    const loaded = async () => {
      const rows = await query<{ n: string }>(
        pair.secondary.url,
        `SELECT coalesce(sum(rows), 0)::text AS n FROM db_redundancy.load_progress`,
      ).catch(() => []);
      return Number(rows[0]?.n ?? 0);
    };
    {
      await using first = await spawnCli(['init-secondary'], { env });
      await waitFor(async () => (await loaded()) > 10_000, { what: 'some chunks are loaded', timeoutMs: 30_000 });
      first.kill('SIGKILL');
      await first.exit;
    }
    const before = await loaded();
    expect(before).toBeGreaterThan(0);
    expect(before).toBeLessThan(100_000);
    await query(
      pair.primary.url,
      `UPDATE big SET v = 'changed while away' WHERE id % 1000 = 0; DELETE FROM big WHERE id % 1001 = 0`,
    );
    await using second = await spawnCli(['init-secondary', '--report', 'json'], { env });
    expect((await second.exit).code).toBe(0);
    const report = JSON.parse(second.output('stdout'));
    // Rows of the finished chunks are not loaded a second time: what is counted is every row once.
    expect(report.tables[0].rowsLoaded).toBeLessThanOrEqual(100_000);
    const { primary, secondary } = await bothSides(pair, 'big');
    expect(secondary).toEqual(primary);
  });
});
