/** How a change source of CockroachDB goes through changes of the schema, and where it has to give up (SPEC 7, G7, G9). */
import { describe, expect, inject, it } from 'vitest';
import { CursorTooOldError, SchemaChangedError } from '../../src/catchup/catchup-errors.js';
import { ConfigurationError } from '../../src/core/errors.js';
import { quoteIdent } from '../../src/core/ident.js';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { Consumer, cockroachSource, publicTable, startedCockroach } from './catchup-support.js';

const TABLES = [publicTable('t'), publicTable('u')];
const DDL = 'CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE u (id int PRIMARY KEY, v text)';

describe.skipIf(!inject('cockroach').available)('schema changes on a CockroachDB secondary', () => {
  it('G7 says that a truncated table is to be compared, and goes on with it and the others', async () => {
    await using db = await startedCockroach(DDL);
    await using source = cockroachSource(db.url, TABLES, db.position);
    const consumer = new Consumer(source);
    await db.sql(`INSERT INTO t VALUES (1, 'x'); INSERT INTO u VALUES (1, 'x')`);
    await consumer.caughtUp();
    await db.sql(`INSERT INTO t VALUES (2, 'x'); INSERT INTO u VALUES (2, 'kept')`);
    await db.sql('TRUNCATE t');
    await consumer.until(() => consumer.schema.length > 0);
    expect(consumer.schema).toEqual([
      { kind: 'schema-changed', table: publicTable('t'), change: 'truncated', compare: true, columns: [] },
    ]);
    await db.sql(`INSERT INTO t VALUES (3, 'later'); INSERT INTO u VALUES (3, 'later')`);
    await consumer.caughtUp();
    expect(consumer.row('public.u', '2')?.after).toEqual({ id: '2', v: 'kept' });
    expect(consumer.row('public.t', '3')?.after).toEqual({ id: '3', v: 'later' });
    expect(consumer.row('public.u', '3')?.after).toEqual({ id: '3', v: 'later' });
    expect(consumer.schema).toHaveLength(1);
  });

  it('G7 meets a TRUNCATE again from a position before it, and never gives a mark behind it first', async () => {
    await using db = await startedCockroach(DDL);
    await db.sql(`INSERT INTO t VALUES (1, 'x'); INSERT INTO u VALUES (1, 'x')`);
    await db.sql('TRUNCATE t');
    await db.sql(`INSERT INTO t VALUES (2, 'y')`);
    for (let round = 0; round < 2; round++) {
      await using source = cockroachSource(db.url, TABLES, db.position);
      const consumer = new Consumer(source);
      await consumer.until(() => consumer.position !== null);
      expect(consumer.schema.map((event) => [event.table.name, event.change, event.compare])).toEqual([
        ['t', 'truncated', true],
      ]);
      expect(consumer.row('public.u', '1')?.after).toEqual({ id: '1', v: 'x' });
    }
  });

  it('truncates the only table that is followed', async () => {
    await using db = await startedCockroach(DDL);
    await using source = cockroachSource(db.url, [publicTable('t')], db.position);
    const consumer = new Consumer(source);
    await db.sql(`INSERT INTO t VALUES (1, 'x'); TRUNCATE t`);
    await consumer.until(() => consumer.schema.length > 0);
    await db.sql(`INSERT INTO t VALUES (2, 'y')`);
    await consumer.caughtUp();
    expect(consumer.row('public.t', '2')?.after).toEqual({ id: '2', v: 'y' });
  });

  it('follows columns that are added, dropped and renamed', async () => {
    await using db = await startedCockroach(DDL);
    await using source = cockroachSource(db.url, TABLES, db.position);
    const consumer = new Consumer(source);
    await db.sql(`INSERT INTO t VALUES (1, 'x')`);
    await db.sql('ALTER TABLE t ADD COLUMN c numeric(10, 2) DEFAULT 7.50');
    await db.sql(`INSERT INTO t VALUES (2, 'y', 8); INSERT INTO u VALUES (2, 'same')`);
    await consumer.caughtUp();
    expect(consumer.schema.map((event) => event.columns)).toEqual([['id', 'v', 'c']]);
    // The rows that were there come once in their new shape.
    expect(consumer.row('public.t', '1')?.after).toEqual({ id: '1', v: 'x', c: '7.50' });
    expect(consumer.row('public.t', '2')?.after).toEqual({ id: '2', v: 'y', c: '8.00' });
    await db.sql('ALTER TABLE t DROP COLUMN v');
    await db.sql('INSERT INTO t VALUES (3, 9)');
    await db.sql('ALTER TABLE t RENAME COLUMN c TO d');
    await db.sql('INSERT INTO t VALUES (4, 10)');
    await db.sql('ALTER TABLE t ADD COLUMN j jsonb');
    await db.sql(`INSERT INTO t VALUES (5, 11, '"text"')`);
    await consumer.caughtUp();
    expect(consumer.schema.map((event) => [event.table.name, event.columns.join(), event.compare])).toEqual([
      ['t', 'id,v,c', false],
      ['t', 'id,c', false],
      ['t', 'id,d', false],
      ['t', 'id,d,j', false],
    ]);
    expect(consumer.row('public.t', '3')?.after).toMatchObject({ id: '3' });
    expect(consumer.row('public.t', '4')?.after).toMatchObject({ id: '4', d: '10.00' });
    expect(consumer.row('public.t', '5')?.after).toEqual({ id: '5', d: '11.00', j: '"text"' });
    expect(consumer.row('public.u', '2')?.after).toEqual({ id: '2', v: 'same' });
  });

  it('reads a history of schema changes that happened while nobody followed', async () => {
    await using db = await startedCockroach(DDL);
    await db.sql(`INSERT INTO t VALUES (1, 'x')`);
    await db.sql('ALTER TABLE t ADD COLUMN c int NOT NULL DEFAULT 7');
    await db.sql('INSERT INTO t VALUES (2)');
    await db.sql('ALTER TABLE t RENAME COLUMN v TO w');
    await db.sql('UPDATE t SET c = 8 WHERE id = 2');
    await db.sql('ALTER TABLE t ALTER PRIMARY KEY USING COLUMNS (c, id)');
    await db.sql(`INSERT INTO t VALUES (3, 'z', 9)`);
    await using source = cockroachSource(db.url, TABLES, db.position);
    const consumer = new Consumer(source);
    await consumer.caughtUp();
    // Each change under the key of its time.
    expect(consumer.row('public.t', '2')).toMatchObject({ key: { id: '2' }, after: { id: '2', c: '8' } });
    expect(consumer.row('public.t', '9', '3')).toMatchObject({ key: { c: '9', id: '3' }, after: { w: 'z' } });
    expect(consumer.schema.at(-1)?.columns).toEqual(['id', 'w', 'c']);
  });

  it.for([
    ['dropped', 'DROP TABLE t', /was dropped/],
    ['renamed', 'ALTER TABLE t RENAME TO elsewhere; INSERT INTO elsewhere VALUES (9)', /renamed to elsewhere/],
  ] as const)('G9 stops with an error when a followed table is %s', async ([, ddl, message]) => {
    await using db = await startedCockroach(DDL);
    await using source = cockroachSource(db.url, TABLES, db.position);
    const consumer = new Consumer(source);
    await consumer.until(() => consumer.position !== null);
    await db.sql(ddl);
    const failure = await consumer.until(() => false).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(SchemaChangedError);
    expect((failure as SchemaChangedError).message).toMatch(message);
    expect((failure as SchemaChangedError).remedy).toBeTruthy();
  });

  it('G9 stops with an error for a table that is not there', async () => {
    await using db = await startedCockroach(DDL);
    await using source = cockroachSource(db.url, [publicTable('nowhere')], db.position);
    await expect(source.next()).rejects.toBeInstanceOf(SchemaChangedError);
  });

  it('G9 says that a position is too old, and that a full comparison is needed', async () => {
    await using db = await startedCockroach(DDL);
    await db.sql(`INSERT INTO t VALUES (1, 'x')`);
    await db.sql('ALTER TABLE t CONFIGURE ZONE USING gc.ttlseconds = 1');
    const passed = async () => {
      const error = await db.sql(`SELECT * FROM t AS OF SYSTEM TIME '${db.position}'`).then(
        () => null,
        (reason: Error) => reason,
      );
      return /must be after replica GC threshold/.test(error?.message ?? '');
    };
    await waitFor(passed, { what: 'the GC window passes', timeoutMs: 45_000 });
    await using source = cockroachSource(db.url, TABLES, db.position);
    const failure = await source.next().catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(CursorTooOldError);
    expect((failure as CursorTooOldError).remedy).toMatch(/compare all tables/);
    expect((failure as CursorTooOldError).message).toContain(db.position);
  });

  it('refuses a position of another kind or from the future', async () => {
    await using db = await startedCockroach(DDL);
    expect(() => cockroachSource(db.url, TABLES, '0/16B3748')).toThrow(ConfigurationError);
    const [seconds] = db.position.split('.');
    await using source = cockroachSource(db.url, TABLES, `${BigInt(seconds ?? 0) + 3_600_000_000_000n}.0000000000`);
    await expect(source.next()).rejects.toMatchObject({ code: 'cursor-in-future' });
  });

  it('names the privilege that a role lacks', async () => {
    await using db = await startedCockroach(DDL);
    const role = `plain_${db.pair.secondary.name}`;
    await db.sql(`CREATE USER ${quoteIdent(role)}; GRANT SELECT ON TABLE t, u TO ${quoteIdent(role)}`);
    try {
      const url = new URL(db.url);
      url.username = role;
      await using source = cockroachSource(url.href, TABLES, db.position);
      await expect(source.next()).rejects.toMatchObject({ code: 'changefeed-privilege', exitCode: 2 });
    } finally {
      await query(db.url, `REVOKE SELECT ON TABLE t, u FROM ${quoteIdent(role)}; DROP USER ${quoteIdent(role)}`);
    }
  });
});
