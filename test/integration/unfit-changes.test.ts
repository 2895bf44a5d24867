/** Changes that do not say which row of the secondary they mean: a matter of their table, never of a wrong or lost row. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeDialects } from '../harness/secondary-dialects.js';
import { waitFor } from '../harness/wait.js';
import { bothSides, streamingPair } from './support/stream.js';

const KEYED = 'a int PRIMARY KEY, b int NOT NULL, v text';
const DDL = `
CREATE TABLE other (id int PRIMARY KEY, v text); INSERT INTO other VALUES (0, 'first');
CREATE TABLE rekeyed (${KEYED}); INSERT INTO rekeyed SELECT i, i, 'v' FROM generate_series(1, 5) i;
CREATE TABLE unnamed (${KEYED}); INSERT INTO unnamed SELECT i, i, 'v' FROM generate_series(1, 5) i;
CREATE TABLE moved (${KEYED}); INSERT INTO moved SELECT i, i, 'v' FROM generate_series(1, 5) i;
CREATE TABLE bag (a int, b int NOT NULL, v text); ALTER TABLE bag REPLICA IDENTITY FULL; INSERT INTO bag SELECT 1, i, 'v' FROM generate_series(1, 5) i;
CREATE TABLE keyless (${KEYED}); ALTER TABLE keyless REPLICA IDENTITY FULL; INSERT INTO keyless SELECT i, i, 'v' FROM generate_series(1, 5) i;
CREATE TABLE again (${KEYED}); ALTER TABLE again REPLICA IDENTITY FULL; INSERT INTO again SELECT i, i, 'v' FROM generate_series(1, 5) i;
`;

/** The primary key is (b) for the time of the statements; in the end it is (a), as the secondary has it. */
const underOtherKey = (table: string, sql: string) =>
  `ALTER TABLE ${table} DROP CONSTRAINT ${table}_pkey; ALTER TABLE ${table} ADD PRIMARY KEY (b);
   ${sql};
   ALTER TABLE ${table} DROP CONSTRAINT ${table}_pkey; ALTER TABLE ${table} ADD PRIMARY KEY (a)`;

type Pair = Awaited<ReturnType<typeof streamingPair>>;

const stateOf = ({ stream }: Pair, name: string) =>
  stream.streamer.snapshot().tables.find((table) => table.name === name);

async function expectSame(it_: Pair, table: string): Promise<void> {
  const same = async () => {
    expect(stateOf(it_, table)).toMatchObject({ state: 'streaming' });
    const { primary, secondary } = await bothSides(it_.pair, table);
    expect(secondary).toEqual(primary);
    return true;
  };
  await waitFor(same, { what: `${table} is the same on both sides` });
}

const isPaused = (it_: Pair, table: string) =>
  waitFor(() => stateOf(it_, table)?.state === 'paused', { what: `${table} is paused` });

const lettersOf = ({ secondary }: Pair, table: string) =>
  secondary('SELECT operation, change, sqlstate, error FROM db_redundancy.dead_letters WHERE table_name = $1', [table]);

/** What the pause says is to be done is done, and the table is the same again. */
async function expectMended(it_: Pair, table: string): Promise<void> {
  await it_.stream.streamer.resync({ schema: 'public', name: table });
  await expectSame(it_, table);
}

describeDialects('changes that do not say which row they mean', (dialect) => {
  let it_: Pair;
  beforeAll(async () => {
    it_ = await streamingPair(DDL, { dialect });
  });
  afterAll(async () => {
    await it_?.[Symbol.asyncDispose]();
  });

  it('G9 pauses a table whose primary key is another one, before a row is found by the wrong key', async () => {
    await it_.primary(
      `BEGIN; ALTER TABLE rekeyed DROP CONSTRAINT rekeyed_pkey; ALTER TABLE rekeyed ADD PRIMARY KEY (b);
       UPDATE rekeyed SET a = 100 WHERE b = 5; INSERT INTO other VALUES (1, 'same transaction'); COMMIT`,
    );
    await it_.stream.caughtUp();
    expect(stateOf(it_, 'rekeyed')).toMatchObject({
      state: 'paused',
      reason: expect.stringMatching(/^the primary key changed from \(a\) to \(b\) on the primary/),
    });
    expect(await it_.secondary('SELECT a FROM rekeyed ORDER BY a')).toHaveLength(5);
    await expectSame(it_, 'other');
    await expectMended(it_, 'rekeyed');
    await it_.primary('UPDATE rekeyed SET a = 101 WHERE b = 5; DELETE FROM rekeyed WHERE b = 4');
    await it_.stream.caughtUp();
    await expectSame(it_, 'rekeyed');
  });

  it('G9 keeps a DELETE without the key as a dead letter and pauses its table; others go on', async () => {
    await it_.primary(
      `BEGIN; INSERT INTO unnamed VALUES (9, 9, 'before it'); ${underOtherKey('unnamed', 'DELETE FROM unnamed WHERE b = 2')};
       DELETE FROM unnamed WHERE a = 3; INSERT INTO other VALUES (2, 'same transaction'); COMMIT`,
    );
    await it_.primary(`INSERT INTO other VALUES (3, 'goes on')`);
    await it_.stream.caughtUp();
    expect(stateOf(it_, 'unnamed')).toMatchObject({
      state: 'paused',
      reason: expect.stringMatching(
        /^A change of public\.unnamed does not carry the key \(a\) of its row\. Run on the primary: ALTER TABLE "public"\."unnamed" REPLICA IDENTITY FULL .*db:sync -- --table public\.unnamed/,
      ),
    });
    const letters = await lettersOf(it_, 'unnamed');
    expect(letters).toMatchObject([{ operation: 'delete', sqlstate: null }]);
    expect(JSON.parse(String(letters[0]?.change))).toMatchObject({ old: { b: '2' } });
    // What came before it is applied, and nothing behind it.
    expect(await it_.secondary('SELECT a FROM unnamed ORDER BY a')).toHaveLength(6);
    await expectSame(it_, 'other');
    await expectMended(it_, 'unnamed');
  });

  it('G9 takes an UPDATE that says nothing of the key for one that may have changed it', async () => {
    await it_.primary(`BEGIN; ${underOtherKey('moved', 'UPDATE moved SET a = 100 WHERE b = 5')}; COMMIT`);
    await it_.stream.caughtUp();
    expect(stateOf(it_, 'moved')).toMatchObject({ state: 'paused' });
    const letters = await lettersOf(it_, 'moved');
    expect(letters).toMatchObject([{ operation: 'update' }]);
    expect(JSON.parse(String(letters[0]?.change))).toMatchObject({ new: { a: '100', b: '5' } });
    expect(await it_.secondary('SELECT a FROM moved ORDER BY a')).toHaveLength(5);
    await expectMended(it_, 'moved');
  });

  it('G9 keeps a change of a table without a key that lacks the old row as a dead letter', async () => {
    await it_.primary(
      `BEGIN; ALTER TABLE bag ADD CONSTRAINT bag_pkey PRIMARY KEY (b); ALTER TABLE bag REPLICA IDENTITY DEFAULT; UPDATE bag SET a = 2 WHERE b = 3;
       ALTER TABLE bag DROP CONSTRAINT bag_pkey; ALTER TABLE bag REPLICA IDENTITY FULL; COMMIT; INSERT INTO other VALUES (4, 'goes on')`,
    );
    await it_.stream.caughtUp();
    expect(stateOf(it_, 'bag')).toMatchObject({
      state: 'paused',
      reason: expect.stringMatching(
        /^A change of public\.bag, which has no key on the secondary, does not carry the old/,
      ),
    });
    expect(await lettersOf(it_, 'bag')).toMatchObject([{ operation: 'update' }]);
    await expectSame(it_, 'other');
    await expectMended(it_, 'bag');
  });

  it('G9 notices under REPLICA IDENTITY FULL that the primary key was dropped, which lets two rows share one key', async () => {
    await it_.primary(`UPDATE keyless SET v = 'seen' WHERE a = 5`);
    await it_.stream.caughtUp();
    await expectSame(it_, 'keyless');
    await it_.primary(`ALTER TABLE keyless DROP CONSTRAINT keyless_pkey; INSERT INTO keyless VALUES (1, 1, 'twin')`);
    await isPaused(it_, 'keyless');
    expect(stateOf(it_, 'keyless')?.reason).toMatch(/^its primary key was dropped or is another one on the primary/);
    await expectMended(it_, 'keyless');
    await it_.primary(`DELETE FROM keyless WHERE v = 'twin'`);
    await it_.stream.caughtUp();
    await expectSame(it_, 'keyless');
  });

  it('G9 compares a table whose key was away for a moment: a twin that came and went has taken its row along', async () => {
    await it_.primary(
      `BEGIN; ALTER TABLE again DROP CONSTRAINT again_pkey; INSERT INTO again VALUES (1, 1, 'twin'); DELETE FROM again WHERE v = 'twin';
       ALTER TABLE again ADD PRIMARY KEY (a); COMMIT`,
    );
    await it_.stream.caughtUp();
    await expectSame(it_, 'again');
    const said = it_.stream.log.entries.find((entry) => entry.message.startsWith('public.again: its primary key was'));
    expect(said?.message).toMatch(/dropped and created again, which the WAL does not carry: it is compared/);
  });

  it('loses nothing in any of it', () => {
    expect(it_.stream.streamer.snapshot()).toMatchObject({ status: 'streaming', dropped: 0, deadLetters: 3 });
  });
});

describeDialects('a change without its key', (dialect) => {
  const SMALL = `CREATE TABLE t (${KEYED}); INSERT INTO t SELECT i, i, 'v' FROM generate_series(1, 20) i; CREATE TABLE other (id int PRIMARY KEY)`;

  it('G9 in the middle of a large transaction pauses its table, and the rest of the transaction is applied', async () => {
    await using it_ = await streamingPair(SMALL, { dialect, maxRows: 7 });
    await it_.primary(
      `BEGIN; INSERT INTO other SELECT generate_series(1, 30); UPDATE t SET v = 'before' WHERE a < 9; ${underOtherKey('t', 'DELETE FROM t WHERE b = 12')}; INSERT INTO other SELECT generate_series(31, 60); COMMIT`,
    );
    await it_.stream.caughtUp();
    expect(stateOf(it_, 't')).toMatchObject({ state: 'paused' });
    expect(await lettersOf(it_, 't')).toMatchObject([{ operation: 'delete' }]);
    expect(await it_.secondary(`SELECT a FROM t WHERE v = 'before'`)).toHaveLength(8);
    await expectSame(it_, 'other');
    await expectMended(it_, 't');
  });

  it('G9 stops the stream under DB_APPLY_ON_ERROR=halt, and says what mends it', async () => {
    await using it_ = await streamingPair(SMALL, { dialect, onError: 'halt' });
    await it_.primary(`BEGIN; ${underOtherKey('t', 'DELETE FROM t WHERE b = 12')}; COMMIT`);
    await waitFor(() => it_.stream.streamer.snapshot().status === 'error', { what: 'the stream halts' });
    expect(it_.stream.streamer.snapshot().detail).toMatch(
      /^A change of public\.t does not carry the key \(a\) of its row\. \(transaction \d+, commit LSN [0-9A-F/]+\) Run on the primary: ALTER TABLE .*DB_APPLY_ON_ERROR=pause-table/,
    );
    expect(await it_.secondary('SELECT a FROM t')).toHaveLength(20);
  });
});
