/** Constraints that somebody made on the secondary and that fail at COMMIT only: no statement is at fault, and yet a table is. */
import { expect, it } from 'vitest';
import { createDatabasePair } from '../harness/cluster.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { bothSides, RunningStream, streamingPair } from './support/stream.js';

const DDL = `
CREATE TABLE t (id int PRIMARY KEY, u int, v text); INSERT INTO t SELECT i, i, 'v' FROM generate_series(1, 20) i;
CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent SELECT generate_series(1, 20);
CREATE TABLE child (id int PRIMARY KEY, parent_id int); INSERT INTO child SELECT i, i FROM generate_series(1, 20) i;
CREATE TABLE other (id int PRIMARY KEY, v text);
`;
const UNIQUE = 'ALTER TABLE t ADD CONSTRAINT once UNIQUE (u) DEFERRABLE INITIALLY DEFERRED';
const FOREIGN_KEY =
  'ALTER TABLE child ADD CONSTRAINT has_parent FOREIGN KEY (parent_id) REFERENCES parent DEFERRABLE INITIALLY DEFERRED';

type Pair = Awaited<ReturnType<typeof streamingPair>>;

const stateOf = ({ stream }: Pair, name: string) =>
  stream.streamer.snapshot().tables.find((table) => table.name === name);

async function expectSame(it_: Pair, ...tables: string[]): Promise<void> {
  for (const table of tables) {
    const { primary, secondary } = await bothSides(it_.pair, table);
    expect(secondary, table).toEqual(primary);
  }
}

async function expectMended(it_: Pair, table: string): Promise<void> {
  await it_.stream.streamer.resync({ schema: 'public', name: table });
  await waitFor(() => stateOf(it_, table)?.state === 'streaming', { what: `${table} streams again` });
  await it_.stream.caughtUp();
  await expectSame(it_, table);
}

// CockroachDB has no deferrable constraints.
describeDialects('constraints that are checked at COMMIT', (dialect) => {
  it.skipIf(dialect === 'cockroach')(
    'G9 pause their table at the commit before, and the rest of the batch is applied',
    async () => {
      await using it_ = await streamingPair(DDL, { dialect });
      await it_.secondary(UNIQUE);
      // Stopped, so that all of it comes as one batch.
      await it_.stream.stop();
      await it_.primary(`UPDATE t SET v = 'before' WHERE id = 1; INSERT INTO other VALUES (1, 'before')`);
      await it_.primary(`BEGIN; UPDATE t SET u = 21 - u; COMMIT`);
      await it_.primary(
        `BEGIN; INSERT INTO other VALUES (2, 'same transaction'); UPDATE t SET v = 'twin', u = 7 WHERE id = 2; COMMIT`,
      );
      await it_.primary(`UPDATE t SET v = 'after' WHERE id = 3; INSERT INTO other VALUES (3, 'after')`);
      await using again = await new RunningStream(it_.pair).streaming();
      await again.caughtUp();
      const state = again.streamer.snapshot();
      expect(state).toMatchObject({ status: 'streaming', deadLetters: 1, dropped: 0 });
      expect(state.tables.find((table) => table.name === 't')).toMatchObject({
        state: 'paused',
        reason: expect.stringMatching(
          /^a transaction was refused by the secondary at its end: constraint once of public\.t, which is checked at COMMIT: duplicate key/,
        ),
      });
      const letters = await it_.secondary('SELECT operation, change, sqlstate FROM db_redundancy.dead_letters');
      expect(letters).toMatchObject([{ operation: 'update', sqlstate: '23505' }]);
      expect(JSON.parse(String(letters[0]?.change))).toMatchObject({ new: { id: '2', u: '7', v: 'twin' } });
      await expectSame(it_, 'other', 'parent', 'child');
      // Swapped within a transaction, which is no fault; then as it was before the transaction at fault.
      expect(await it_.secondary('SELECT id, u, v FROM t WHERE id <= 3 ORDER BY id')).toEqual([
        { id: 1, u: 20, v: 'before' },
        { id: 2, u: 19, v: 'v' },
        { id: 3, u: 18, v: 'v' },
      ]);
    },
  );

  it.skipIf(dialect === 'cockroach')('G9 find the table at the other end of a foreign key, too', async () => {
    await using it_ = await streamingPair(DDL, { dialect });
    await it_.secondary(FOREIGN_KEY);
    await it_.primary(
      `BEGIN; INSERT INTO child VALUES (30, 30); INSERT INTO parent VALUES (30); INSERT INTO other VALUES (1, 'a child before its parent is no fault'); COMMIT`,
    );
    await it_.primary(
      `BEGIN; DELETE FROM parent WHERE id = 5; INSERT INTO other VALUES (2, 'same transaction'); COMMIT`,
    );
    await it_.stream.caughtUp();
    expect(stateOf(it_, 'parent')).toMatchObject({
      state: 'paused',
      reason: expect.stringMatching(/constraint has_parent of public\.child, which is checked at COMMIT/),
    });
    expect(stateOf(it_, 'child')).toMatchObject({ state: 'streaming' });
    await it_.primary(
      `BEGIN; INSERT INTO child VALUES (31, 31); INSERT INTO other VALUES (3, 'same transaction'); COMMIT`,
    );
    await it_.stream.caughtUp();
    expect(stateOf(it_, 'child')).toMatchObject({ state: 'paused' });
    await expectSame(it_, 'other');
    expect(it_.stream.streamer.snapshot()).toMatchObject({ status: 'streaming', deadLetters: 2, dropped: 0 });
    await it_.secondary('ALTER TABLE child DROP CONSTRAINT has_parent');
    await expectMended(it_, 'parent');
    await expectMended(it_, 'child');
  });

  it.skipIf(dialect === 'cockroach')(
    'G9 pause their table when a large transaction breaks them, which is read again',
    async () => {
      await using it_ = await streamingPair(DDL, { dialect, maxRows: 5 });
      await it_.secondary(UNIQUE);
      await it_.primary(
        `BEGIN; INSERT INTO other SELECT i, 'large' FROM generate_series(1, 20) i; UPDATE t SET u = 7 WHERE id < 6; INSERT INTO other SELECT i, 'large' FROM generate_series(21, 40) i; COMMIT`,
      );
      await it_.stream.caughtUp();
      expect(stateOf(it_, 't')).toMatchObject({
        state: 'paused',
        reason: expect.stringMatching(
          /^a large transaction \(transaction \d+, commit LSN .*constraint once of public\.t/,
        ),
      });
      await expectSame(it_, 'other');
      await it_.secondary('ALTER TABLE t DROP CONSTRAINT once');
      await expectMended(it_, 't');
    },
  );

  it.skipIf(dialect === 'cockroach')(
    'G9 stop the stream under DB_APPLY_ON_ERROR=halt, and it goes on when that is mended',
    async () => {
      await using it_ = await streamingPair(DDL, { dialect, onError: 'halt' });
      await it_.secondary(UNIQUE);
      await it_.primary(`UPDATE t SET u = 7 WHERE id = 2`);
      await waitFor(() => it_.stream.streamer.snapshot().status === 'error', { what: 'the stream halts' });
      expect(it_.stream.streamer.snapshot().detail).toMatch(
        /^The secondary refused a transaction at its end: constraint once of public\.t, .*Drop the constraint on the secondary/,
      );
      await it_.secondary('ALTER TABLE t DROP CONSTRAINT once');
      await it_.stream.caughtUp(40_000);
      await expectSame(it_, 't');
    },
  );
});

describeDialects('rows of a load that the secondary refuses', (dialect) => {
  it('G9 pause the table also where it has no key, and others are loaded', async () => {
    await using pair = await createDatabasePair('refused', dialect);
    await query(
      pair.primary.url,
      `CREATE TABLE bag (a int, v text); ALTER TABLE bag REPLICA IDENTITY FULL; INSERT INTO bag VALUES (1, 'fine'), (2, 'refused'); CREATE TABLE other (id int PRIMARY KEY); INSERT INTO other VALUES (1)`,
    );
    await query(pair.secondary.url, `CREATE TABLE bag (a int, v text, CONSTRAINT never CHECK (v <> 'refused'))`);
    await using stream = await new RunningStream(pair).streaming();
    const states = () => stream.streamer.snapshot().tables.map(({ name, state }) => ({ name, state }));
    const both = [
      { name: 'bag', state: 'paused' },
      { name: 'other', state: 'streaming' },
    ];
    const asExpected = () => {
      expect(states()).toEqual(both);
      return true;
    };
    await waitFor(asExpected, { what: 'one is paused, the other streams' });
    expect(stream.streamer.snapshot().tables.find((table) => table.name === 'bag')?.reason).toMatch(
      /^its rows were refused by the secondary: .*(never|CHECK)/,
    );
    expect(await query(pair.secondary.url, 'SELECT a FROM bag')).toEqual([]);
  });
});
