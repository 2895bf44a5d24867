/** SPEC section 4, "Schema drift": columns and tables change while the stream runs. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeDialects } from '../harness/secondary-dialects.js';
import { waitFor } from '../harness/wait.js';
import { bothSides, streamingPair } from './support/stream.js';

const DDL = `
CREATE TABLE added (id int PRIMARY KEY, v text); INSERT INTO added SELECT i, 'v' FROM generate_series(1, 10) i;
CREATE TABLE renamed (id int PRIMARY KEY, before text, keep int); INSERT INTO renamed SELECT i, 'v' || i, i FROM generate_series(1, 10) i;
CREATE TABLE dropped (id int PRIMARY KEY, gone int NOT NULL, stay text); INSERT INTO dropped SELECT i, i, 's' FROM generate_series(1, 10) i;
CREATE TABLE widened (id int PRIMARY KEY, s varchar(5), n int); INSERT INTO widened VALUES (1, 'abc', 1);
CREATE TABLE retyped (id int PRIMARY KEY, v text); INSERT INTO retyped SELECT i, i::text FROM generate_series(1, 10) i;
CREATE TABLE volatile (id int PRIMARY KEY); INSERT INTO volatile SELECT generate_series(1, 200);
CREATE TABLE nullable (id int PRIMARY KEY, v text NOT NULL); INSERT INTO nullable VALUES (1, 'x');
CREATE TYPE color AS ENUM ('red'); CREATE TABLE labels (id int PRIMARY KEY, c color); INSERT INTO labels VALUES (1, 'red');
CREATE TABLE both_shapes (id int PRIMARY KEY, v text);
CREATE TABLE other (id int PRIMARY KEY, v text);
`;

describeDialects('schema drift', (dialect) => {
  let it_: Awaited<ReturnType<typeof streamingPair>>;
  beforeAll(async () => {
    it_ = await streamingPair(DDL, { dialect });
  });
  afterAll(async () => {
    await it_?.[Symbol.asyncDispose]();
  });

  const stateOf = (name: string) => it_.stream.streamer.snapshot().tables.find((table) => table.name === name);

  async function expectSame(table: string): Promise<void> {
    await it_.stream.caughtUp();
    await waitFor(() => stateOf(table)?.state === 'streaming', {
      what: `${table} streams; it is ${JSON.stringify(stateOf(table))}`,
    });
    // CockroachDB may show a reader the former shape for a moment after a schema change.
    const same = async () => {
      const { primary, secondary } = await bothSides(it_.pair, table);
      expect(secondary).toEqual(primary);
      return true;
    };
    await waitFor(same, { what: `${table} is the same on both sides`, timeoutMs: 5000 });
  }

  it('adds a new column by itself, with the value that older rows have', async () => {
    await it_.primary(
      `ALTER TABLE added ADD COLUMN plain int, ADD COLUMN def text DEFAULT 'it''s', ADD COLUMN nn int NOT NULL DEFAULT 5`,
    );
    await it_.primary(
      `INSERT INTO added (id, v, plain) VALUES (11, 'new', 1); UPDATE added SET def = 'changed' WHERE id = 3`,
    );
    await expectSame('added');
  });

  it('follows a renamed column', async () => {
    await it_.primary(
      `UPDATE renamed SET before = 'u' WHERE id = 1; ALTER TABLE renamed RENAME COLUMN before TO after; UPDATE renamed SET after = 'w' WHERE id = 2; INSERT INTO renamed VALUES (20, 'x', 1)`,
    );
    await expectSame('renamed');
  });

  it('follows a dropped column, also one that was NOT NULL', async () => {
    await it_.primary(
      `ALTER TABLE dropped DROP COLUMN gone; INSERT INTO dropped VALUES (30, 'without'); UPDATE dropped SET stay = 't' WHERE id = 4`,
    );
    await expectSame('dropped');
  });

  it('follows a widened type', async () => {
    await it_.primary(
      `ALTER TABLE widened ALTER s TYPE varchar(50), ALTER n TYPE bigint; INSERT INTO widened VALUES (2, repeat('y', 40), 5000000000)`,
    );
    await expectSame('widened');
  });

  it('reads a table again whose rows got volatile defaults', async () => {
    await it_.primary(
      `ALTER TABLE volatile ADD COLUMN u uuid NOT NULL DEFAULT gen_random_uuid(); INSERT INTO volatile (id) VALUES (1000)`,
    );
    await it_.stream.caughtUp();
    await expectSame('volatile');
  });

  it('lets a column be NULL that may be on the primary now, and takes a new enum label', async () => {
    await it_.primary(`ALTER TABLE nullable ALTER v DROP NOT NULL; INSERT INTO nullable VALUES (2, NULL)`);
    await expectSame('nullable');
    await it_.primary(`ALTER TYPE color ADD VALUE 'blue'`);
    await it_.primary(`INSERT INTO labels VALUES (2, 'blue')`);
    await expectSame('labels');
  });

  it('pauses only the table that cannot be followed, says what changed and which command mends it, and is brought back by it', async () => {
    await it_.primary(
      `ALTER TABLE retyped ALTER v TYPE int USING v::int; INSERT INTO retyped VALUES (11, 11); INSERT INTO other VALUES (1, 'goes on')`,
    );
    await it_.stream.caughtUp();
    const paused = stateOf('retyped');
    expect(paused?.state).toBe('paused');
    expect(paused?.reason).toMatch(/column v changed from text to integer/);
    expect(it_.stream.log.entries.some((entry) => /db:sync -- --table public\.retyped/.test(entry.message))).toBe(true);
    await expectSame('other');
    await it_.primary(`UPDATE retyped SET v = 100 WHERE id = 1; DELETE FROM retyped WHERE id = 2`);
    await it_.stream.caughtUp();
    await it_.stream.streamer.resync({ schema: 'public', name: 'retyped' });
    await expectSame('retyped');
    await it_.primary(`UPDATE retyped SET v = 200 WHERE id = 3`);
    await expectSame('retyped');
  });

  it('takes a change of shape in the middle of a transaction', async () => {
    await it_.primary(
      `BEGIN; INSERT INTO both_shapes VALUES (1, 'old'); ALTER TABLE both_shapes ADD COLUMN w int; INSERT INTO both_shapes VALUES (2, 'new', 2); UPDATE both_shapes SET w = 1 WHERE id = 1; COMMIT`,
    );
    await expectSame('both_shapes');
  });

  it('creates and loads a table that is added to the publication, found by its first change', async () => {
    await it_.primary(
      `CREATE TABLE later (id int PRIMARY KEY, v text); INSERT INTO later SELECT i, 'before' FROM generate_series(1, 100) i; ALTER PUBLICATION db_redundancy ADD TABLE later; INSERT INTO later VALUES (101, 'after')`,
    );
    await waitFor(() => stateOf('later') !== undefined, { what: 'the table is discovered' });
    await expectSame('later');
  });
});
