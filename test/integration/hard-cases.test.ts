/** SPEC section 4, "Hard cases, all required", against real servers: one stream, one table or two a case. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasOldestPrimary } from '../harness/oldest-primary.js';
import { describeDialects, type SecondaryDialect } from '../harness/secondary-dialects.js';
import { withClient } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { bothSides, streamingPair } from './support/stream.js';

const DDL = `
CREATE TABLE toast (id int PRIMARY KEY, big text, small int);
ALTER TABLE toast ALTER big SET STORAGE EXTERNAL;
CREATE TABLE toast_full (id int PRIMARY KEY, big text, small int);
ALTER TABLE toast_full ALTER big SET STORAGE EXTERNAL;
ALTER TABLE toast_full REPLICA IDENTITY FULL;
CREATE TABLE plain (id int PRIMARY KEY, v text);
CREATE TABLE uniq (id int PRIMARY KEY, u int UNIQUE DEFERRABLE INITIALLY IMMEDIATE, note text);
CREATE TABLE uniq_plain (id int PRIMARY KEY, u int UNIQUE, big text);
ALTER TABLE uniq_plain ALTER big SET STORAGE EXTERNAL;
CREATE TABLE parent (id serial PRIMARY KEY, v text);
CREATE TABLE child (id serial PRIMARY KEY, parent_id int REFERENCES parent ON DELETE CASCADE, v text);
CREATE TABLE bag (a int, b text, c jsonb, d numeric);
ALTER TABLE bag REPLICA IDENTITY FULL;
CREATE TABLE composite (tenant text, n bigint, at timestamptz, v int, PRIMARY KEY (tenant, n, at));
CREATE SCHEMA "Über ""schema""";
CREATE TABLE "Über ""schema"""."select" ("from" int PRIMARY KEY, "Größe; DROP" text, "a""b" text, "日本" int);
CREATE TABLE gen (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int DEFAULT 7, b int GENERATED ALWAYS AS (a * 2) STORED, c text DEFAULT 'x');
CREATE FUNCTION shout(t text) RETURNS text IMMUTABLE LANGUAGE sql AS $$SELECT upper(t) || '!'$$;
CREATE TABLE filled (id int PRIMARY KEY, name text, big text, loud text GENERATED ALWAYS AS (shout(name)) STORED, size int GENERATED ALWAYS AS (length(shout(big)) + id) STORED);
ALTER TABLE filled ALTER big SET STORAGE EXTERNAL;
INSERT INTO filled SELECT i, 'n' || i, repeat('x', 3000) FROM generate_series(1, 20) i;
CREATE TABLE filled_bag (a int, note text, loud text GENERATED ALWAYS AS (shout(note)) STORED);
ALTER TABLE filled_bag REPLICA IDENTITY FULL;
INSERT INTO filled_bag VALUES (1, 'one'), (1, 'one'), (2, NULL);
CREATE TABLE part (id int, region text, v int, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE part_eu PARTITION OF part FOR VALUES IN ('eu');
CREATE TABLE part_us PARTITION OF part FOR VALUES IN ('us');
CREATE TABLE edge (id int PRIMARY KEY, f8 float8, f4 float4, n numeric, d date, ts timestamp, tz timestamptz, t time, i interval, tx text, b bytea, ta text[], ia int[], j jsonb, u uuid, bo bool, ch char(5), vc varchar(10), bits bit(3));
CREATE TABLE by_index (a int NOT NULL, b int NOT NULL, v text);
CREATE UNIQUE INDEX by_index_key ON by_index (a, b);
ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_key;
CREATE TYPE mood AS ENUM ('sad', 'it''s "ok"', 'HAPPY');
CREATE TABLE moods (id int PRIMARY KEY, m mood, ms mood[]);
CREATE TABLE huge (id int PRIMARY KEY, v text);
CREATE TABLE only_key (a int, b text, PRIMARY KEY (a, b));
INSERT INTO plain SELECT i, 'v' || i FROM generate_series(1, 100) i;
`;

describeDialects('hard cases of the stream', (dialect) => hardCases(dialect, 'newest'));

// The oldest that is supported; its WAL has no generated columns, so that the primary must be asked for them.
describe.skipIf(!hasOldestPrimary)('hard cases of the stream, from PostgreSQL 14', () =>
  hardCases('postgres', 'oldest'),
);

function hardCases(dialect: SecondaryDialect, primary: 'newest' | 'oldest'): void {
  let it_: Awaited<ReturnType<typeof streamingPair>>;
  beforeAll(async () => {
    it_ = await streamingPair(DDL, { dialect, primary });
  });
  afterAll(async () => {
    await it_?.[Symbol.asyncDispose]();
  });

  async function expectSame(...tables: string[]): Promise<void> {
    await it_.stream.caughtUp();
    for (const table of tables) {
      const { primary, secondary } = await bothSides(it_.pair, table);
      expect(secondary, table).toEqual(primary);
    }
    // A partition that was attached with rows has its table compared once more: that may be under way.
    const states = () => it_.stream.streamer.snapshot().tables;
    await waitFor(() => states().every((table) => table.state === 'streaming' || table.state === 'paused'), {
      what: 'no table is being loaded',
    });
    expect(states().filter((table) => table.state !== 'streaming')).toEqual([]);
  }

  it('G3 keeps an unchanged TOAST value', async () => {
    await it_.primary(`INSERT INTO toast SELECT i, repeat(md5(i::text), 500), i FROM generate_series(1, 20) i`);
    await it_.stream.caughtUp();
    await it_.primary(`UPDATE toast SET small = small + 1000 WHERE id % 2 = 0`);
    await it_.primary(
      `BEGIN; UPDATE toast SET small = 0 WHERE id = 3; UPDATE toast SET big = repeat('new', 2000) WHERE id = 3; UPDATE toast SET small = 9 WHERE id = 3; COMMIT`,
    );
    await it_.primary(
      `BEGIN; INSERT INTO toast VALUES (50, repeat('fifty', 1000), 1); UPDATE toast SET small = 2 WHERE id = 50; COMMIT`,
    );
    await expectSame('toast');
  });

  it('G3 keeps an unchanged TOAST value of a row whose key changes', async () => {
    await it_.primary(`INSERT INTO toast SELECT i, repeat(md5(i::text), 500), i FROM generate_series(101, 110) i`);
    await it_.stream.caughtUp();
    await it_.primary(`UPDATE toast SET id = id + 1000 WHERE id IN (101, 102)`);
    await it_.primary(
      `BEGIN; UPDATE toast SET small = 77 WHERE id = 103; UPDATE toast SET id = 2103 WHERE id = 103; UPDATE toast SET id = 3103 WHERE id = 2103; UPDATE toast SET small = 78 WHERE id = 3103; COMMIT`,
    );
    await it_.primary(
      `BEGIN; UPDATE toast SET id = 5104 WHERE id = 104; INSERT INTO toast VALUES (104, 'again', 1); DELETE FROM toast WHERE id = 5104; COMMIT`,
    );
    await expectSame('toast');
  });

  it('G3 keeps an unchanged TOAST value under REPLICA IDENTITY FULL', async () => {
    await it_.primary(`INSERT INTO toast_full SELECT i, repeat(md5(i::text), 500), i FROM generate_series(1, 10) i`);
    await it_.stream.caughtUp();
    await it_.primary(
      `UPDATE toast_full SET small = -small; UPDATE toast_full SET id = id + 100 WHERE id < 4; DELETE FROM toast_full WHERE id = 5`,
    );
    await expectSame('toast_full');
  });

  it('G3 moves a row to another key, and keys in a chain', async () => {
    await it_.primary(`UPDATE plain SET id = 1001 WHERE id = 1`);
    await it_.primary(
      `BEGIN; UPDATE plain SET id = -2 WHERE id = 2; UPDATE plain SET id = 2 WHERE id = 3; UPDATE plain SET id = 3 WHERE id = -2; COMMIT`,
    );
    await it_.primary(`UPDATE plain SET id = id + 5000 WHERE id BETWEEN 10 AND 20`);
    await expectSame('plain');
  });

  it('G3 inserts and deletes one key in one transaction, in every order', async () => {
    await it_.primary(`BEGIN; INSERT INTO plain VALUES (9001, 'a'); DELETE FROM plain WHERE id = 9001; COMMIT`);
    await it_.primary(`BEGIN; DELETE FROM plain WHERE id = 50; INSERT INTO plain VALUES (50, 'back'); COMMIT`);
    await it_.primary(
      `BEGIN; DELETE FROM plain WHERE id = 51; INSERT INTO plain VALUES (51, 'x'); UPDATE plain SET v = 'y' WHERE id = 51; DELETE FROM plain WHERE id = 51; COMMIT`,
    );
    await expectSame('plain');
  });

  it('G3 swaps unique values between rows', async () => {
    await it_.primary(
      `INSERT INTO uniq SELECT i, i, 'n' FROM generate_series(1, 50) i; INSERT INTO uniq_plain SELECT i, i, repeat(md5(i::text), 300) FROM generate_series(1, 50) i`,
    );
    await it_.stream.caughtUp();
    await it_.primary(`UPDATE uniq SET u = 51 - u`);
    await it_.primary(
      `BEGIN; UPDATE uniq_plain SET u = -1 WHERE id = 1; UPDATE uniq_plain SET u = 1 WHERE id = 2; UPDATE uniq_plain SET u = 2 WHERE id = 1; COMMIT`,
    );
    await it_.primary(
      `BEGIN; DELETE FROM uniq_plain WHERE id = 10; INSERT INTO uniq_plain VALUES (11111, 10, 'took it'); UPDATE uniq_plain SET u = 999 WHERE id = 20; UPDATE uniq_plain SET u = 20 WHERE id = 21; COMMIT`,
    );
    await expectSame('uniq', 'uniq_plain');
  });

  it('G1 empties tables by TRUNCATE with CASCADE and RESTART IDENTITY, and goes on in the same transaction', async () => {
    await it_.primary(
      `INSERT INTO parent (v) SELECT 'p' FROM generate_series(1, 20); INSERT INTO child (parent_id, v) SELECT i, 'c' FROM generate_series(1, 20) i`,
    );
    await it_.stream.caughtUp();
    await it_.primary(
      `BEGIN; INSERT INTO parent (v) VALUES ('gone'); TRUNCATE parent RESTART IDENTITY CASCADE; INSERT INTO parent (v) VALUES ('first'), ('second'); INSERT INTO child (parent_id, v) VALUES (1, 'kept'); COMMIT`,
    );
    await expectSame('parent', 'child');
    await it_.primary(`TRUNCATE child`);
    await expectSame('parent', 'child');
  });

  it('G3 counts duplicates in a table without a key', async () => {
    await it_.primary(
      `INSERT INTO bag SELECT i % 3, CASE WHEN i % 2 = 0 THEN 'even' END, '{"b": 1, "a": [1, 2]}', i % 2 FROM generate_series(1, 30) i`,
    );
    await it_.primary(`DELETE FROM bag WHERE ctid IN (SELECT ctid FROM bag WHERE a = 1 LIMIT 3)`);
    await it_.primary(
      `BEGIN; UPDATE bag SET b = 'changed' WHERE a = 2 AND b IS NULL; INSERT INTO bag VALUES (NULL, NULL, NULL, NULL), (NULL, NULL, NULL, NULL); DELETE FROM bag WHERE a = 0 AND b = 'even'; COMMIT`,
    );
    await it_.primary(`DELETE FROM bag WHERE ctid IN (SELECT ctid FROM bag WHERE a IS NULL LIMIT 1)`);
    await expectSame('bag');
  });

  it('takes composite keys, keys of text only, and a replica identity index', async () => {
    await it_.primary(
      `INSERT INTO composite SELECT 'tenant ' || i % 3, i, '2024-01-01'::timestamptz + i * interval '1 hour', i FROM generate_series(1, 50) i`,
    );
    await it_.primary(
      `UPDATE composite SET v = -v WHERE n % 2 = 0; UPDATE composite SET tenant = 'moved' WHERE n < 5; DELETE FROM composite WHERE n BETWEEN 20 AND 30`,
    );
    await it_.primary(
      `INSERT INTO only_key VALUES (1, 'a'), (1, 'b'), (2, ''); UPDATE only_key SET b = 'c' WHERE b = 'a'; DELETE FROM only_key WHERE a = 2`,
    );
    await it_.primary(
      `INSERT INTO by_index SELECT i, i, 'x' FROM generate_series(1, 10) i; UPDATE by_index SET v = 'y' WHERE a = 3; UPDATE by_index SET b = 100 WHERE a = 4; DELETE FROM by_index WHERE a = 5`,
    );
    await expectSame('composite', 'only_key', 'by_index');
  });

  it('takes quoted, upper-case and non-ASCII identifiers in a schema of their own', async () => {
    await it_.primary(
      `INSERT INTO "Über ""schema"""."select" VALUES (1, 'ä', 'b', 2), (2, NULL, '', 3); UPDATE "Über ""schema"""."select" SET "a""b" = 'neu', "from" = 10 WHERE "from" = 1`,
    );
    await it_.stream.caughtUp();
    const name = { schema: 'Über "schema"', name: 'select' };
    const { primary, secondary } = await bothSides(it_.pair, name);
    expect(secondary).toEqual(primary);
    expect(primary).toHaveLength(2);
  });

  it('takes generated, identity and defaulted columns', async () => {
    await it_.primary(
      `INSERT INTO gen (a) VALUES (1), (DEFAULT), (NULL); INSERT INTO gen (id, a) OVERRIDING SYSTEM VALUE VALUES (500, 5); UPDATE gen SET a = 100 WHERE a = 1; UPDATE gen SET c = NULL WHERE id = 2`,
    );
    await expectSame('gen');
  });

  it('G1 fills a generated column that the secondary cannot work out itself, from the values of the change', async () => {
    expect(it_.stream.streamer.report?.deviations.join()).toMatch(
      /filled\.loud: becomes a plain column that the stream fills/,
    );
    await expectSame('filled', 'filled_bag');
    await it_.primary(
      `INSERT INTO filled (id, name, big) VALUES (30, 'Ünï', 'b'), (31, NULL, NULL), (32, E'q"\\{}', repeat('y', 5000));
       UPDATE filled SET name = 'small change' WHERE id = 1;
       UPDATE filled SET id = 100, name = 'moved' WHERE id = 2;
       BEGIN; UPDATE filled SET name = 'twice' WHERE id = 3; UPDATE filled SET big = repeat('z', 4000) WHERE id = 3; DELETE FROM filled WHERE id = 4; COMMIT;
       UPDATE filled SET id = 200 WHERE id = 5;
       BEGIN; INSERT INTO filled VALUES (40, 'a', repeat('w', 3000)); UPDATE filled SET name = 'b' WHERE id = 40; COMMIT`,
    );
    await it_.primary(
      `INSERT INTO filled_bag VALUES (3, 'three'), (3, 'three'); DELETE FROM filled_bag WHERE ctid = (SELECT min(ctid) FROM filled_bag WHERE a = 1); UPDATE filled_bag SET note = 'was null' WHERE a = 2`,
    );
    await expectSame('filled', 'filled_bag');
    const [row] = await it_.secondary(`SELECT loud, size FROM filled WHERE id = 100`);
    expect(row).toMatchObject({ loud: 'MOVED!' });
  });

  it('publishes a partitioned table through its root', async () => {
    await it_.primary(
      `INSERT INTO part SELECT i, CASE WHEN i % 2 = 0 THEN 'eu' ELSE 'us' END, i FROM generate_series(1, 20) i; UPDATE part SET region = 'us' WHERE id = 2; UPDATE part SET v = 0 WHERE id = 3; DELETE FROM part WHERE id = 4`,
    );
    await it_.primary(
      `CREATE TABLE part_asia PARTITION OF part FOR VALUES IN ('asia'); INSERT INTO part VALUES (200, 'asia', 1)`,
    );
    await expectSame('part');
  });

  it('G9 notices what the WAL does not say of partitions: one emptied, one dropped, one attached with rows', async () => {
    const resynced = async (sql: string) => {
      await it_.primary(sql);
      await waitFor(
        async () => {
          const { primary, secondary } = await bothSides(it_.pair, 'part');
          expect(secondary).toEqual(primary);
          return it_.stream.streamer.snapshot().tables.find((table) => table.name === 'part')?.state === 'streaming';
        },
        { what: `part is the same again after ${sql}` },
      );
    };
    await resynced(`INSERT INTO part SELECT i, 'eu', i FROM generate_series(300, 310) i`);
    await resynced(`BEGIN; TRUNCATE part_eu; INSERT INTO part VALUES (400, 'eu', 1); COMMIT`);
    await resynced(`DROP TABLE part_us`);
    await resynced(
      `CREATE TABLE part_new (id int, region text, v int, PRIMARY KEY (id, region)); INSERT INTO part_new VALUES (500, 'new', 1); ALTER TABLE part ATTACH PARTITION part_new FOR VALUES IN ('new')`,
    );
  });

  it('takes edge values of every common type', async () => {
    await it_.primary(`INSERT INTO edge VALUES
      (1, 'NaN', 'NaN', 'NaN'::numeric, '0044-03-15 BC', '0044-03-15 12:00:00 BC', '0044-03-15 12:00:00+00 BC', '24:00', '-1 year 2 days -03:04:05.6', E'quote '' " back\\\\slash {brace} \\n tab\\t U0001F600', '\\x00ff10', '{}', '{}', '{"a":[1,null,{"b":"c\\"d"}]}', '00000000-0000-0000-0000-000000000000', true, 'ab', 'NULL', B'101'),
      (2, 'Infinity', '-Infinity', repeat('9', 1000)::numeric, '9999-12-31', '9999-12-31 23:59:59.999999', '9999-12-31 23:59:59.999999+00', '00:00', '00:00:00', '', '', '{NULL,"NULL","","a\\"b","c\\\\d","{x}",","}', '{NULL,-2147483648,2147483647}', 'null', 'ffffffff-ffff-ffff-ffff-ffffffffffff', false, '', '', B'000'),
      (3, 1e-300, 1.17549e-38, ('0.' || repeat('1', 500))::numeric, '0001-01-01', '0001-01-01', '0001-01-01 00:00:00+00', '23:59:59.999999', '${dialect === 'cockroach' ? 290 : 178000} years', repeat('x', 100000), decode(repeat('00', 1000), 'hex'), ARRAY['日本', 'ü'], '{1}', '"\\u0001"', gen_random_uuid(), NULL, 'abcde', '日本日本日本日本日本', NULL),
      (4, -0.0, 0, '-0.000', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)`);
    await it_.primary(`UPDATE edge SET id = id + 10 WHERE id = 3`);
    await expectSame('edge');
  });

  it('takes enums with quotes in labels, and arrays of them', async () => {
    await it_.primary(
      `INSERT INTO moods VALUES (1, 'it''s "ok"', ARRAY['sad', 'it''s "ok"', NULL]::mood[]), (2, NULL, '{}'), (3, 'HAPPY', NULL)`,
    );
    await expectSame('moods');
  });

  it('G1 leaves out what a savepoint rolled back, and what was rolled back as a whole', async () => {
    await it_.primary(
      `BEGIN; INSERT INTO plain VALUES (7001, 'kept'); SAVEPOINT a; INSERT INTO plain VALUES (7002, 'gone'); UPDATE plain SET v = 'gone' WHERE id = 7001; ROLLBACK TO a; SAVEPOINT b; INSERT INTO plain VALUES (7003, 'kept'); RELEASE b; COMMIT`,
    );
    await it_.primary(`BEGIN; DELETE FROM plain; ROLLBACK`);
    await expectSame('plain');
  });

  it('passes over empty transactions and those on other tables', async () => {
    await it_.primary(`CREATE TABLE IF NOT EXISTS elsewhere (x int)`);
    await withClient(it_.pair.primary.url, async (client) => {
      for (let i = 0; i < 50; i++)
        await client.query(
          i % 2 ? 'BEGIN; SELECT pg_current_xact_id(); COMMIT' : 'SELECT pg_logical_emit_message(true, $$x$$, $$y$$)',
        );
    });
    await it_.primary(`INSERT INTO plain VALUES (8001, 'after')`);
    await expectSame('plain');
  });

  it('takes a value of 50 MB', async () => {
    await it_.primary(`INSERT INTO huge VALUES (1, repeat('0123456789', 5000000)), (2, 'small')`);
    if (dialect === 'cockroach') {
      // Over the server's statement limit of 16 MiB: the row is kept as a dead letter and its table paused, others go on (G9).
      await it_.stream.caughtUp();
      const huge = it_.stream.streamer.snapshot().tables.find((table) => table.name === 'huge');
      expect(huge?.state).toBe('paused');
      expect(it_.stream.streamer.snapshot().deadLetters).toBe(1);
      return;
    }
    await it_.stream.caughtUp();
    expect(await it_.secondary('SELECT length(v)::int AS n FROM huge WHERE id = 1')).toEqual([{ n: 50_000_000 }]);
  });
}
