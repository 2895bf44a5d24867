/** What becomes of partitions while streaming, where the WAL says nothing of it: rows are never missing without a word. */
import { expect, it } from 'vitest';
import { createDatabasePair } from '../harness/cluster.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query, withClient } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { bothSides, RunningStream, streamingPair } from './support/stream.js';

const COLUMNS = 'id int, region text, v text, PRIMARY KEY (id, region)';
const DDL = `
CREATE TABLE part (${COLUMNS}) PARTITION BY LIST (region);
CREATE TABLE part_eu PARTITION OF part FOR VALUES IN ('eu'); INSERT INTO part SELECT i, 'eu', 'v' FROM generate_series(1, 20) i;
CREATE TABLE part_us PARTITION OF part FOR VALUES IN ('us'); INSERT INTO part SELECT i, 'us', 'v' FROM generate_series(1, 20) i;
CREATE TABLE alone (${COLUMNS}); INSERT INTO alone SELECT i, 'asia', 'v' FROM generate_series(1, 20) i;
CREATE TABLE other (id int PRIMARY KEY, v text);
`;

const stateOf = (stream: RunningStream, name: string) =>
  stream.streamer.snapshot().tables.find((table) => table.name === name);

async function expectSame(pair: Parameters<typeof bothSides>[0], stream: RunningStream, name: string): Promise<void> {
  const same = async () => {
    expect(stateOf(stream, name)).toMatchObject({ state: 'streaming' });
    const { primary, secondary } = await bothSides(pair, name);
    expect(secondary).toEqual(primary);
    return true;
  };
  await waitFor(same, { what: `${name} is the same on both sides`, timeoutMs: 30_000 });
}

describeDialects('partitions while streaming', (dialect) => {
  // What these look at is the primary's side of it, and CockroachDB takes its time for tables and for 30 MB.
  const onPrimaryOnly = it.skipIf(dialect === 'cockroach');

  it('G9 a table that streams by itself and becomes a partition is paused with the reason, and its rows are in the root', async () => {
    await using it_ = await streamingPair(DDL, { dialect });
    const { pair, stream } = it_;
    await it_.primary(`UPDATE alone SET v = 'by itself' WHERE id = 1; UPDATE part SET v = 'seen' WHERE id = 1`);
    await stream.caughtUp();
    await expectSame(pair, stream, 'part');
    await it_.primary(
      `ALTER TABLE part ATTACH PARTITION alone FOR VALUES IN ('asia'); UPDATE part SET v = 'through the root' WHERE id = 2; INSERT INTO other VALUES (1, 'goes on')`,
    );
    await expectSame(pair, stream, 'part');
    expect((await it_.secondary(`SELECT id FROM part WHERE region = 'asia'`)).length).toBe(20);
    expect(stateOf(stream, 'alone')).toMatchObject({
      state: 'paused',
      reason: 'it is a partition of public.part now, which is published in its place and has its rows',
    });
    expect(stream.log.entries.map((entry) => entry.message)).toContainEqual(
      expect.stringMatching(/^public\.part: its partition alone was attached with rows, which the WAL does not carry/),
    );
    await expectSame(pair, stream, 'other');
    // Detached, it is a table of its own again, and the root has its rows no more.
    await it_.primary(`ALTER TABLE part DETACH PARTITION alone; UPDATE alone SET v = 'by itself again' WHERE id = 3`);
    const emptied = async () => (await it_.secondary(`SELECT 1 FROM part WHERE region = 'asia'`)).length === 0;
    await waitFor(emptied, { what: 'the rows of the detached partition are gone' });
    await stream.streamer.resync({ schema: 'public', name: 'alone' });
    await expectSame(pair, stream, 'alone');
    await expectSame(pair, stream, 'part');
  });

  onPrimaryOnly(
    'G9 what was attached, detached or absorbed while no process ran is put right by the next one',
    async () => {
      await using it_ = await streamingPair(DDL, { dialect });
      const seen = async () =>
        (await it_.secondary('SELECT 1 FROM db_redundancy.tables WHERE partitions IS NULL')).length === 0;
      await waitFor(seen, { what: 'every table was looked at' });
      await it_.stream.stop();
      await it_.primary(
        `ALTER TABLE part ATTACH PARTITION alone FOR VALUES IN ('asia'); ALTER TABLE part DETACH PARTITION part_us; INSERT INTO other VALUES (1, 'goes on')`,
      );
      await using again = await new RunningStream(it_.pair, { tables: '*' }).streaming();
      await expectSame(it_.pair, again, 'part');
      await expectSame(it_.pair, again, 'other');
      expect(stateOf(again, 'alone')).toMatchObject({ state: 'paused' });
    },
  );

  onPrimaryOnly(
    'G9 a partition that is attached while the table loads, with rows that the load has passed, is not missing',
    async () => {
      await using pair = await createDatabasePair('attached', dialect);
      await query(
        pair.primary.url,
        `CREATE TABLE part (${COLUMNS}) PARTITION BY LIST (region); CREATE TABLE part_eu PARTITION OF part FOR VALUES IN ('eu'); ALTER TABLE part_eu ALTER v SET STORAGE EXTERNAL;
       INSERT INTO part SELECT i, 'eu', repeat('x', 500000) FROM generate_series(1, 60) i;
       CREATE TABLE late (${COLUMNS}); INSERT INTO late SELECT -i, 'late', 'v' FROM generate_series(1, 20) i`,
      );
      await using stream = new RunningStream(pair, { tables: [{ schema: 'public', name: 'part' }] });
      const begun = async () => (await query(pair.secondary.url, 'SELECT 1 FROM part LIMIT 1')).length > 0;
      await waitFor(begun, { what: 'the first chunk is there', timeoutMs: 30_000 });
      await withClient(pair.primary.url, async (client) => {
        await client.query('BEGIN; LOCK TABLE part_eu IN ACCESS EXCLUSIVE MODE');
        expect(stateOf(stream, 'part')).toMatchObject({ state: 'loading' });
        await client.query(`ALTER TABLE part ATTACH PARTITION late FOR VALUES IN ('late'); COMMIT`);
      });
      const there = async () => (await query(pair.secondary.url, `SELECT 1 FROM part WHERE id < 0`)).length === 20;
      await waitFor(there, { what: 'the rows of the attached partition are there', timeoutMs: 30_000 });
    },
  );

  it('G9 a partition that names its rows in another way pauses the table before a moved row is left behind', async () => {
    await using it_ = await streamingPair(DDL, { dialect });
    await it_.primary(
      `ALTER TABLE part_eu ALTER v SET NOT NULL; UPDATE part SET v = v || id; CREATE UNIQUE INDEX part_eu_v ON part_eu (v); ALTER TABLE part_eu REPLICA IDENTITY USING INDEX part_eu_v`,
    );
    await waitFor(() => stateOf(it_.stream, 'part')?.state === 'paused', { what: 'the table is paused' });
    expect(stateOf(it_.stream, 'part')?.reason).toMatch(/^its partition part_eu names rows by another index/);
    await it_.primary(`UPDATE part_eu SET id = 1000 WHERE id = 1; ALTER TABLE part_eu REPLICA IDENTITY DEFAULT`);
    await it_.stream.streamer.resync({ schema: 'public', name: 'part' });
    await expectSame(it_.pair, it_.stream, 'part');
  });
});
