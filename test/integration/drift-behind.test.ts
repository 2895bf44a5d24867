/** The primary's schema is ahead of the stream: changed while a batch is under way, or while a table loads. */
import { describe, expect, it } from 'vitest';
import { createDatabasePair } from '../harness/cluster.js';
import { hasOldestPrimary } from '../harness/oldest-primary.js';
import { query, withClient } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { bothSides, RunningStream, streamingPair } from './support/stream.js';

type Pair = Awaited<ReturnType<typeof streamingPair>>;

/** Runs `work` while the stream cannot write to the table on the secondary. */
async function whileLocked({ pair }: Pair, table: string, work: () => Promise<void>): Promise<void> {
  await withClient(pair.secondary.url, async (client) => {
    await client.query(`BEGIN; LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`);
    await work();
    await client.query('COMMIT');
  });
}

/** A batch of the stream has come as far as the lock. */
const waiting = ({ secondary }: Pair) =>
  waitFor(
    async () =>
      (
        await secondary(
          `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`,
        )
      ).length > 0,
    { what: 'the stream waits for the lock' },
  );

async function expectSame({ pair, stream }: Pair, table: string): Promise<void> {
  await stream.caughtUp(40_000);
  const same = async () => {
    const { primary, secondary } = await bothSides(pair, table);
    expect(secondary).toEqual(primary);
    return stream.streamer.snapshot().status === 'streaming';
  };
  await waitFor(same, { what: `${table} is the same on both sides` });
}

describe('a schema that is ahead of the stream', () => {
  it('G9 reads a table again whose new column was found because rows were refused', async () => {
    await using it_ = await streamingPair(
      `CREATE TYPE mood AS ENUM ('old'); CREATE TABLE t (id int PRIMARY KEY, m mood); INSERT INTO t SELECT i, 'old' FROM generate_series(1, 10) i`,
    );
    await whileLocked(it_, 't', async () => {
      await it_.primary(`ALTER TYPE mood ADD VALUE 'new'`);
      await it_.primary(`INSERT INTO t VALUES (11, 'new')`);
      await waiting(it_);
      await it_.primary('ALTER TABLE t ADD COLUMN u uuid DEFAULT gen_random_uuid()');
    });
    await expectSame(it_, 't');
  });

  it('G9 loads a table again that got a column of unknown values while it was loading', async () => {
    await using pair = await createDatabasePair('behind');
    await query(
      pair.primary.url,
      `CREATE TABLE wide (id int PRIMARY KEY, big text); ALTER TABLE wide ALTER big SET STORAGE EXTERNAL; INSERT INTO wide SELECT i, repeat('x', 500000) FROM generate_series(1, 100) i`,
    );
    await using stream = new RunningStream(pair);
    const begun = async () => (await query(pair.secondary.url, 'SELECT 1 FROM wide LIMIT 1')).length > 0;
    await waitFor(begun, { what: 'the first chunk is there' });
    await query(
      pair.primary.url,
      'ALTER TABLE wide ADD COLUMN u uuid DEFAULT gen_random_uuid(); UPDATE wide SET id = id WHERE id = 50',
    );
    await stream.streaming();
    await stream.caughtUp();
    const same = async () => {
      const sql = 'SELECT id, u FROM wide ORDER BY id';
      expect(await query(pair.secondary.url, sql)).toEqual(await query(pair.primary.url, sql));
      return true;
    };
    await waitFor(same, { what: 'the new column has its values' });
  });

  it.skipIf(!hasOldestPrimary)('G9 never fills a generated column with the value of another one', async () => {
    await using it_ = await streamingPair(
      `CREATE FUNCTION shout(t text) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT upper(t) || '!' $$;
       CREATE TYPE mood AS ENUM ('old');
       CREATE TABLE t (id int PRIMARY KEY, m mood, a text GENERATED ALWAYS AS (shout('a')) STORED, b text GENERATED ALWAYS AS (shout('b')) STORED);
       INSERT INTO t SELECT i, 'old' FROM generate_series(1, 10) i`,
      { primary: 'oldest' },
    );
    await whileLocked(it_, 't', async () => {
      await it_.primary(`ALTER TYPE mood ADD VALUE 'new'`);
      await it_.primary(`INSERT INTO t VALUES (11, 'new')`);
      await waiting(it_);
      await it_.primary('ALTER TABLE t DROP COLUMN a');
    });
    await it_.stream.caughtUp(40_000);
    expect(await it_.secondary('SELECT b FROM t WHERE id = 11')).toEqual([{ b: 'B!' }]);
  });
});

describe('a unique rule that only the secondary has', () => {
  const DDL = `CREATE TABLE t (id int PRIMARY KEY, x int, big text); ALTER TABLE t ALTER big SET STORAGE EXTERNAL;
    INSERT INTO t SELECT i, i, repeat('x', 500000) FROM generate_series(1, 30) i`;

  it('G9 never costs a row that the primary has: a load is refused', async () => {
    await using pair = await createDatabasePair('behind');
    await query(pair.primary.url, `${DDL}; INSERT INTO t VALUES (99, 1, 'the same x as the first')`);
    await query(pair.secondary.url, 'CREATE TABLE t (id int PRIMARY KEY, x int UNIQUE, big text)');
    await using stream = new RunningStream(pair);
    const state = () => stream.streamer.snapshot().tables.find((table) => table.name === 't');
    await waitFor(() => state()?.state === 'paused', { what: 'the table is paused' });
    expect(state()?.reason).toMatch(/duplicate key value violates unique constraint/);
  });

  it('G9 goes when it was dropped on the primary and the table is ordered to be made equal', async () => {
    await using it_ = await streamingPair(`${DDL}; ALTER TABLE t ADD CONSTRAINT once UNIQUE (x)`);
    await it_.primary(`ALTER TABLE t DROP CONSTRAINT once; INSERT INTO t VALUES (99, 1, 'the same x as the first')`);
    const state = () => it_.stream.streamer.snapshot().tables.find((table) => table.name === 't')?.state;
    await waitFor(() => state() === 'paused', { what: 'the table is paused' });
    await it_.stream.streamer.resync({ schema: 'public', name: 't' });
    await expectSame(it_, 't');
  });
});
