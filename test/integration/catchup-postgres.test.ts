/** The change source of a PostgreSQL secondary: a slot created at promotion (SPEC 7, "Catch-up source"; G4, G7). */
import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { CursorTooOldError } from '../../src/catchup/catchup-errors.js';
import { createCatchUpSlot, dropCatchUpSlot, PostgresSource } from '../../src/catchup/postgres-source.js';
import { systemClock } from '../../src/core/clock.js';
import { ConfigurationError } from '../../src/core/errors.js';
import type { TableName } from '../../src/core/ident.js';
import { createDatabasePair } from '../harness/cluster.js';
import { TcpProxy } from '../harness/proxy.js';
import { query, withClient } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { Consumer, connectionOf, publicTable } from './catchup-support.js';
import { TestLog } from './support/stream.js';

const PUBLICATION = 'catch_up';

async function started(ddl: string, tables: readonly TableName[] = [publicTable('t')]) {
  const pair = await createDatabasePair('catchup', 'postgres');
  const { url } = pair.secondary;
  await query(url, ddl);
  const slot = `catchup_${pair.secondary.name}`;
  const position = await createCatchUpSlot(connectionOf(url), slot, PUBLICATION, tables);
  return {
    url,
    slot,
    position,
    sql: (text: string, params?: readonly unknown[]) => query(url, text, params),
    source: (at: string, options: { url?: string; queueBytes?: number } = {}) =>
      new PostgresSource({
        connection: connectionOf(options.url ?? url),
        slot,
        publication: PUBLICATION,
        position: at,
        clock: systemClock,
        log: new TestLog(),
        backoffMs: { initial: 5, max: 50 },
        ...(options.queueBytes === undefined ? {} : { queueBytes: options.queueBytes }),
      }),
    [Symbol.asyncDispose]: () => pair[Symbol.asyncDispose](),
  };
}

describe('changes of a PostgreSQL secondary', () => {
  it('G7 delivers inserts, updates, deletes and key changes, with composite keys and quoted names', async () => {
    const other = { schema: 'S c', name: 'Tä "b' };
    await using db = await started(
      `CREATE TABLE t (id int PRIMARY KEY, v text, big text); ALTER TABLE t ALTER big SET STORAGE EXTERNAL; INSERT INTO t VALUES (1, 'before', repeat('x', 5000)), (2, 'gone', NULL);
       CREATE SCHEMA "S c"; CREATE TABLE "S c"."Tä ""b" ("a b" int8, "日本" text, n numeric, j jsonb, PRIMARY KEY ("a b", "日本"))`,
      [publicTable('t'), other],
    );
    await using source = db.source(db.position);
    const consumer = new Consumer(source);
    await db.sql(`UPDATE t SET v = 'after' WHERE id = 1`);
    await db.sql(`DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (3, 'moves')`);
    await db.sql(`UPDATE t SET id = 30 WHERE id = 3`);
    await db.sql(
      `INSERT INTO "S c"."Tä ""b" VALUES (9223372036854775807, 'k''"', 12345678901234567890.1234500, '{"n": 1.10}'), (1, '', 'NaN', NULL)`,
    );
    await consumer.caughtUp();
    expect(consumer.row('public.t', '1')?.after).toEqual({ id: '1', v: 'after', big: undefined });
    expect(consumer.row('public.t', '2')?.after).toBeNull();
    expect(consumer.row('public.t', '3')?.after).toBeNull();
    expect(consumer.row('public.t', '30')?.after).toEqual({ id: '30', v: 'moves', big: null });
    expect(consumer.row('S c.Tä "b', '9223372036854775807', `k'"`)).toMatchObject({
      key: { 'a b': '9223372036854775807', 日本: `k'"` },
      after: { n: '12345678901234567890.1234500', j: '{"n": 1.10}' },
    });
    expect(consumer.row('S c.Tä "b', '1', '')?.after).toMatchObject({ n: 'NaN', j: null });
  });

  it('G2 tells the slot what was stored, and nothing else', async () => {
    await using db = await started('CREATE TABLE t (id int PRIMARY KEY, v int)');
    const confirmed = async () => {
      const [row] = await db.sql(
        `SELECT confirmed_flush_lsn::text AS lsn FROM pg_replication_slots WHERE slot_name = $1`,
        [db.slot],
      );
      return row?.lsn;
    };
    await using source = db.source(db.position);
    const consumer = new Consumer(source);
    await db.sql('INSERT INTO t VALUES (1, 0)');
    await consumer.caughtUp();
    const stored = consumer.position as string;
    await db.sql('INSERT INTO t VALUES (2, 0)');
    await consumer.caughtUp();
    expect(await confirmed()).toBe(db.position);
    source.stored(stored);
    await waitFor(async () => (await confirmed()) === stored, { what: 'the slot is at the stored position' });
    expect(source.comparePositions(consumer.position as string, stored)).toBeGreaterThan(0);
  });

  it('G4 holds the server back while the consumer is slow, and loses nothing of a large transaction', async () => {
    await using db = await started('CREATE TABLE t (id int PRIMARY KEY, v text)');
    await using proxy = await TcpProxy.start(db.url);
    await using source = db.source(db.position, { url: proxy.url(db.url), queueBytes: 256 << 10 });
    await db.sql(`INSERT INTO t SELECT i, repeat(md5(i::text), 64) FROM generate_series(1, 20000) AS g(i)`);
    let still = 0;
    for (let last = -1; still < 10; last = proxy.bytes.toClient) {
      still = proxy.bytes.toClient === last && last > 100_000 ? still + 1 : 0;
      await sleep(100);
    }
    // 40 MB in all; sockets and the proxy's window hold some of it.
    expect(proxy.bytes.toClient).toBeLessThan(20_000_000);
    const consumer = new Consumer(source);
    await consumer.caughtUp();
    expect(consumer.latest.size).toBe(20_000);
  });

  it('G7 goes on when the connection is cut, at any moment, without gap or step back', async () => {
    await using db = await started('CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL)');
    await using proxy = await TcpProxy.start(db.url);
    await using source = db.source(db.position, { url: proxy.url(db.url) });
    const consumer = new Consumer(source);
    let writing = true;
    const cuts = (async () => {
      while (writing) {
        await sleep(randomInt(20, 300));
        proxy.cut(randomInt(2) === 0 ? 'rst' : 'fin');
      }
    })();
    const writer = withClient(db.url, async (client) => {
      for (let i = 1; i <= 2000; i++) {
        await client.query('INSERT INTO t VALUES ($1, 0)', [i]);
        await client.query('UPDATE t SET v = v + 1 WHERE id = $1', [randomInt(1, i + 1)]);
        if (i % 7 === 0) await client.query('DELETE FROM t WHERE id = $1', [i - 3]);
      }
      writing = false;
    });
    let alive = true;
    const reader = (async () => {
      while (alive) {
        const event = await consumer.take();
        if (event.kind === 'resolved' && randomInt(3) === 0) source.stored(event.position);
      }
    })();
    await Promise.all([writer, cuts]);
    alive = false;
    await db.sql('INSERT INTO t VALUES (0, 0)');
    await reader;
    await consumer.caughtUp();
    expect(proxy.connections).toBeGreaterThan(2);
    expect(consumer.latest.size).toBe(2001);
    const rows = await db.sql('SELECT id::text, v::text FROM t');
    const stored = new Map(rows.map((row) => [row.id, row.v]));
    for (const row of consumer.latest.values()) {
      const expected = stored.get(row.key.id);
      expect(row.after, `row ${row.key.id}`).toEqual(expected === undefined ? null : { id: row.key.id, v: expected });
    }
    // Handed out once in this process, although the slot gave some of it again.
    const seen = consumer.rows.map((row) => JSON.stringify([row.key, row.after, row.at]));
    expect(new Set(seen).size).toBe(seen.length);
  });

  it('G7 delivers everything after a stored position to the next process', async () => {
    await using db = await started('CREATE TABLE t (id int PRIMARY KEY, v int NOT NULL)');
    const seen = new Set<string>();
    let position = db.position;
    let next = 1;
    for (let round = 0; round < 6; round++) {
      await using source = db.source(position);
      const consumer = new Consumer(source);
      const writer = withClient(db.url, async (client) => {
        for (const end = next + 100; next < end; next++) await client.query('INSERT INTO t VALUES ($1, 0)', [next]);
      });
      for (let i = randomInt(1, 40); i > 0; i--) {
        const event = await consumer.take();
        // What was taken and not stored is forgotten with the process.
        if (event.kind !== 'resolved') continue;
        for (const id of consumer.latest.keys()) seen.add(id);
        position = event.position;
        source.stored(position);
      }
      await writer;
    }
    await using source = db.source(position);
    const consumer = new Consumer(source);
    await consumer.caughtUp();
    for (const id of consumer.latest.keys()) seen.add(id);
    expect(seen.size).toBe(next - 1);
  });

  it('tells where a fenced secondary is, and gets there', async () => {
    await using db = await started('CREATE TABLE t (id int PRIMARY KEY, v int)');
    const url = new URL(db.url);
    url.searchParams.set('options', '-c default_transaction_read_only=on');
    await db.sql('INSERT INTO t VALUES (1, 1)');
    await using source = db.source(db.position, { url: url.href });
    const consumer = new Consumer(source);
    await consumer.caughtUp();
    expect(consumer.row('public.t', '1')?.after).toEqual({ id: '1', v: '1' });
  });

  it('tells of TRUNCATE and of changed columns', async () => {
    await using db = await started('CREATE TABLE t (id int PRIMARY KEY, v int)');
    await using source = db.source(db.position);
    const consumer = new Consumer(source);
    await db.sql('INSERT INTO t VALUES (1, 1)');
    await db.sql('BEGIN; INSERT INTO t VALUES (2, 2); TRUNCATE t; INSERT INTO t VALUES (3, 3); COMMIT');
    await db.sql('ALTER TABLE t ADD COLUMN c int DEFAULT 7');
    await db.sql('INSERT INTO t VALUES (4, 4)');
    await consumer.caughtUp();
    expect(consumer.schema.map((event) => [event.change, event.compare, event.columns])).toEqual([
      ['truncated', true, []],
      ['columns', false, ['id', 'v', 'c']],
    ]);
    expect(consumer.rows.map((row) => row.key.id)).toEqual(['1', '2', '3', '4']);
    expect(consumer.row('public.t', '4')?.after).toEqual({ id: '4', v: '4', c: '7' });
  });

  it('G9 says that the slot is gone, or is ahead of what was stored', async () => {
    await using db = await started('CREATE TABLE t (id int PRIMARY KEY, v int)');
    expect(() => db.source('1795440812409800579.0000000000')).toThrow(ConfigurationError);
    await db.sql('INSERT INTO t VALUES (1, 1)');
    const [end] = await db.sql('SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())::text', [db.slot]);
    expect(end).toBeTruthy();
    await using ahead = db.source(db.position);
    await expect(ahead.next()).rejects.toBeInstanceOf(CursorTooOldError);
    await dropCatchUpSlot(connectionOf(db.url), db.slot);
    await dropCatchUpSlot(connectionOf(db.url), db.slot);
    await using gone = db.source(db.position);
    const failure = await gone.next().catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(CursorTooOldError);
    expect((failure as CursorTooOldError).remedy).toBeTruthy();
  });
});
