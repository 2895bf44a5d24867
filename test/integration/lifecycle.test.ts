/** What happens to a stream over its life: slots lost and replaced, leaders that change, rows that are refused. */
import { expect, it } from 'vitest';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { bothSides, RunningStream, streamingPair, streamNames } from './support/stream.js';

const DDL = `CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE, v text); INSERT INTO t SELECT i, i, 'v' FROM generate_series(1, 3000) i;
  CREATE TABLE bag (a int, b text); ALTER TABLE bag REPLICA IDENTITY FULL; INSERT INTO bag SELECT i % 5, 'b' FROM generate_series(1, 50) i;`;

describeDialects('life of a stream', (dialect) => {
  type Pair = Awaited<ReturnType<typeof streamingPair>>;

  async function expectEqual(it_: Pair): Promise<void> {
    for (const table of ['t', 'bag']) {
      const { primary, secondary } = await bothSides(it_.pair, table);
      expect(secondary, table).toEqual(primary);
    }
  }

  /** What is written while nobody streams: deletes, updates, inserts, and a unique value that moves to another row. */
  const MEANWHILE = `DELETE FROM t WHERE id BETWEEN 100 AND 200; UPDATE t SET v = 'changed' WHERE id < 50; INSERT INTO t VALUES (9000, 150, 'took the unique value of a deleted row');
    DELETE FROM bag WHERE a = 1; INSERT INTO bag VALUES (99, 'new')`;

  it('G2 a slot that was lost starts a full sync, loudly: missing, changed and deleted rows are put right', async () => {
    await using it_ = await streamingPair(DDL, { dialect });
    await it_.stream.stop();
    await it_.primary('SELECT pg_drop_replication_slot($1)', [streamNames(it_.pair).slot]);
    await it_.primary(MEANWHILE);
    await using again = await new RunningStream(it_.pair).streaming();
    await again.caughtUp();
    expect(again.log.entries.find((entry) => entry.level === 'error')?.message).toMatch(
      /Changes may be missing, because the replication slot is missing/,
    );
    expect(again.streamer.counters.fullSyncs).toBe(1);
    await expectEqual(it_);
  });

  it('G2 a slot that was replaced is not taken for the old one', async () => {
    await using it_ = await streamingPair(DDL, { dialect });
    await it_.stream.stop();
    const { slot } = streamNames(it_.pair);
    await it_.primary('SELECT pg_drop_replication_slot($1)', [slot]);
    await it_.primary(MEANWHILE);
    await it_.primary(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [slot]);
    await using again = await new RunningStream(it_.pair).streaming();
    await again.caughtUp();
    expect(
      again.log.entries.some((entry) => /past the checkpoint .* it was replaced or moved/.test(entry.message)),
    ).toBe(true);
    await expectEqual(it_);
  });

  it('G2 a secondary restored from an older copy, and a primary restored from one, are noticed', async () => {
    await using it_ = await streamingPair(DDL, { dialect });
    await it_.stream.caughtUp();
    await it_.stream.stop();
    await it_.secondary(`UPDATE db_redundancy.checkpoint SET lsn = '0/1'; `);
    await it_.secondary(`DELETE FROM t WHERE id > 2000`);
    {
      await using again = await new RunningStream(it_.pair).streaming();
      await again.caughtUp();
      expect(
        again.log.entries.some((entry) => /the secondary was restored from an older copy/.test(entry.message)),
      ).toBe(true);
      await expectEqual(it_);
      await again.stop();
    }
    await it_.secondary(`UPDATE db_redundancy.checkpoint SET lsn = 'FFFF/0'`);
    await it_.secondary(`INSERT INTO t VALUES (77777, 77777, 'only here')`);
    await using third = await new RunningStream(it_.pair).streaming();
    await third.caughtUp();
    expect(
      third.log.entries.some((entry) =>
        /before the checkpoint FFFF\/0: it was restored from an older copy/.test(entry.message),
      ),
    ).toBe(true);
    await expectEqual(it_);
  });

  it('G9 notices that the publication, or a table of it, is gone (PostgreSQL 18 passes over every change silently)', async () => {
    await using it_ = await streamingPair(DDL, { dialect });
    const noticed = async (sql: string, change: string) => {
      await it_.primary(sql);
      await it_.primary(change);
      await waitFor(
        async () => {
          await expectEqual(it_);
          return it_.stream.streamer.snapshot().status === 'streaming';
        },
        { what: `both sides are equal again after ${sql}` },
      );
    };
    await noticed(
      'ALTER PUBLICATION db_redundancy DROP TABLE t',
      `UPDATE t SET v = 'while unpublished' WHERE id < 20; DELETE FROM t WHERE id = 30`,
    );
    await noticed(
      'DROP PUBLICATION db_redundancy',
      `UPDATE t SET v = 'without publication' WHERE id < 20; INSERT INTO bag VALUES (5, 'unseen')`,
    );
    await noticed(
      'ALTER PUBLICATION db_redundancy SET TABLE t WHERE (id > 100000), bag',
      `UPDATE t SET v = 'filtered out' WHERE id < 20; INSERT INTO t VALUES (7000, 7000, 'filtered out')`,
    );
    await noticed(
      'ALTER PUBLICATION db_redundancy SET TABLE t (id), bag',
      `UPDATE t SET v = 'not in the list' WHERE id < 20; INSERT INTO t VALUES (7001, 7001, 'not in the list')`,
    );
    await noticed(
      `ALTER PUBLICATION db_redundancy SET (publish = 'insert')`,
      `UPDATE t SET v = 'not an insert' WHERE id < 20; DELETE FROM t WHERE id = 31`,
    );
    expect(
      it_.stream.log.entries.filter((entry) => /does not publish .* any more/.test(entry.message)).length,
    ).toBeGreaterThanOrEqual(2);
  });

  it('G9 compares a table that was not published while no process ran', async () => {
    await using it_ = await streamingPair(DDL, { dialect });
    await it_.stream.stop();
    await it_.primary('ALTER PUBLICATION db_redundancy DROP TABLE t');
    await it_.primary(`UPDATE t SET v = 'while nobody looked' WHERE id < 20; DELETE FROM t WHERE id = 30`);
    await using again = new RunningStream(it_.pair);
    await again.streaming();
    await again.caughtUp();
    await expectEqual(it_);
  });

  it('a second process stands by and takes over within seconds; the former leader cannot write any more', async () => {
    await using it_ = await streamingPair(DDL, { dialect });
    await using second = new RunningStream(it_.pair);
    await waitFor(() => second.streamer.snapshot().status === 'standby', { what: 'the second stands by' });
    expect(second.streamer.ready().ready).toBe(true);
    const started = Date.now();
    await it_.stream.stop();
    await second.streaming();
    expect(Date.now() - started).toBeLessThan(10_000);
    await it_.primary(`UPDATE t SET v = 'after take-over' WHERE id = 1`);
    await second.caughtUp();
    await expectEqual(it_);
    expect(second.streamer.snapshot().epoch).toBe(2);
  });

  it('G3 a leader whose epoch was taken is fenced: its transaction rolls back and it starts over', async () => {
    await using it_ = await streamingPair(DDL, { dialect });
    await it_.stream.caughtUp();
    await it_.secondary(`UPDATE db_redundancy.checkpoint SET epoch = epoch + 10, leader = 'somebody else'`);
    await it_.primary(`UPDATE t SET v = 'fenced?' WHERE id = 2`);
    await waitFor(() => it_.stream.log.entries.some((entry) => entry.message.startsWith('Stream interrupted')), {
      what: 'the leader notices',
    });
    await it_.stream.streaming();
    await it_.stream.caughtUp();
    expect(it_.stream.streamer.snapshot().epoch).toBe(12);
    await expectEqual(it_);
  });

  it('G9 a refused row is kept as a dead letter, its table is paused, others go on, and db:sync brings it back', async () => {
    await using it_ = await streamingPair(DDL, { dialect });
    await it_.secondary(`ALTER TABLE t ADD CONSTRAINT never CHECK (v <> 'refused')`);
    await it_.primary(
      `BEGIN; INSERT INTO t VALUES (5001, 5001, 'fine'); UPDATE t SET v = 'refused' WHERE id = 7; INSERT INTO bag VALUES (1000, 'same transaction'); COMMIT`,
    );
    await it_.primary(`INSERT INTO t VALUES (5002, 5002, 'skipped'); INSERT INTO bag VALUES (1001, 'later')`);
    await it_.stream.caughtUp();
    const snapshot = it_.stream.streamer.snapshot();
    expect(snapshot.tables.find((table) => table.name === 't')).toMatchObject({
      state: 'paused',
      reason: expect.stringMatching(/^an update was refused by the secondary/),
    });
    expect(snapshot).toMatchObject({ deadLetters: 1, dropped: 0 });
    const letters = await it_.secondary(
      'SELECT operation, change, sqlstate, table_name FROM db_redundancy.dead_letters',
    );
    expect(letters).toMatchObject([{ operation: 'update', sqlstate: '23514', table_name: 't' }]);
    expect(JSON.parse(String(letters[0]?.change))).toMatchObject({ new: { id: '7', v: 'refused' } });
    const { primary, secondary } = await bothSides(it_.pair, 'bag');
    expect(secondary).toEqual(primary);
    expect(await it_.secondary('SELECT id FROM t WHERE id IN (5001, 5002)')).toHaveLength(1);
    await it_.secondary(`ALTER TABLE t DROP CONSTRAINT never`);
    await it_.stream.streamer.resync({ schema: 'public', name: 't' });
    await it_.stream.streaming();
    await it_.stream.caughtUp();
    await expectEqual(it_);
  });

  it('G9 with DB_APPLY_ON_ERROR=halt the stream stops with the row and goes on when it is mended', async () => {
    await using it_ = await streamingPair(DDL, { dialect, onError: 'halt' });
    await it_.secondary(`ALTER TABLE t ADD CONSTRAINT never CHECK (v <> 'refused')`);
    await it_.primary(`UPDATE t SET v = 'refused' WHERE id = 7`);
    await waitFor(() => it_.stream.streamer.snapshot().status === 'error', { what: 'the stream halts' });
    expect(it_.stream.streamer.snapshot().detail).toMatch(/refused an update on public\.t/);
    expect(it_.stream.streamer.ready().ready).toBe(false);
    await it_.secondary(`ALTER TABLE t DROP CONSTRAINT never`);
    await it_.stream.caughtUp(40_000);
    await expectEqual(it_);
  });

  it('keeps rows that are not there from being lost: a patch that finds no row reads it again', async () => {
    await using it_ = await streamingPair(
      `CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE, v text); ALTER TABLE t ALTER v SET STORAGE EXTERNAL; CREATE TABLE bag (a int, b text); ALTER TABLE bag REPLICA IDENTITY FULL;
       INSERT INTO t SELECT i, i, repeat(md5(i::text), 300) FROM generate_series(1, 10) i`,
      { dialect },
    );
    await it_.secondary('DELETE FROM t WHERE id = 5');
    await it_.primary('UPDATE t SET u = 500 WHERE id = 5');
    await waitFor(
      async () =>
        (await query(it_.pair.secondary.url, 'SELECT 1 FROM t WHERE id = 5 AND length(v) > 1000')).length === 1,
      { what: 'the row is back' },
    );
    expect(it_.stream.streamer.counters.missingRowsRepaired).toBe(1);
    await expectEqual(it_);
  });
});
