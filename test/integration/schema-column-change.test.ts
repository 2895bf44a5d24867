/** Columns that change on the primary, followed on the secondary as the stream does it. */
import { expect, it } from 'vitest';
import { alterStatements, classifyColumns, consequence } from '../../src/schema/column-change.js';
import { createDatabasePair, type DatabasePair } from '../harness/cluster.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query } from '../harness/sql.js';
import { apply, difference, type Loaded, loadPair, replicateSchema, tableOf } from './schema-pair.js';

interface Followed {
  readonly kinds: string[];
  readonly consequences: string[];
}

/** Alters the primary's table t, and follows with what the change detection says. */
async function follow(pair: DatabasePair, before: Loaded, sql: string): Promise<Followed> {
  await query(pair.primary.url, sql);
  const after = await loadPair(pair);
  const known = tableOf(before, 't').model;
  const { model, planned } = tableOf(after, 't');
  const changes = classifyColumns(
    known.columns.map(({ attnum, name, type, nullable }) => ({ attnum, name, type: type.display, nullable })),
    model.columns,
    { before: known.primaryKey?.columns ?? null, after: model.primaryKey?.columns ?? null },
  );
  await apply(pair, alterStatements(planned, changes, after.translation));
  // What is left is what init does when no older change can be on its way any more.
  const { afterLoad, ...left } = await difference(pair, after);
  expect(left).toEqual({ statements: [], conflicts: [], reload: [] });
  const consequences = changes.map((change) => consequence(change, planned));
  if (!consequences.includes('reload')) await apply(pair, afterLoad);
  return { kinds: changes.map((change) => change.kind), consequences };
}

describeDialects('column changes', (dialect) => {
  it('follows added columns, also of a new type and with a sequence', async () => {
    await using pair = await createDatabasePair('columns', dialect);
    const before = await replicateSchema(pair, 'CREATE TABLE t (id integer PRIMARY KEY)');
    for (const url of [pair.primary.url, pair.secondary.url]) await query(url, 'INSERT INTO t VALUES (1)');
    const followed = await follow(
      pair,
      before,
      `CREATE TYPE size AS ENUM ('s', 'l');
       ALTER TABLE t ADD "A b" text NOT NULL DEFAULT 'x"y', ADD s size DEFAULT 'l', ADD n numeric(6,2)`,
    );
    expect(followed.kinds).toEqual(['added', 'added', 'added']);
    expect(followed.consequences).toEqual(['follow', 'follow', 'follow']);
    const rows = await query(pair.secondary.url, 'SELECT id, "A b", s::text AS s, n FROM t');
    expect(rows).toEqual([{ id: 1, 'A b': 'x"y', s: 'l', n: null }]);
    const serial = await follow(pair, await loadPair(pair), 'ALTER TABLE t ADD no serial');
    expect(serial.consequences).toEqual(['reload']);
  });

  it('follows renames, also where two columns swap their names', async () => {
    await using pair = await createDatabasePair('columns', dialect);
    const before = await replicateSchema(pair, 'CREATE TABLE t (id integer PRIMARY KEY, a text, b text, c text)');
    await query(pair.secondary.url, `INSERT INTO t VALUES (1, 'was a', 'was b', 'was c')`);
    const followed = await follow(
      pair,
      before,
      `ALTER TABLE t RENAME a TO x; ALTER TABLE t RENAME b TO a; ALTER TABLE t RENAME x TO b;
       ALTER TABLE t RENAME c TO "C ""new"""; ALTER TABLE t RENAME id TO key`,
    );
    expect(followed.kinds).toEqual(['renamed', 'renamed', 'renamed', 'renamed']);
    const rows = await query(pair.secondary.url, 'SELECT * FROM t');
    expect(rows).toEqual([{ key: 1, a: 'was b', b: 'was a', 'C "new"': 'was c' }]);
  });

  it('follows drops, and a new column under the name of a dropped one', async () => {
    await using pair = await createDatabasePair('columns', dialect);
    const before = await replicateSchema(pair, 'CREATE TABLE t (id integer PRIMARY KEY, a text NOT NULL, b integer)');
    await query(pair.secondary.url, `INSERT INTO t VALUES (1, 'gone', 2)`);
    const sql = 'ALTER TABLE t DROP a, DROP b; ALTER TABLE t ADD a integer DEFAULT 7';
    const followed = await follow(pair, before, sql);
    expect(followed.kinds).toEqual(['dropped', 'dropped', 'added']);
    expect(await query(pair.secondary.url, 'SELECT * FROM t')).toEqual([{ id: 1, a: 7 }]);
  });

  it('follows widened types and keeps the values', async () => {
    await using pair = await createDatabasePair('columns', dialect);
    const before = await replicateSchema(
      pair,
      `CREATE TABLE t (id smallint PRIMARY KEY, v varchar(5), w varchar(5), n numeric(6,2), m numeric(6,2), i integer,
         ts timestamp(0), bits varbit(3), must text NOT NULL)`,
    );
    const insert = `INSERT INTO t VALUES (1, 'abc', 'def', 12.34, 56.78, 5, '2024-01-01', '101', 'x')`;
    for (const url of [pair.primary.url, pair.secondary.url]) await query(url, insert);
    const followed = await follow(
      pair,
      before,
      `ALTER TABLE t ALTER id TYPE integer, ALTER v TYPE varchar(50), ALTER w TYPE text, ALTER n TYPE numeric(9,4),
         ALTER m TYPE numeric, ALTER i TYPE bigint, ALTER ts TYPE timestamp, ALTER bits TYPE varbit(8), ALTER must DROP NOT NULL`,
    );
    expect([...new Set(followed.kinds)].sort()).toEqual(['null-allowed', 'retyped-safe']);
    expect([...new Set(followed.consequences)]).toEqual(['follow']);
    const wide = `INSERT INTO t VALUES (100000, repeat('v', 50), repeat('w', 90), 12345.6789, 1e20, 5000000000,
      '2024-01-01 00:00:00.123456', '10101010', NULL)`;
    for (const url of [pair.primary.url, pair.secondary.url]) await query(url, wide);
    const values = (url: string): Promise<unknown> =>
      query(
        url,
        'SELECT id, v, w, round(n, 4)::text AS n, round(m, 2)::text AS m, i, ts, bits::text AS bits FROM t ORDER BY id',
      );
    expect(await values(pair.secondary.url)).toEqual(await values(pair.primary.url));
  });

  it('leaves what a person has to decide', async () => {
    await using pair = await createDatabasePair('columns', dialect);
    const before = await replicateSchema(pair, 'CREATE TABLE t (id integer PRIMARY KEY, a text, b integer NOT NULL)');
    await query(
      pair.primary.url,
      'ALTER TABLE t ALTER a TYPE integer USING length(a), DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (b, id)',
    );
    const after = await loadPair(pair);
    const { model, planned } = tableOf(after, 't');
    const known = tableOf(before, 't').model.columns.map(({ attnum, name, type }) => ({
      attnum,
      name,
      type: type.display,
    }));
    const changes = classifyColumns(known, model.columns, { before: ['id'], after: model.primaryKey?.columns ?? null });
    expect(changes).toEqual([
      { kind: 'retyped-unsafe', name: 'a', from: 'text', to: 'integer' },
      { kind: 'key-changed', from: ['id'], to: ['b', 'id'] },
    ]);
    expect(changes.map((change) => consequence(change, planned))).toEqual(['pause', 'pause']);
    expect(alterStatements(planned, changes, after.translation)).toEqual([]);
  });
});
