/** SPEC section 4, "Schema drift", where the WAL says little: what a stream must neither miss nor stop at. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasOldestPrimary } from '../harness/oldest-primary.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { waitFor } from '../harness/wait.js';
import { bothSides, streamingPair } from './support/stream.js';

const DDL = `
CREATE TABLE other (id int PRIMARY KEY, v text); INSERT INTO other VALUES (0, 'first');
CREATE TABLE readded (id int PRIMARY KEY, x int, y text); INSERT INTO readded SELECT i, i, 'y' FROM generate_series(1, 5) i;
CREATE TABLE retyped (id int PRIMARY KEY, x int, y text); INSERT INTO retyped SELECT i, i, 'y' FROM generate_series(1, 5) i;
CREATE TABLE swapped (id int PRIMARY KEY, x text, y text); INSERT INTO swapped SELECT i, 'x', 'y' FROM generate_series(1, 5) i;
CREATE TABLE last (id int PRIMARY KEY, x int); INSERT INTO last SELECT i, i FROM generate_series(1, 5) i;
CREATE TABLE again (id int PRIMARY KEY, x int); INSERT INTO again SELECT i, i FROM generate_series(1, 5) i;
CREATE TABLE one (id int PRIMARY KEY, x int); INSERT INTO one SELECT i, i FROM generate_series(1, 5) i;
CREATE TABLE two (id int PRIMARY KEY, x int); INSERT INTO two SELECT i, i FROM generate_series(11, 15) i;
CREATE TABLE ident (id int PRIMARY KEY, x int NOT NULL); INSERT INTO ident SELECT i, i FROM generate_series(1, 5) i;
CREATE TABLE viewed (id int PRIMARY KEY, x int); INSERT INTO viewed SELECT i, i FROM generate_series(1, 5) i;
`;

/** Generated columns: an expression may be changed from PostgreSQL 17 on. */
const COMPUTED_DDL = `
CREATE TABLE computed (id int PRIMARY KEY, x int, g int GENERATED ALWAYS AS (x * 2) STORED); INSERT INTO computed SELECT i, i FROM generate_series(1, 5) i;
CREATE TABLE released (id int PRIMARY KEY, x int, g int GENERATED ALWAYS AS (x * 2) STORED); INSERT INTO released SELECT i, i FROM generate_series(1, 5) i;
`;

describeDialects('hostile schema drift', (dialect) => {
  let it_: Awaited<ReturnType<typeof streamingPair>>;
  beforeAll(async () => {
    it_ = await streamingPair(DDL + COMPUTED_DDL, { dialect });
  });
  afterAll(async () => {
    await it_?.[Symbol.asyncDispose]();
  });

  const stateOf = (name: string) => it_.stream.streamer.snapshot().tables.find((table) => table.name === name);

  /** In the end, not at once: some of this is noticed by looking at the primary every now and then. */
  async function expectSame(table: string): Promise<void> {
    await it_.stream.caughtUp();
    const same = async () => {
      expect(stateOf(table)).toMatchObject({ state: 'streaming' });
      const { primary, secondary } = await bothSides(it_.pair, table);
      expect(secondary).toEqual(primary);
      return true;
    };
    await waitFor(same, { what: `${table} is the same on both sides`, timeoutMs: 10_000 });
  }

  it('G9 passes by a table that was published, filled and dropped again before its changes came', async () => {
    await it_.primary(
      `CREATE TABLE moment (id int PRIMARY KEY); ALTER PUBLICATION db_redundancy ADD TABLE moment; INSERT INTO moment VALUES (1); DROP TABLE moment; INSERT INTO other VALUES (1, 'goes on')`,
    );
    await expectSame('other');
    expect(stateOf('moment')).toMatchObject({
      state: 'paused',
      reason: expect.stringMatching(/public\.moment does not exist on the primary/),
    });
  });

  it('G9 takes a column that was dropped and added again for another one', async () => {
    await it_.primary(
      `BEGIN; UPDATE readded SET x = 70 WHERE id = 1; ALTER TABLE readded DROP COLUMN x; ALTER TABLE readded ADD COLUMN x int DEFAULT 0; INSERT INTO readded VALUES (10, 'y', 7); COMMIT`,
    );
    await expectSame('readded');
  });

  it('G9 goes on where it was added again with another type', async () => {
    await it_.primary(
      `BEGIN; UPDATE retyped SET x = 70 WHERE id = 1; ALTER TABLE retyped DROP COLUMN x; ALTER TABLE retyped ADD COLUMN x text DEFAULT 'd'; INSERT INTO retyped VALUES (10, 'y', 'new'); COMMIT`,
    );
    await expectSame('retyped');
  });

  it('G9 follows two columns of one type that swap their names', async () => {
    await it_.primary(
      `BEGIN; UPDATE swapped SET x = 'was x' WHERE id = 1; ALTER TABLE swapped RENAME x TO z; ALTER TABLE swapped RENAME y TO x; ALTER TABLE swapped RENAME z TO y; UPDATE swapped SET x = 'is x' WHERE id = 2; COMMIT`,
    );
    await expectSame('swapped');
  });

  /** So that the tables have been seen as they were. */
  const seen = () =>
    waitFor(
      async () => {
        const rows = await it_.secondary('SELECT 1 FROM db_redundancy.tables WHERE partitions IS NULL AND state = $1', [
          'streaming',
        ]);
        return rows.length === 0;
      },
      { what: 'every table was looked at' },
    );

  it('G9 notices that the last column was dropped and added again, which looks the same', async () => {
    await seen();
    await it_.primary(
      'ALTER TABLE last DROP COLUMN x; ALTER TABLE last ADD COLUMN x int DEFAULT 0; INSERT INTO last VALUES (10, 7)',
    );
    await expectSame('last');
  });

  it('G9 notices that a table was dropped and created again under its name', async () => {
    await seen();
    await it_.primary(
      'BEGIN; DROP TABLE again; CREATE TABLE again (id int PRIMARY KEY, x int); ALTER PUBLICATION db_redundancy ADD TABLE again; INSERT INTO again VALUES (10, 7); COMMIT',
    );
    await expectSame('again');
  });

  it('G9 notices that two tables have swapped their names', async () => {
    await seen();
    await it_.primary(
      'BEGIN; ALTER TABLE one RENAME TO three; ALTER TABLE two RENAME TO one; ALTER TABLE three RENAME TO two; INSERT INTO one VALUES (20, 7); COMMIT',
    );
    await expectSame('one');
    await expectSame('two');
  });

  it.skipIf(dialect === 'cockroach')('G9 notices that a generated column has another expression', async () => {
    await seen();
    await it_.primary('ALTER TABLE computed ALTER g SET EXPRESSION AS (x * 3); INSERT INTO computed VALUES (9, 1)');
    await expectSame('computed');
  });

  it('G9 takes the values of a column that is no longer generated', async () => {
    // Where the primary publishes generated columns the WAL looks the same before and after.
    await seen();
    await it_.primary(
      'BEGIN; UPDATE released SET x = 50 WHERE id = 2; ALTER TABLE released ALTER g DROP EXPRESSION; UPDATE released SET g = 77 WHERE id = 1; INSERT INTO released VALUES (9, 1, 1); COMMIT',
    );
    await expectSame('released');
  });

  it('G9 goes on when the replica identity moves to an index that the secondary does not have', async () => {
    await it_.primary(
      'CREATE UNIQUE INDEX ident_x ON ident (x); ALTER TABLE ident REPLICA IDENTITY USING INDEX ident_x; UPDATE ident SET x = 50 WHERE id = 1; UPDATE ident SET id = 60 WHERE id = 2; DELETE FROM ident WHERE id = 3',
    );
    await expectSame('ident');
  });

  it('G9 pauses only the table whose change the secondary refuses to follow', async () => {
    await it_.secondary('CREATE VIEW in_the_way AS SELECT x FROM viewed');
    await it_.primary(
      `ALTER TABLE viewed DROP COLUMN x; INSERT INTO viewed VALUES (10); INSERT INTO other VALUES (2, 'goes on')`,
    );
    await expectSame('other');
    expect(stateOf('viewed')).toMatchObject({
      state: 'paused',
      reason: expect.stringMatching(
        /^column x was dropped on the primary, which the secondary refuses to follow: .*view/,
      ),
    });
    await it_.secondary('DROP VIEW in_the_way');
    await it_.stream.streamer.resync({ schema: 'public', name: 'viewed' });
    const ids = 'SELECT id FROM viewed ORDER BY id';
    const same = async () => {
      expect(await it_.secondary(ids)).toEqual(await it_.primary(ids));
      return stateOf('viewed')?.state === 'streaming';
    };
    await waitFor(same, { what: 'viewed has the same rows' });
  });
});

describe.skipIf(!hasOldestPrimary)('hostile schema drift, from PostgreSQL 14', () => {
  it('G9 takes the values of a column that is no longer generated', async () => {
    await using it_ = await streamingPair(COMPUTED_DDL, { primary: 'oldest' });
    await it_.primary(
      'BEGIN; UPDATE released SET x = 50 WHERE id = 2; ALTER TABLE released ALTER g DROP EXPRESSION; UPDATE released SET g = 77 WHERE id = 1; INSERT INTO released VALUES (9, 1, 1); COMMIT',
    );
    await it_.stream.caughtUp();
    const same = async () => {
      const { primary, secondary } = await bothSides(it_.pair, 'released');
      expect(secondary).toEqual(primary);
      return true;
    };
    await waitFor(same, { what: 'released is the same on both sides' });
  });
});
