/** SPEC section 4, "Schema drift": ALTER TYPE ... RENAME VALUE on the primary, which no WAL announces. */
import { expect, it, vi } from 'vitest';
import { createDatabasePair } from '../harness/cluster.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query, withClient } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { bothSides, RunningStream, streamingPair } from './support/stream.js';

type Pair = Awaited<ReturnType<typeof streamingPair>>;

const DDL = `
CREATE TYPE mood AS ENUM ('sad', 'ok', 'glad');
CREATE DOMAIN feeling AS mood CHECK (VALUE <> 'ok');
CREATE TABLE t (id int PRIMARY KEY, m mood DEFAULT 'sad', ms mood[], f feeling);
CREATE TABLE keyed (m mood, n int, v text, PRIMARY KEY (m, n));
CREATE TABLE bag (m mood, v text);
ALTER TABLE bag REPLICA IDENTITY FULL;
INSERT INTO t VALUES (1, 'sad', '{sad,NULL,ok}', 'sad'), (2, 'ok', '{}', NULL), (3, 'glad', NULL, 'glad');
INSERT INTO keyed SELECT unnest(enum_range(NULL::mood)), n, 'v' FROM generate_series(1, 5) n;
INSERT INTO bag SELECT 'sad', 'v' || n FROM generate_series(1, 5) n;
`;
const TABLES = ['t', 'keyed', 'bag'] as const;

async function expectSame({ pair, stream }: Pick<Pair, 'pair' | 'stream'>): Promise<void> {
  await stream.caughtUp();
  const same = async () => {
    for (const table of TABLES) {
      const { primary, secondary } = await bothSides(pair, table);
      expect(secondary).toEqual(primary);
    }
    expect(await labels(pair.secondary.url)).toEqual(await labels(pair.primary.url));
    const { dropped, deadLetters, tables } = stream.streamer.snapshot();
    expect({ dropped, deadLetters }).toEqual({ dropped: 0, deadLetters: 0 });
    return tables.every((table) => table.state === 'streaming');
  };
  await waitFor(same, {
    what: `all tables are the same on both sides; ${JSON.stringify(stream.streamer.snapshot().tables)}`,
  });
}

async function labels(url: string): Promise<unknown[]> {
  const sql = `SELECT e.enumlabel::text AS label FROM pg_catalog.pg_enum e JOIN pg_catalog.pg_type t ON t.oid = e.enumtypid WHERE t.typname = 'mood' ORDER BY e.enumsortorder`;
  return (await query<{ label: string }>(url, sql)).map(({ label }) => label);
}

// On CockroachDB each statement of the schema is a job of its own.
vi.setConfig({ testTimeout: 150_000 });

describeDialects(
  'renamed labels of an enum',
  (dialect) => {
    it('G9 reach rows of before, of meanwhile and of after, in one transaction and across one that stays open', async () => {
      await using it_ = await streamingPair(DDL, { dialect });
      await withClient(it_.pair.primary.url, async (open) => {
        await open.query(`BEGIN; INSERT INTO t VALUES (10, 'sad', '{sad,sad}', 'sad')`);
        await open.query(
          `UPDATE keyed SET v = 'open' WHERE m = 'sad' AND n = 1; DELETE FROM keyed WHERE m = 'sad' AND n = 2`,
        );
        await open.query(`DELETE FROM bag WHERE v = 'v1'; UPDATE bag SET v = 'w' WHERE v = 'v2'`);
        await it_.primary(`INSERT INTO t VALUES (11, 'sad'); ALTER TYPE mood RENAME VALUE 'sad' TO 'it''s "blue"'`);
        await it_.primary(
          `INSERT INTO t VALUES (12, 'it''s "blue"', ARRAY['it''s "blue"', 'ok']::mood[], 'it''s "blue"')`,
        );
        await it_.primary(
          `INSERT INTO keyed VALUES ('it''s "blue"', 20, 'new'); UPDATE keyed SET n = 30 WHERE m = 'it''s "blue"' AND n = 3`,
        );
        await it_.stream.caughtUp();
        await open.query(
          `INSERT INTO t VALUES (13, 'it''s "blue"'); UPDATE keyed SET m = 'glad', n = 40 WHERE m = 'it''s "blue"' AND n = 4`,
        );
        await open.query(`DELETE FROM bag WHERE v = 'v3'; COMMIT`);
      });
      await expectSame(it_);
      await it_.primary(
        `BEGIN; INSERT INTO t VALUES (20, 'ok', '{ok}'); ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'; INSERT INTO t VALUES (21, 'fine', '{fine}');
       UPDATE t SET m = 'glad' WHERE id = 2; SAVEPOINT a; ALTER TYPE mood RENAME VALUE 'fine' TO 'never'; ROLLBACK TO a; INSERT INTO t VALUES (22, 'fine'); COMMIT`,
      );
      await expectSame(it_);
    });

    it('G9 are followed when no row says so', async () => {
      await using it_ = await streamingPair(DDL, { dialect });
      await it_.primary(`ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'; INSERT INTO t VALUES (30, 'ok')`);
      await expectSame(it_);
      expect(
        it_.stream.log.entries.some(({ message }) => /sad is blue now.* was renamed on the secondary/.test(message)),
      ).toBe(true);
      // When nothing of before can come any more, values are not looked at one by one.
      const settled = async () =>
        (await it_.secondary('SELECT unsettled FROM db_redundancy.enum_labels')).every((row) => row.unsettled === null);
      await waitFor(settled, { what: 'former names are forgotten' });
      await it_.primary(`INSERT INTO t VALUES (31, 'blue'); INSERT INTO bag VALUES ('blue', 'x')`);
      await expectSame(it_);
    });

    it('G9 change places, with rows under the name between, and under a name that is another label by then', async () => {
      await using it_ = await streamingPair(DDL, { dialect });
      await withClient(it_.pair.primary.url, async (open) => {
        await open.query(
          `BEGIN; INSERT INTO t VALUES (40, 'sad', '{sad,glad}', 'glad'); INSERT INTO bag VALUES ('sad', 'open')`,
        );
        await it_.primary(`INSERT INTO t VALUES (41, 'sad'); INSERT INTO keyed VALUES ('glad', 41, 'x')`);
        await it_.primary(`ALTER TYPE mood RENAME VALUE 'sad' TO 'tmp'`);
        await it_.primary(
          `INSERT INTO t VALUES (42, 'tmp', '{tmp,glad}', 'tmp'); UPDATE keyed SET v = 'tmp' WHERE m = 'tmp' AND n = 5`,
        );
        await it_.primary(`ALTER TYPE mood RENAME VALUE 'glad' TO 'sad'`);
        await it_.primary(`INSERT INTO t VALUES (43, 'sad'), (44, 'tmp')`);
        await it_.primary(`ALTER TYPE mood RENAME VALUE 'tmp' TO 'glad'`);
        await it_.primary(
          `INSERT INTO t VALUES (45, 'sad'), (46, 'glad'); DELETE FROM keyed WHERE m = 'sad' AND n = 1`,
        );
        await expectSame(it_);
        await open.query('COMMIT');
      });
      await expectSame(it_);
      await it_.primary(`UPDATE t SET m = 'glad' WHERE m = 'sad'; INSERT INTO bag SELECT m, 'copy' FROM keyed`);
      await expectSame(it_);
    });

    it('G9 leave their name to a new label', async () => {
      await using it_ = await streamingPair(DDL, { dialect });
      await it_.primary(`INSERT INTO t VALUES (50, 'sad'); ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'`);
      await it_.primary(`ALTER TYPE mood ADD VALUE 'sad' BEFORE 'glad'`);
      await it_.primary(
        `INSERT INTO t VALUES (51, 'sad'), (52, 'blue'); INSERT INTO keyed VALUES ('sad', 1, 'new'), ('sad', 2, 'new')`,
      );
      await expectSame(it_);
      await it_.primary(
        `DELETE FROM keyed WHERE m = 'sad' AND n = 1; UPDATE keyed SET m = 'sad', n = 60 WHERE m = 'blue' AND n = 1`,
      );
      await expectSame(it_);
    });

    it('G9 are followed while the table loads, and by a process that was not there', async () => {
      await using pair = await createDatabasePair('labels', dialect);
      await query(pair.primary.url, DDL);
      await query(
        pair.primary.url,
        `ALTER TABLE t ADD COLUMN big text; INSERT INTO t (id, m, big) SELECT i, 'sad', repeat('x', 40000) FROM generate_series(100, 700) i`,
      );
      {
        await using stream = new RunningStream(pair);
        const begun = async () =>
          (await query(pair.secondary.url, 'SELECT 1 FROM t WHERE id >= 100 LIMIT 1')).length > 0;
        await waitFor(() => begun().catch(() => false), { what: 'the first chunk is there', timeoutMs: 50_000 });
        await query(pair.primary.url, `ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'`);
        await query(
          pair.primary.url,
          `INSERT INTO t (id, m) VALUES (60, 'blue'); UPDATE t SET big = NULL WHERE id > 690`,
        );
        await stream.streaming();
        await expectSame({ pair, stream });
      }
      await query(pair.primary.url, `INSERT INTO t (id, m) VALUES (61, 'blue'), (62, 'ok')`);
      await query(
        pair.primary.url,
        `ALTER TYPE mood RENAME VALUE 'ok' TO 'tmp'; ALTER TYPE mood RENAME VALUE 'blue' TO 'ok'; ALTER TYPE mood RENAME VALUE 'tmp' TO 'blue'`,
      );
      await query(
        pair.primary.url,
        `INSERT INTO t (id, m) VALUES (63, 'blue'), (64, 'ok'); UPDATE keyed SET v = 'away' WHERE m = 'ok'`,
      );
      await using again = await new RunningStream(pair).streaming();
      await expectSame({ pair, stream: again });
    });

    it('G4 G9 are followed inside a transaction that is applied in parts', async () => {
      await using it_ = await streamingPair(DDL, { dialect, maxRows: 50 });
      await it_.primary(
        `BEGIN; INSERT INTO t (id, m) SELECT i, 'sad' FROM generate_series(1000, 1100) i; ALTER TYPE mood RENAME VALUE 'sad' TO 'blue';
       INSERT INTO t (id, m) SELECT i, 'blue' FROM generate_series(1101, 1200) i; COMMIT`,
      );
      await expectSame(it_);
    });

    it('G9 pause a table where the secondary has both names already, and say what mends it', async () => {
      await using it_ = await streamingPair(DDL, { dialect });
      await it_.secondary(`ALTER TYPE mood ADD VALUE 'blue'`);
      await it_.primary(`ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'`);
      await it_.primary(`INSERT INTO t VALUES (70, 'blue')`);
      const state = () => it_.stream.streamer.snapshot().tables.find((table) => table.name === 't');
      await waitFor(() => state()?.state === 'paused', { what: 'the table is paused' });
      expect(state()?.reason).toMatch(
        /sad is blue now in enum public\.mood .* the secondary has both labels, sad and blue/,
      );
      // Said when the pause is stored.
      const said = () => it_.stream.log.entries.some(({ message }) => /db:sync -- --table public\.t/.test(message));
      await waitFor(said, { what: 'the command that mends it is named' });
      for (const name of TABLES) await it_.stream.streamer.resync({ schema: 'public', name });
      const same = async () => {
        for (const table of TABLES) {
          const { primary, secondary } = await bothSides(it_.pair, table);
          expect(secondary).toEqual(primary);
        }
        return true;
      };
      await waitFor(same, { what: 'all tables are the same on both sides' });
    });
  },
  ['cockroach'],
);
