/** Hard cases of the way home (G7, G8): constraints, triggers, tables without a key, TRUNCATE, lost slots and cursors. */
import { expect, it } from 'vitest';
import { dropCatchUpSlot } from '../../src/catchup/postgres-source.js';
import { ColumnsMissingError, CopyDiffersError, CopyRefusedError } from '../../src/recovery/recovery-errors.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { connectionOf } from './catchup-support.js';
import { copying, failedOver, fenceOf, recoveryOf } from './support/recovery.js';
import { RunningStream, streamNames } from './support/stream.js';

const never = new AbortController().signal;

describeDialects('recovery of hard cases', (dialect) => {
  // A changefeed's marks take seconds; what concerns the primary alone is shown there in the long form only.
  const onPrimary = it.skipIf(dialect === 'cockroach' && process.env.DB_TEST_LONG === undefined);

  /** Follows from here; `home` merges, drains and compares. */
  async function away(ddl: string, tail = 'SELECT 1') {
    const it_ = await failedOver(ddl, { dialect });
    await it_.primary(tail);
    const recovery = recoveryOf(it_.pair);
    await recovery.notePosition(2);
    recovery.follow();
    return {
      ...it_,
      recovery,
      async home(...tables: string[]) {
        recovery.recoverPrimary(await fenceOf(it_.pair));
        const result = await recovery.drain(never);
        for (const table of tables) {
          const { primary, secondary } = await it_.equal(table);
          expect(primary, table).toEqual(secondary);
        }
        return result;
      },
      async [Symbol.asyncDispose]() {
        await recovery.stop();
        await it_[Symbol.asyncDispose]();
      },
    };
  }

  it('G7 decides upon rows of the tail that the application writes all the time', async () => {
    await using it_ = await away(
      `CREATE TABLE hot (id int PRIMARY KEY, n int NOT NULL, updated_at timestamptz NOT NULL DEFAULT now());
       INSERT INTO hot SELECT i, 0 FROM generate_series(1, 20) i;`,
      'UPDATE hot SET n = -1, updated_at = now()',
    );
    let over = false;
    const writers = [1, 2, 3].map(async (writer) => {
      for (let n = 1; !over; n++)
        await query(it_.pair.secondary.url, `UPDATE hot SET n = ${n}, updated_at = now() WHERE id % 3 = ${writer - 1}`);
    });
    try {
      it_.recovery.recoverPrimary(await fenceOf(it_.pair));
      await waitFor(() => it_.recovery.progress().tailMerged, { what: 'the tail is merged', timeoutMs: 40_000 });
    } finally {
      over = true;
      await Promise.allSettled(writers);
    }
    await it_.recovery.drain(never);
    const { primary, secondary } = await it_.equal('hot');
    expect(primary).toEqual(secondary);
    expect(primary.every((row) => Number(row.n) > 0)).toBe(true);
    // The primary's version of each is kept.
    expect(await it_.conflicts()).toHaveLength(20);
  }, 90_000);

  it('G7 deletes rows of the tail while others that could refer to them come all the time', async () => {
    await using it_ = await away(
      `CREATE TABLE event (id int PRIMARY KEY, updated_at timestamptz NOT NULL DEFAULT now());
       CREATE TABLE part (id int PRIMARY KEY, event int NOT NULL REFERENCES event ON DELETE CASCADE);
       INSERT INTO event SELECT i FROM generate_series(1, 300) i; INSERT INTO part SELECT i, i FROM generate_series(1, 300) i;`,
      'DELETE FROM event WHERE id <= 100',
    );
    // As a promotion does; without an index a deletion looks through the whole table.
    const foreignKey = 'ALTER TABLE part ADD FOREIGN KEY (event) REFERENCES event ON DELETE CASCADE';
    await query(it_.pair.secondary.url, foreignKey);
    let over = false;
    let inserted = 0;
    const writers = [0, 1, 2].map(async (writer) => {
      for (let n = 1; !over; n++) {
        const id = 1000 * n + writer;
        await query(it_.pair.secondary.url, `INSERT INTO part VALUES (${id}, ${200 + (id % 100)})`);
        inserted += 1;
      }
    });
    try {
      it_.recovery.recoverPrimary(await fenceOf(it_.pair));
      await waitFor(() => it_.recovery.progress().tailMerged, { what: 'the tail is merged', timeoutMs: 40_000 });
    } finally {
      over = true;
      await Promise.all(writers);
    }
    await it_.recovery.drain(never);
    for (const table of ['event', 'part']) {
      const { primary, secondary } = await it_.equal(table);
      expect(primary, table).toEqual(secondary);
      expect(primary).toHaveLength(table === 'event' ? 200 : 200 + inserted);
    }
  }, 90_000);

  it('G7 G8 brings the rows of the tail to small tables that are written all the time, although one is refused', async () => {
    await using it_ = await away(
      `CREATE TABLE event (id int PRIMARY KEY, updated_at timestamptz NOT NULL DEFAULT now());
       CREATE TABLE token (place int PRIMARY KEY, token int NOT NULL UNIQUE, updated_at timestamptz NOT NULL DEFAULT now());
       INSERT INTO token SELECT i, i FROM generate_series(1, 3) i; CREATE TABLE move (id int PRIMARY KEY, place int NOT NULL REFERENCES token)`,
      `INSERT INTO event SELECT i FROM generate_series(1, 300) i; UPDATE token SET place = 5000000, updated_at = now() WHERE token = 1;
       INSERT INTO token VALUES (6000000, 6); INSERT INTO move VALUES (1, 2)`,
    );
    const foreignKey = 'ALTER TABLE move ADD FOREIGN KEY (place) REFERENCES token';
    await query(it_.pair.secondary.url, foreignKey);
    // Known to be small, it is read as a whole where one row is looked for.
    if (dialect === 'cockroach') await query(it_.pair.secondary.url, 'CREATE STATISTICS small FROM token');
    let over = false;
    const writer = (async () => {
      while (!over)
        await query(it_.pair.secondary.url, `UPDATE token SET place = place + 10, updated_at = now() WHERE token = 1`);
    })();
    try {
      it_.recovery.recoverPrimary(await fenceOf(it_.pair));
      await waitFor(() => it_.recovery.progress().tailMerged, { what: 'the tail is merged', timeoutMs: 40_000 });
    } finally {
      over = true;
      await writer;
    }
    await it_.recovery.drain(never);
    for (const [table, rows] of Object.entries({ event: 300, token: 4, move: 1 })) {
      const { primary, secondary } = await it_.equal(table);
      expect(primary, table).toEqual(secondary);
      expect(primary, table).toHaveLength(rows);
    }
    expect((await it_.conflicts()).map(({ row_key }) => row_key)).toContain('["5000000"]');
  }, 90_000);

  onPrimary(
    "G7 copies under the primary's foreign keys, whatever the order: parents, circles, a row that refers to itself, deletes",
    async () => {
      await using it_ = await away(`
      CREATE TABLE artist (id int PRIMARY KEY, name text);
      CREATE TABLE album (id int PRIMARY KEY, artist int NOT NULL REFERENCES artist, title text);
      CREATE TABLE employee (id int PRIMARY KEY, boss int REFERENCES employee);
      CREATE TABLE hen (id int PRIMARY KEY, egg int NOT NULL);
      CREATE TABLE egg (id int PRIMARY KEY, hen int NOT NULL REFERENCES hen DEFERRABLE);
      ALTER TABLE hen ADD FOREIGN KEY (egg) REFERENCES egg DEFERRABLE INITIALLY DEFERRED;
      INSERT INTO artist SELECT i, 'a' FROM generate_series(1, 20) i; INSERT INTO album SELECT i, i, 't' FROM generate_series(1, 20) i;
      INSERT INTO employee VALUES (1, NULL), (2, 1);`);
      await it_.secondary(`INSERT INTO album SELECT 1000 + i, 2000 - i, 'new' FROM generate_series(1, 700) i`);
      await it_.secondary(`INSERT INTO artist SELECT 1000 + i, 'new' FROM generate_series(1, 999) i`);
      await it_.secondary(`DELETE FROM artist WHERE id <= 10; DELETE FROM album WHERE artist <= 10`);
      await it_.secondary(`INSERT INTO employee SELECT i, i + 1 FROM generate_series(10, 400) i`);
      await it_.secondary(`INSERT INTO employee VALUES (401, 401); UPDATE employee SET boss = 400 WHERE id = 1`);
      await it_.secondary(
        `INSERT INTO hen SELECT i, i FROM generate_series(1, 50) i; INSERT INTO egg SELECT i, i FROM generate_series(1, 50) i`,
      );
      await it_.home('artist', 'album', 'employee', 'hen', 'egg');
    },
  );

  onPrimary('G7 copies unique values that went around among rows, also among those that refer to them', async () => {
    await using it_ = await away(`
      CREATE TABLE u (id int PRIMARY KEY, code int UNIQUE NOT NULL, name text UNIQUE);
      CREATE TABLE r (id int PRIMARY KEY, code int REFERENCES u (code));
      INSERT INTO u SELECT i, i, 'n' || i FROM generate_series(1, 40) i;`);
    await it_.secondary(`UPDATE u SET code = -code, name = '-' || name`);
    await it_.secondary(`UPDATE u SET code = CASE WHEN id = 40 THEN 1 ELSE id + 1 END, name = 'n' || (41 - id)::text`);
    await it_.secondary(`DELETE FROM u WHERE id = 7`);
    await it_.secondary(`INSERT INTO u VALUES (100, 8, 'n34')`);
    await it_.home('u', 'r');
  });

  onPrimary('G7 copies past triggers that change rows, and leaves them as they were', async () => {
    await using it_ = await away(`
      CREATE TABLE t (id int PRIMARY KEY, v text, updated_at timestamptz NOT NULL DEFAULT now());
      CREATE TABLE audit (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text);
      CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.updated_at := '2030-01-01'; RETURN NEW; END $$;
      CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO audit (what) VALUES ('fired'); RETURN NULL; END $$;
      CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION touch();
      CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION note();
      CREATE TRIGGER off BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION touch(); ALTER TABLE t DISABLE TRIGGER off;
      INSERT INTO t (id, v) SELECT i, 'v' FROM generate_series(1, 5) i;`);
    await it_.secondary(
      `UPDATE t SET v = 'w', updated_at = '2026-02-01' WHERE id < 4; DELETE FROM t WHERE id = 5; INSERT INTO t VALUES (9, 'n', '2026-02-02')`,
    );
    await it_.secondary(`INSERT INTO audit (id, what) VALUES (100, 'by the application')`);
    await it_.home('t', 'audit');
    const triggers = await it_.primary(
      `SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 't'::regclass ORDER BY 1`,
    );
    expect(triggers.map((row) => `${row.tgname} ${row.tgenabled}`)).toEqual(['note O', 'off D', 'touch O']);
  });

  it("G8 takes tables without a key for bags: the tail's inserts and deletes, and the application's", async () => {
    await using it_ = await away(
      `CREATE TABLE bag (a int, b text); ALTER TABLE bag REPLICA IDENTITY FULL; INSERT INTO bag SELECT i % 3, 'b' FROM generate_series(1, 12) i;`,
      `INSERT INTO bag VALUES (7, 'tail'), (7, 'tail'); DELETE FROM bag WHERE ctid = (SELECT min(ctid) FROM bag WHERE a = 1); UPDATE bag SET b = NULL WHERE ctid = (SELECT min(ctid) FROM bag WHERE a = 2)`,
    );
    await it_.secondary(`INSERT INTO bag VALUES (8, 'app'), (8, 'app'), (0, NULL)`);
    await it_.secondary(`DELETE FROM bag WHERE a = 0 AND b = 'b'`);
    await it_.home('bag');
    const counts = await it_.primary(`SELECT a, b, count(*)::int AS n FROM bag GROUP BY a, b ORDER BY a, b`);
    expect(counts.map((row) => `${row.a} ${row.b} ${row.n}`)).toEqual([
      '0 null 1',
      '1 b 3',
      '2 b 3',
      '2 null 1',
      '7 tail 2',
      '8 app 2',
    ]);
  });

  it('G7 G8 follows TRUNCATE on either side', async () => {
    await using it_ = await away(
      `CREATE TABLE a (id int PRIMARY KEY, v text); CREATE TABLE b (id int PRIMARY KEY, v text); CREATE TABLE c (id int PRIMARY KEY, v text);
       INSERT INTO a SELECT i, 'base' FROM generate_series(1, 9) i; INSERT INTO b SELECT * FROM a; INSERT INTO c SELECT * FROM a;`,
      `TRUNCATE a; INSERT INTO a VALUES (2, 'tail'), (20, 'tail'); UPDATE b SET v = 'tail' WHERE id = 1`,
    );
    await it_.secondary(`UPDATE a SET v = 'app' WHERE id = 3`);
    await it_.secondary(`TRUNCATE b`);
    await it_.secondary(`INSERT INTO b VALUES (4, 'app')`);
    await it_.secondary(`DELETE FROM c`);
    await it_.home('a', 'b', 'c');
    const a = await it_.primary('SELECT id, v FROM a ORDER BY id');
    expect(a.map((row) => `${row.id} ${row.v}`)).toEqual(['2 tail', '3 app', '20 tail']);
    expect(await it_.primary('SELECT id FROM b')).toEqual([{ id: 4 }]);
    expect((await it_.conflicts()).map((row) => `${row.table_name} ${row.row_key} ${row.winner}`)).toEqual(
      expect.arrayContaining(['a ["3"] secondary', 'b ["1"] secondary']),
    );
  });

  onPrimary('G8 keeps what the secondary has no room for, and what it deleted', async () => {
    await using it_ = await away(
      `CREATE TABLE t (id int PRIMARY KEY, email text UNIQUE, v text); INSERT INTO t SELECT i, 'e' || i, 'base' FROM generate_series(1, 5) i;`,
      `INSERT INTO t VALUES (50, 'same@example', 'tail'); UPDATE t SET v = 'tail' WHERE id = 2; DELETE FROM t WHERE id = 3`,
    );
    await it_.secondary(
      `INSERT INTO t VALUES (51, 'same@example', 'app'); DELETE FROM t WHERE id = 2; UPDATE t SET v = 'app' WHERE id = 3`,
    );
    await it_.home('t');
    const rows = await it_.primary('SELECT id, v FROM t ORDER BY id');
    expect(rows.map((row) => `${row.id} ${row.v}`)).toEqual(['1 base', '3 app', '4 base', '5 base', '51 app']);
    const kept = (await it_.conflicts()).map((row) => [
      row.row_key,
      row.winner,
      row.primary_version,
      row.secondary_version,
    ]);
    expect(kept).toEqual([
      ['["2"]', 'secondary', JSON.stringify({ id: '2', email: 'e2', v: 'tail' }), null],
      ['["3"]', 'secondary', null, JSON.stringify({ id: '3', email: 'e3', v: 'app' })],
      ['["50"]', 'secondary', JSON.stringify({ id: '50', email: 'same@example', v: 'tail' }), null],
    ]);
  });

  it("G8 compares all tables when the forward slot is gone: untouched rows are the primary's, the rest by updated_at", async () => {
    await using it_ = await away(
      `CREATE TABLE t (id int PRIMARY KEY, v text, updated_at timestamptz NOT NULL DEFAULT now());
       INSERT INTO t SELECT i, 'base', '2026-01-01' FROM generate_series(1, 3000) i;
       CREATE TABLE bag (a int); ALTER TABLE bag REPLICA IDENTITY FULL; INSERT INTO bag VALUES (1), (1), (2);`,
      `UPDATE t SET v = 'tail', updated_at = '2026-01-02' WHERE id IN (1, 2, 3); DELETE FROM t WHERE id = 4; INSERT INTO t VALUES (5000, 'tail', '2026-01-02'); INSERT INTO bag VALUES (3), (3)`,
    );
    await it_.primary(`SELECT pg_drop_replication_slot('${streamNames(it_.pair).slot}')`);
    await it_.secondary(
      `UPDATE t SET v = 'older', updated_at = '2026-01-01 01:00:00' WHERE id = 2; UPDATE t SET v = 'newer', updated_at = '2026-01-03' WHERE id = 3`,
    );
    await it_.secondary(
      `UPDATE t SET v = 'app', updated_at = '2026-01-03' WHERE id > 2990; DELETE FROM t WHERE id BETWEEN 100 AND 110`,
    );
    await it_.home('t', 'bag');
    const rows = await it_.primary(`SELECT id, v FROM t WHERE id IN (1, 2, 3, 4, 105, 2999, 5000) ORDER BY id`);
    expect(rows.map((row) => `${row.id} ${row.v}`)).toEqual(['1 tail', '2 tail', '3 newer', '2999 app', '5000 tail']);
    const kept = (await it_.conflicts()).map((row) => `${row.table_name} ${row.winner} ${row.rule}`);
    expect(kept.filter((text) => text.startsWith('bag'))).toEqual(['bag secondary active-side']);
    expect(kept.filter((text) => text.startsWith('t primary'))).toEqual(['t primary updated_at']);
    await it_.recovery.handBack();
    await it_.recovery.finish();
    const stream = await it_.streamAgain();
    expect(stream.log.entries.filter((entry) => entry.level === 'error')).toEqual([]);
    await stream.stop();
    const { primary, secondary } = await it_.equal('t');
    expect(primary).toEqual(secondary);
  });

  it('G7 compares all tables when changes of the secondary were missed', async () => {
    await using it_ = await failedOver(
      `CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'base' FROM generate_series(1, 2000) i;
       CREATE TABLE bag (a int); ALTER TABLE bag REPLICA IDENTITY FULL; INSERT INTO bag VALUES (1), (1), (2);`,
      { dialect },
    );
    await it_.primary(`UPDATE t SET v = 'tail' WHERE id IN (1, 2); INSERT INTO t VALUES (3000, 'tail')`);
    const first = recoveryOf(it_.pair);
    await first.notePosition(2);
    await first.stop();
    await it_.secondary(
      `UPDATE t SET v = 'app' WHERE id = 2 OR id > 1500; DELETE FROM t WHERE id = 9; INSERT INTO t VALUES (4000, 'app'); INSERT INTO bag VALUES (5)`,
    );
    if (dialect === 'postgres')
      await dropCatchUpSlot(connectionOf(it_.pair.secondary.url), `catchup_${it_.pair.secondary.name}`);
    // Beyond every GC window.
    else await it_.secondary(`UPDATE db_redundancy.catchup SET source_position = '1500000000000000000.0000000000'`);
    await using recovery = recoveryOf(it_.pair);
    recovery.recoverPrimary(await fenceOf(it_.pair));
    await copying(recovery);
    await it_.secondary(`UPDATE t SET v = 'later' WHERE id = 10`);
    await recovery.drain(never);
    for (const table of ['t', 'bag']) {
      const { primary, secondary } = await it_.equal(table);
      expect(primary, table).toEqual(secondary);
    }
    const rows = await it_.primary(`SELECT id, v FROM t WHERE id IN (2, 9, 10, 1999, 3000, 4000) ORDER BY id`);
    expect(rows.map((row) => `${row.id} ${row.v}`)).toEqual(['2 app', '10 later', '1999 app', '3000 tail', '4000 app']);
    expect((await it_.conflicts()).map((row) => `${row.row_key} ${row.winner}`)).toEqual([
      '["1"] secondary',
      '["2"] secondary',
    ]);
  });

  onPrimary('says which row the primary refuses, and goes on when it is mended', async () => {
    await using it_ = await away(
      `CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p, note text); INSERT INTO p VALUES (1);`,
    );
    await it_.secondary(`INSERT INTO c VALUES (1, 1, 'fine'), (2, 77, 'an orphan'), (3, NULL, 'fine')`);
    it_.recovery.recoverPrimary(await fenceOf(it_.pair));
    const refused = await it_.recovery.drain(never).then(
      () => null,
      (error: unknown) => error,
    );
    expect(refused).toBeInstanceOf(CopyRefusedError);
    expect(String((refused as Error).message)).toContain('public.c ["2"]');
    expect(await it_.primary('SELECT id FROM c ORDER BY id')).toEqual([{ id: 1 }, { id: 3 }]);
    await it_.secondary(`INSERT INTO p VALUES (77)`);
    await it_.home('p', 'c');
  });

  onPrimary('G7 does not let the primary delete what the secondary still has', async () => {
    await using it_ = await away(
      `CREATE TABLE p (id int PRIMARY KEY, code text UNIQUE); CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p ON DELETE CASCADE);
       CREATE TABLE n (id int PRIMARY KEY, code text REFERENCES p (code) ON DELETE SET NULL);
       INSERT INTO p VALUES (1, 'a'), (2, 'b'), (3, 'c'); INSERT INTO c VALUES (1, 1), (2, 2); INSERT INTO n VALUES (1, 'c');`,
    );
    await it_.secondary(`DELETE FROM p`);
    it_.recovery.recoverPrimary(await fenceOf(it_.pair));
    await expect(it_.recovery.drain(never)).rejects.toBeInstanceOf(CopyRefusedError);
    await it_.secondary(`DELETE FROM c; UPDATE n SET code = NULL`);
    await it_.home('p', 'c', 'n');
  });

  onPrimary('refuses to hand back what the primary has no column for, or changes when it is written', async () => {
    await using it_ = await away(`CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'v');`);
    await it_.secondary(`ALTER TABLE t ADD COLUMN extra text`);
    await it_.secondary(`UPDATE t SET extra = 'x' WHERE id = 1`);
    it_.recovery.recoverPrimary(await fenceOf(it_.pair));
    await expect(it_.recovery.drain(never)).rejects.toBeInstanceOf(ColumnsMissingError);
    await it_.primary(`ALTER TABLE t ADD COLUMN extra text`);
    // Looked at anew with the next connection.
    it_.recovery.primaryLost();
    await it_.home('t');
    // Under a name that is left alone, as the guards of a fence are.
    await it_.primary(
      `CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.v := 'other'; RETURN NEW; END $$;
       CREATE TRIGGER db_redundancy_test BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION change()`,
    );
    await it_.secondary(`UPDATE t SET v = 'changed' WHERE id = 1`);
    await expect(it_.recovery.drain(never)).rejects.toBeInstanceOf(CopyDiffersError);
  });

  it('G7 copies a row again that was written while it was on its way', async () => {
    await using it_ = await failedOver(
      `CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'base')`,
      {
        dialect,
      },
    );
    let writes = 0;
    const inJournal = async () =>
      (await it_.secondary(`SELECT "at" FROM db_redundancy.touched_keys WHERE row_key = '["1"]'`))[0]?.at;
    await using recovery = recoveryOf(it_.pair, null, {
      at: async (point) => {
        if (point !== 'rows-copied' || writes > 0) return;
        writes += 1;
        const before = await inJournal();
        await it_.secondary(`UPDATE t SET v = 'second' WHERE id = 1`);
        await waitFor(async () => (await inJournal()) !== before, { what: 'the journal knows' });
      },
    });
    await recovery.notePosition(2);
    recovery.follow();
    await it_.secondary(`UPDATE t SET v = 'first' WHERE id = 1`);
    recovery.recoverPrimary(await fenceOf(it_.pair));
    expect(await recovery.drain(never)).toMatchObject({ compared: 1, mended: 0 });
    expect(await it_.primary('SELECT v FROM t')).toEqual([{ v: 'second' }]);
    expect(writes).toBe(1);
  });

  onPrimary('a drain that ran out of time leaves nothing to be undone', async () => {
    await using it_ = await away(`CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 0);`);
    const late = new AbortController();
    late.abort(new Error('out of time'));
    it_.recovery.recoverPrimary(await fenceOf(it_.pair));
    await expect(it_.recovery.drain(late.signal)).rejects.toThrow('out of time');
    await expect(it_.recovery.drain(AbortSignal.timeout(1))).rejects.toThrow();
    await it_.secondary(`UPDATE t SET v = 1 WHERE id = 1`);
    await it_.home('t');
  });

  it.each([
    { journal: 'whole', missed: false },
    { journal: 'with a gap', missed: true },
  ])(
    'G7 G8 rows of a table that the stream had paused are neither deleted nor overwritten by old ones, journal $journal',
    async ({ missed }) => {
      await using it_ = await failedOver(
        `CREATE TABLE dated (id int PRIMARY KEY, v text, updated_at timestamptz NOT NULL DEFAULT now());
         CREATE TABLE plain (id int PRIMARY KEY, v text); CREATE TABLE fine (id int PRIMARY KEY, v text);
         CREATE TABLE bag (a int); ALTER TABLE bag REPLICA IDENTITY FULL; INSERT INTO bag VALUES (1), (2);
         INSERT INTO dated SELECT i, 'base', '2026-01-01' FROM generate_series(1, 6) i;
         INSERT INTO plain SELECT i, 'base' FROM generate_series(1, 4) i; INSERT INTO fine SELECT i, 'base' FROM generate_series(1, 4) i;`,
        { dialect },
      );
      await it_.secondary(
        `UPDATE db_redundancy.tables SET state = 'paused', reason = 'a test' WHERE table_name <> 'fine'`,
      );
      // The stream goes by what follows, and does not apply it to them.
      const stream = await new RunningStream(it_.pair).streaming();
      await it_.primary(
        `UPDATE dated SET v = 'new', updated_at = '2026-01-05' WHERE id IN (1, 2, 3); DELETE FROM dated WHERE id = 4;
         INSERT INTO dated VALUES (50, 'new', '2026-01-05'); UPDATE plain SET v = 'new' WHERE id IN (1, 2);
         INSERT INTO plain VALUES (50, 'new'); INSERT INTO bag VALUES (7)`,
      );
      await stream.caughtUp();
      await stream.stop();
      await it_.primary(
        `UPDATE dated SET v = 'tail', updated_at = '2026-01-06' WHERE id = 5; INSERT INTO bag VALUES (8); UPDATE fine SET v = 'tail' WHERE id = 1`,
      );
      const first = recoveryOf(it_.pair);
      await first.notePosition(2);
      await first.stop();
      for (const sql of [
        `UPDATE dated SET v = 'app, earlier', updated_at = '2026-01-03' WHERE id = 2`,
        `UPDATE dated SET v = 'app, later', updated_at = '2026-02-01' WHERE id = 3`,
        `INSERT INTO dated VALUES (60, 'app', '2026-02-01')`,
        `UPDATE plain SET v = 'app' WHERE id = 2`,
        `INSERT INTO plain VALUES (60, 'app')`,
        `INSERT INTO bag VALUES (9)`,
        `DELETE FROM fine WHERE id = 2`,
      ])
        await it_.secondary(sql);
      if (missed && dialect === 'postgres')
        await dropCatchUpSlot(connectionOf(it_.pair.secondary.url), `catchup_${it_.pair.secondary.name}`);
      if (missed && dialect === 'cockroach')
        await it_.secondary(`UPDATE db_redundancy.catchup SET source_position = '1500000000000000000.0000000000'`);
      await using recovery = recoveryOf(it_.pair);
      recovery.recoverPrimary(await fenceOf(it_.pair));
      await recovery.drain(never);

      const rows = async (table: string, order: string) =>
        (await it_.primary(`SELECT * FROM ${table} ORDER BY ${order}`)).map((row) =>
          Object.values(row).slice(0, 2).join(' '),
        );
      expect(await rows('dated', 'id')).toEqual([
        ...['1 new', '2 new', '3 app, later'],
        // Deleted on the primary after the pause: without a journal nobody can tell it from a row that was inserted.
        ...(missed ? ['4 base'] : []),
        ...['5 tail', '6 base', '50 new', '60 app'],
      ]);
      // Without updated_at a version is as good as the evidence that it was written.
      expect(await rows('plain', 'id')).toEqual([
        '1 new',
        missed ? '2 new' : '2 app',
        ...['3 base', '4 base', '50 new', '60 app'],
      ]);
      expect(await rows('bag', 'a')).toEqual(['1', '2', '7', '8', '9']);
      expect(await rows('fine', 'id')).toEqual([missed ? '1 base' : '1 tail', '3 base', '4 base']);
      const kept = (await it_.conflicts()).map((row) => `${row.table_name} ${row.row_key} ${row.winner}`);
      expect(kept).toEqual(
        expect.arrayContaining([
          'dated ["2"] primary',
          'dated ["3"] secondary',
          `plain ["2"] ${missed ? 'primary' : 'secondary'}`,
        ]),
      );
    },
  );
});
