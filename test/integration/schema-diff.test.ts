/** A secondary that has been there for a while: what is missing is added, what stands in the way is named. */
import { expect, it } from 'vitest';
import { createDatabasePair, type DatabasePair } from '../harness/cluster.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { dumpTable, query } from '../harness/sql.js';
import { apply, difference, loadPair, NOTHING, replicateSchema } from './schema-pair.js';

/** Brings the secondary up to the primary, and checks that nothing is left. */
async function catchUp(pair: DatabasePair): Promise<string[]> {
  const loaded = await loadPair(pair);
  const { statements, afterLoad, conflicts } = await difference(pair, loaded);
  expect(conflicts).toEqual([]);
  await apply(pair, [...statements, ...afterLoad]);
  expect(await difference(pair, loaded)).toEqual(NOTHING);
  return statements.map(({ sql }) => sql);
}

describeDialects('schema drift between two runs', (dialect) => {
  it('adds labels of an enum where they belong', async () => {
    await using pair = await createDatabasePair('diff', dialect);
    await replicateSchema(
      pair,
      `CREATE TYPE mood AS ENUM ('b', 'd''s "x"'); CREATE TABLE t (id integer PRIMARY KEY, m mood)`,
    );
    for (const change of [`'a' BEFORE 'b'`, `'c\\' AFTER 'b'`, `'e'`]) {
      await query(pair.primary.url, `ALTER TYPE mood ADD VALUE ${change}`);
    }
    await catchUp(pair);
    const labels = ['a', 'b', 'c\\', 'd\'s "x"', 'e'];
    for (const url of [pair.primary.url, pair.secondary.url]) {
      const sql = 'SELECT enumlabel::text AS label FROM pg_enum ORDER BY enumsortorder';
      const found = await query<{ label: string }>(url, sql);
      expect(found.map((row) => row.label)).toEqual(labels);
    }
  });

  it('adds columns with what older rows hold, indexes, checks, uniques, comments and tables', async () => {
    await using pair = await createDatabasePair('diff', dialect);
    await replicateSchema(pair, 'CREATE TABLE t (id integer PRIMARY KEY, old text)');
    for (const url of [pair.primary.url, pair.secondary.url])
      await query(url, `INSERT INTO t VALUES (1, 'x'), (2, NULL)`);
    await query(
      pair.primary.url,
      `CREATE TYPE kind AS ENUM ('p', 'q');
       ALTER TABLE t ADD n integer NOT NULL DEFAULT 42, ADD "Sp ace" text DEFAULT 'it''s \\ "x"', ADD k kind DEFAULT 'q',
         ADD empty numeric(8,2), ADD list integer[] DEFAULT '{1,2}', ADD b bytea DEFAULT '\\x00ff', ADD ok boolean DEFAULT true,
         ADD at timestamptz DEFAULT '2024-02-29 12:00:00+00', ADD doc jsonb DEFAULT '{"a": [1]}',
         ADD CONSTRAINT n_positive CHECK (n > 0), ADD CONSTRAINT n_once UNIQUE (n, id);
       CREATE INDEX t_n ON t (n) WHERE n > 3; COMMENT ON TABLE t IS 'now with a comment'; COMMENT ON COLUMN t.n IS 'so has n';
       ALTER TABLE t ALTER n SET DEFAULT 43, ALTER "Sp ace" DROP DEFAULT;
       CREATE TABLE fresh (id serial PRIMARY KEY)`,
    );
    await catchUp(pair);
    const values = async (url: string): Promise<unknown> => {
      const columns = `id, old, n, "Sp ace", k::text AS k, empty::text AS empty, list, b, ok, at, doc`;
      return query(url, `SELECT ${columns} FROM t ORDER BY id`);
    };
    expect(await values(pair.secondary.url)).toEqual(await values(pair.primary.url));
    await query(pair.secondary.url, `INSERT INTO t (id) VALUES (3)`);
    expect((await dumpTable(pair.secondary.url, 't', 'id'))[2]).toMatchObject({ n: '43', 'Sp ace': null, k: 'q' });
  });

  it('names the tables whose older rows only the primary knows', async () => {
    await using pair = await createDatabasePair('diff', dialect);
    await replicateSchema(pair, 'CREATE TABLE t (id integer PRIMARY KEY); CREATE TABLE u (id integer PRIMARY KEY)');
    await query(pair.primary.url, 'INSERT INTO t VALUES (1); INSERT INTO u VALUES (1)');
    await query(pair.secondary.url, 'INSERT INTO t VALUES (1)');
    await query(
      pair.primary.url,
      'ALTER TABLE t ADD r double precision NOT NULL DEFAULT random(); ALTER TABLE u ADD s text',
    );
    const diff = await difference(pair, await loadPair(pair));
    expect(diff.reload).toEqual([{ schema: 'public', name: 't' }]);
    expect(diff.afterLoad.map(({ sql }) => sql)).toEqual(['ALTER TABLE "public"."t" ALTER COLUMN "r" SET NOT NULL']);
    await apply(pair, diff.statements);
    expect(await dumpTable(pair.secondary.url, 't')).toEqual([{ id: '1', r: null }]);
  });

  it('follows changed defaults, sequences and NULL that has become allowed', async () => {
    await using pair = await createDatabasePair('diff', dialect);
    await replicateSchema(pair, `CREATE TABLE t (id serial PRIMARY KEY, a text NOT NULL, b integer DEFAULT 1)`);
    await query(
      pair.primary.url,
      `ALTER TABLE t ALTER a DROP NOT NULL, ALTER b DROP DEFAULT; ALTER SEQUENCE t_id_seq INCREMENT BY 10 CACHE 5`,
    );
    await catchUp(pair);
    await query(pair.secondary.url, 'INSERT INTO t (id) VALUES (1)');
    expect(await dumpTable(pair.secondary.url, 't')).toEqual([{ id: '1', a: null, b: null }]);
  });

  it('names what would make rows of the primary fail, with a statement that mends it', async () => {
    await using pair = await createDatabasePair('diff', dialect);
    await query(
      pair.primary.url,
      `CREATE TABLE t (id integer PRIMARY KEY, a text, n integer, g integer); CREATE TABLE keyless (a integer);
       CREATE TABLE pair (x integer, y integer, PRIMARY KEY (x, y)); CREATE TABLE seen (id integer PRIMARY KEY);
       CREATE TABLE extra (id integer PRIMARY KEY, spare integer)`,
    );
    for (const sql of [
      'CREATE TABLE other (id INT4 PRIMARY KEY)',
      `CREATE TABLE t (id INT4 PRIMARY KEY, a VARCHAR(10), n INT4 NOT NULL, g INT4 ${dialect === 'cockroach' ? '' : 'GENERATED ALWAYS '}AS (1 + 1) STORED,
         more INT4 NOT NULL, harmless INT4 NOT NULL DEFAULT 1,
         CONSTRAINT fk FOREIGN KEY (n) REFERENCES other (id), CONSTRAINT once UNIQUE (n), CONSTRAINT small CHECK (n < 10))`,
      'CREATE TABLE keyless (a INT4 PRIMARY KEY)',
      'CREATE TABLE pair (x INT4, y INT4, PRIMARY KEY (y, x))',
      'CREATE VIEW seen AS SELECT 1 AS id',
      'CREATE TABLE extra (id INT4 PRIMARY KEY, spare INT4)',
      'CREATE UNIQUE INDEX lonely ON extra (spare)',
    ]) {
      await query(pair.secondary.url, dialect === 'cockroach' ? sql : sql.replaceAll('INT4', 'integer'));
    }
    const loaded = await loadPair(pair);
    const { conflicts } = await difference(pair, loaded);
    expect(conflicts.map(({ kind, object }) => `${kind} ${object}`).sort()).toEqual([
      'check public.t.small',
      'column-type public.t.a',
      'extra-column public.t.more',
      'foreign-key public.t.fk',
      'generated-column public.t.g',
      'not-a-table public.seen',
      'primary-key public.keyless.keyless_pkey',
      'primary-key public.pair.pair_pkey',
      'unique public.extra.lonely',
      'unique public.t.once',
    ]);
    for (const { remedy, kind } of conflicts) {
      const possible = dialect === 'postgres' || !['generated-column', 'primary-key'].includes(kind);
      if (remedy !== null && possible) await query(pair.secondary.url, remedy);
    }
    const left = await difference(pair, loaded);
    expect(left.conflicts.map(({ kind }) => kind)).not.toContain('foreign-key');
    expect(left.conflicts.map(({ object }) => object)).not.toContain('public.t.a');
    expect(left.conflicts.map(({ object }) => object)).not.toContain('public.t.more');
    expect(left.conflicts.length).toBe(dialect === 'postgres' ? 2 : 4);
  });
});
