/** The change source of a CockroachDB secondary against a real one (SPEC 7, "Catch-up source"; G4, G7). */
import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, inject, it } from 'vitest';
import type { RowValues } from '../../src/catchup/change-source.js';
import { quoteIdent, quoteTable } from '../../src/core/ident.js';
import { TcpProxy } from '../harness/proxy.js';
import { canonicalDump, query, withClient } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { Consumer, cockroachSource, publicTable, startedCockroach } from './catchup-support.js';

describe.skipIf(!inject('cockroach').available)('changes of a CockroachDB secondary', () => {
  it('G7 delivers inserts, updates, deletes and key changes, the latest of each key at a mark', async () => {
    await using db = await startedCockroach(
      `CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'before'), (2, 'gone')`,
    );
    await using source = cockroachSource(db.url, [publicTable('t')], db.position);
    const consumer = new Consumer(source);
    await db.sql(`INSERT INTO t VALUES (3, 'new')`);
    await db.sql(`UPDATE t SET v = 'after' WHERE id = 1`);
    await db.sql(`DELETE FROM t WHERE id = 2`);
    await db.sql(`INSERT INTO t VALUES (4, 'moves')`);
    await db.sql(`UPDATE t SET id = 40 WHERE id = 4`);
    await db.sql(`INSERT INTO t VALUES (5, 'short'); DELETE FROM t WHERE id = 5`);
    await consumer.caughtUp();
    expect(consumer.row('public.t', '1')).toMatchObject({ key: { id: '1' }, after: { id: '1', v: 'after' } });
    expect(consumer.row('public.t', '2')?.after).toBeNull();
    expect(consumer.row('public.t', '3')?.after).toEqual({ id: '3', v: 'new' });
    expect(consumer.row('public.t', '4')?.after).toBeNull();
    expect(consumer.row('public.t', '40')?.after).toEqual({ id: '40', v: 'moves' });
    expect(consumer.row('public.t', '5')?.after).toBeNull();
    expect(consumer.latest.size).toBe(6);
  });

  it('gives every value in the text that PostgreSQL reads for it, exactly', async () => {
    const ddl = `CREATE TYPE mood AS ENUM ('sad', 'it''s "ok"');
      CREATE SCHEMA "S c";
      CREATE TABLE "S c"."Tä ""b" ("a b" int8, "日本" text, n numeric, n2 numeric(30, 10), i2 int2, i8 int8, f float8, f4 float4, j jsonb, b bytea,
        ia int8[], ta text[], na numeric[], ba bytea[], tsa timestamptz[], m mood, ts timestamp, tz timestamptz, d date, t time, ttz timetz, iv interval, u uuid, bo bool,
        bi bit(3), vb varbit, ine inet, ch char(5), vc varchar(20), PRIMARY KEY ("日本", "a b"))`;
    await using db = await startedCockroach(ddl);
    await query(db.pair.primary.url, ddl);
    const table = { schema: 'S c', name: 'Tä "b' };
    await using source = cockroachSource(db.url, [table], db.position);
    const consumer = new Consumer(source);
    const name = quoteTable(table.schema, table.name);
    await db.sql(`INSERT INTO ${name} VALUES
      (9223372036854775807, 'k''",\\', 123456789012345678901234567890.1234567890123456789, 12345678901234567890.0123456789, -32768, -9223372036854775808, 0.1, 1.1,
       '{"n": 12345678901234567890.10, "a": [1, null, "x\\"y"], "ü": {}}', '\\x00ff5c', ARRAY[1, NULL, 9007199254740993], ARRAY['a,"', NULL, 'NULL', '', 'b\\c', '{x}'], ARRAY[1.50, 1e-30],
       ARRAY['\\x00'::bytes, ''], ARRAY['2024-01-01 00:00:00.123456+02'::timestamptz, NULL], 'it''s "ok"', '2024-01-01 00:00:00.123456', '2024-06-01 12:00:00+02', '2024-02-29', '24:00', '10:00:00+02',
       '1 year 2 days -03:04:05.6', '00000000-0000-0000-0000-000000000001', true, B'101', B'', '10.0.0.1/8', 'ab', 'ä "q" \\'),
      (1, '', 'NaN', 0.0000000001, 0, 0, 'NaN', '-Infinity', '"text"', '', '{}', '{}', NULL, NULL, NULL, NULL, '0044-03-15 12:00:00 BC', '0001-01-01 00:00:00+00', '0044-03-15 BC', '00:00', '00:00:00+00',
       '00:00:00', NULL, false, NULL, B'1', '::1', '', ''),
      (2, 'nulls', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
      (3, 'more', 1.000, 1, 1, 1, 1e300, 3.4e38, '[1.0, {"b": "c"}, true, null]', '\\x5c78', NULL, ARRAY['日本'], NULL, NULL, NULL, 'sad', '9999-12-31 23:59:59.999999', '9999-12-31 23:59:59.999999+00', '9999-12-31', '23:59:59.999999', '23:59:59.999999-12',
       '-1 year -2 mons 3 days', 'ffffffff-ffff-ffff-ffff-ffffffffffff', NULL, B'000', NULL, '1.2.3.4', '日本', 'x')`);
    await consumer.caughtUp();
    expect(consumer.row('S c.Tä "b', `k'",\\`, '9223372036854775807')?.key).toEqual({
      日本: `k'",\\`,
      'a b': '9223372036854775807',
    });
    await withClient(db.pair.primary.url, async (client) => {
      for (const { after } of consumer.latest.values()) {
        const values = after as RowValues;
        const columns = Object.keys(values).map(quoteIdent).join(', ');
        const parameters = Object.keys(values)
          .map((_, i) => `$${i + 1}`)
          .join(', ');
        await client.query(`INSERT INTO ${name} (${columns}) VALUES (${parameters})`, Object.values(values));
      }
    });
    const [copied, original] = await Promise.all([
      canonicalDump(db.pair.primary.url, table),
      canonicalDump(db.url, table),
    ]);
    expect(copied).toHaveLength(4);
    expect(copied).toEqual(original);
  });

  it('takes tables of one name in two schemas, and tables without a key', async () => {
    await using db = await startedCockroach(
      `CREATE TABLE t (id int PRIMARY KEY, v text); CREATE SCHEMA other; CREATE TABLE other.t (id int PRIMARY KEY, v text); CREATE TABLE bag (a int, b text)`,
    );
    const tables = [publicTable('t'), { schema: 'other', name: 't' }, publicTable('bag')];
    await using source = cockroachSource(db.url, tables, db.position);
    const consumer = new Consumer(source);
    await db.sql(
      `INSERT INTO t VALUES (1, 'public'); INSERT INTO other.t VALUES (1, 'other'); INSERT INTO bag VALUES (1, 'x'), (1, 'x')`,
    );
    await consumer.caughtUp();
    expect(consumer.row('public.t', '1')?.after).toEqual({ id: '1', v: 'public' });
    expect(consumer.row('other.t', '1')?.after).toEqual({ id: '1', v: 'other' });
    const copies = [...consumer.latest.values()].filter((row) => row.table.name === 'bag');
    expect(copies.map((row) => row.after)).toEqual([
      { a: '1', b: 'x' },
      { a: '1', b: 'x' },
    ]);
    expect(copies.map((row) => Object.keys(row.key))).toEqual([['rowid'], ['rowid']]);
  });

  it('G4 holds the server back while the consumer is slow, and loses nothing', async () => {
    await using db = await startedCockroach('CREATE TABLE t (id int PRIMARY KEY, v text)');
    await using proxy = await TcpProxy.start(db.url);
    const limits = { bufferBytes: 1 << 20, queueBytes: 256 << 10, readAhead: { highBytes: 256 << 10, lowBytes: 0 } };
    await using source = cockroachSource(proxy.url(db.url), [publicTable('t')], db.position, limits);
    await withClient(db.url, async (client) => {
      for (let i = 0; i < 10; i++)
        await client.query(
          `INSERT INTO t SELECT i, repeat(md5(i::text), 64) FROM generate_series($1::int, $2::int) AS g(i)`,
          [i * 1000, i * 1000 + 999],
        );
    });
    // Nobody takes anything: the bytes that get through stop far below the 40 MB that the feed has to say.
    let still = 0;
    for (let last = -1; still < 10; last = proxy.bytes.toClient) {
      still = proxy.bytes.toClient === last && last > 100_000 ? still + 1 : 0;
      await sleep(100);
    }
    const heldBack = proxy.bytes.toClient;
    expect(heldBack).toBeLessThan(20_000_000);
    let peak = 0;
    const consumer = new Consumer(source);
    const goal = await source.now();
    while (consumer.position === null || source.comparePositions(consumer.position, goal) < 0) {
      await consumer.take();
      peak = Math.max(peak, source.heldBytes);
      await sleep(2);
    }
    // A portion that is on its way into the queue comes on top of the limits.
    expect(peak).toBeLessThan(6 << 20);
    expect(consumer.latest.size).toBe(10_000);
    const touched = consumer.rows.filter((row) => row.after === 'touched').length;
    expect(touched).toBeGreaterThan(0);
    expect(proxy.bytes.toClient).toBeGreaterThan(heldBack);
  });

  it('G7 goes on from the last mark when the connection is cut, at any moment, without gap or step back', async () => {
    await using db = await startedCockroach('CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL)');
    await using proxy = await TcpProxy.start(db.url);
    await using source = cockroachSource(proxy.url(db.url), [publicTable('t')], db.position);
    const consumer = new Consumer(source);
    let writing = true;
    const cuts = (async () => {
      while (writing) {
        await sleep(randomInt(20, 700));
        proxy.cut(randomInt(2) === 0 ? 'rst' : 'fin');
      }
    })();
    const writer = withClient(db.url, async (client) => {
      for (let i = 1; i <= 1500; i++) {
        await client.query('INSERT INTO t VALUES ($1, 0)', [i]);
        await client.query('UPDATE t SET v = v + 1 WHERE id = $1', [randomInt(1, i + 1)]);
        if (i % 7 === 0) await client.query('DELETE FROM t WHERE id = $1', [i - 3]);
      }
      writing = false;
    });
    const reader = (async () => {
      while (writing) await consumer.take();
    })();
    await Promise.all([writer, cuts]);
    // Marks come every second, so that the reader sees the end of the writing.
    await reader;
    await consumer.caughtUp();
    expect(proxy.connections).toBeGreaterThan(2);
    expect(consumer.latest.size).toBe(1500);
    const stored = new Map((await db.sql('SELECT id::text, v::text FROM t')).map((row) => [row.id, row.v]));
    for (const row of consumer.latest.values()) {
      const expected = stored.get(row.key.id);
      expect(row.after, `row ${row.key.id}`).toEqual(expected === undefined ? null : { id: row.key.id, v: expected });
    }
  });

  it('gives a connection up that has fallen silent, and goes on over another', async () => {
    await using db = await startedCockroach('CREATE TABLE t (id int PRIMARY KEY, v text)');
    await using proxy = await TcpProxy.start(db.url);
    await using source = cockroachSource(proxy.url(db.url), [publicTable('t')], db.position, { silenceMs: 6000 });
    const consumer = new Consumer(source);
    await consumer.until(() => consumer.position !== null);
    const before = proxy.connections;
    let swallowed = 0;
    proxy.onData = (direction) => {
      if (direction === 'toClient') swallowed += 1;
    };
    proxy.swallow();
    await db.sql(`INSERT INTO t VALUES (1, 'unheard')`);
    await waitFor(() => swallowed > 0, { what: 'the feed says something that gets lost' });
    // New connections get through; the old one stays dead, without an end or a reset.
    proxy.resume();
    await consumer.caughtUp();
    expect(proxy.connections).toBeGreaterThan(before);
    expect(consumer.row('public.t', '1')?.after).toEqual({ id: '1', v: 'unheard' });
    expect(source.log.entries.some(({ details }) => /was silent for/.test(String(Reflect.get(details, 'err'))))).toBe(
      true,
    );
  });

  it('G7 delivers everything after a stored position to the next process', async () => {
    await using db = await startedCockroach('CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL)');
    const seen = new Set<string>();
    let position = db.position;
    let next = 1;
    for (let round = 0; round < 4; round++) {
      await using source = cockroachSource(db.url, [publicTable('t')], position);
      const consumer = new Consumer(source);
      const writer = withClient(db.url, async (client) => {
        for (const end = next + 150; next < end; next++) await client.query('INSERT INTO t VALUES ($1, 0)', [next]);
      });
      const events = randomInt(1, 6);
      for (let i = 0; i < events; i++) {
        const event = await consumer.take();
        // What was taken and not stored is forgotten with the process.
        if (event.kind !== 'resolved') continue;
        for (const id of consumer.latest.keys()) seen.add(id);
        position = event.position;
      }
      await writer;
    }
    await using source = cockroachSource(db.url, [publicTable('t')], position);
    const consumer = new Consumer(source);
    await consumer.caughtUp();
    for (const id of consumer.latest.keys()) seen.add(id);
    expect(seen.size).toBe(next - 1);
  });
});
