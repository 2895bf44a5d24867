/** Verify and repair (SPEC section 6): every difference is named, and no other, also while the primary is written. */
import { expect, it } from 'vitest';
import { WatermarkBoard } from '../../src/snapshot/watermarks.js';
import { createDatabasePair, type DatabasePair } from '../harness/cluster.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query, withClient } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { counts, EQUAL, verify } from './support/reconcile.js';
import { bothSides, RunningStream } from './support/stream.js';

const LONG = process.env.DB_TEST_LONG === '1';
const LARGE = LONG ? 1_000_000 : 20_000;

const DDL = `
CREATE TABLE plain (id int PRIMARY KEY, v text, n numeric, at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE composite (tenant text, no bigint, doc jsonb, tags text[], PRIMARY KEY (tenant, no));
CREATE TABLE bag (a int, b text); ALTER TABLE bag REPLICA IDENTITY FULL;
CREATE TABLE "Größe" ("Schlüssel" text PRIMARY KEY, "Wert" float8, big text); ALTER TABLE "Größe" ALTER big SET STORAGE EXTERNAL;
INSERT INTO plain SELECT i, 'v' || i, i / 8.0, '2026-01-01', '2026-01-01' FROM generate_series(1, 3000) i;
INSERT INTO composite SELECT 't' || i % 7, i, jsonb_build_object('bb', i, 'a', 'x' || i), ARRAY['a', NULL, i::text] FROM generate_series(1, 2000) i;
INSERT INTO bag SELECT i % 50, CASE WHEN i % 3 = 0 THEN 'b' || i % 5 END FROM generate_series(1, 1000) i;
INSERT INTO "Größe" SELECT 'ß' || i, i * 1.1, repeat(md5(i::text), 100) FROM generate_series(1, 300) i;
`;

/** Inserts, updates, deletes and key changes without a pause, until the signal is aborted. */
async function writeLoad(pair: DatabasePair, signal: AbortSignal): Promise<number> {
  return withClient(pair.primary.url, async (client) => {
    let i = 0;
    for (; !signal.aborted; i++) {
      const id = ((i * 7919) % 2000) + 1;
      await client.query(`UPDATE plain SET n = n + 1, updated_at = now() WHERE id IN (${id}, ${2001 - id})`);
      if (i % 2 === 0)
        await client.query(`UPDATE composite SET doc = doc || '{"w": ${i}}' WHERE no = ${(id % 1900) + 1}`);
      if (i % 3 === 0) await client.query(`UPDATE "Größe" SET "Wert" = ${i} WHERE "Schlüssel" = 'ß${(id % 250) + 20}'`);
      if (i % 5 === 0) await client.query(`DELETE FROM plain WHERE id = ${id}`);
      if (i % 5 === 1)
        await client.query(`INSERT INTO plain VALUES (${id}, 'w', ${i}) ON CONFLICT (id) DO UPDATE SET v = 'w'`);
      if (i % 7 === 0) await client.query(`INSERT INTO bag VALUES (${i % 50}, 'w')`);
      if (i % 11 === 0) await client.query(`UPDATE plain SET id = ${10_000 + i} WHERE id = ${id}`);
    }
    return i;
  });
}

const sorted = (keys: readonly (readonly string[])[]) => keys.map((key) => key.join('/')).sort();

describeDialects('verify', (dialect) => {
  it('names every planted difference and no other while the primary is written, and --repair mends them', async () => {
    await using pair = await createDatabasePair('verify', dialect);
    await query(pair.primary.url, DDL);
    await using stream = await new RunningStream(pair).streaming();
    const stop = new AbortController();
    const writing = writeLoad(pair, stop.signal);
    try {
      const plant = (sql: string) => query(pair.secondary.url, sql);
      // Beyond the reach of the writer, so that they stay.
      await plant(`DELETE FROM plain WHERE id IN (2501, 2777)`);
      await plant(
        `INSERT INTO plain (id, v, n, at) VALUES (-5, 'extra', 1, '2026-01-01'), (900000, NULL, NULL, '2026-01-01')`,
      );
      await plant(`UPDATE plain SET v = 'planted' WHERE id = 2600`);
      await plant(`UPDATE plain SET n = n + 0.125, updated_at = now() WHERE id = 2601`);
      await plant(`UPDATE plain SET at = at + INTERVAL '1 microsecond' WHERE id = 2602`);
      await plant(`UPDATE plain SET v = NULL WHERE id = 2603`);
      await plant(`DELETE FROM composite WHERE tenant = 't3' AND no = 1998`);
      await plant(`INSERT INTO composite VALUES ('t3', 99999, '{}', NULL), ('', 0, NULL, '{}')`);
      await plant(`UPDATE composite SET tags = ARRAY['a', 'NULL', '1999'] WHERE no = 1999`);
      await plant(`DELETE FROM "Größe" WHERE "Schlüssel" = 'ß3'`);
      await plant(`UPDATE "Größe" SET big = NULL WHERE "Schlüssel" = 'ß5'`);
      const planted = {
        plain: { missing: ['2501', '2777'], extra: ['-5', '900000'], different: ['2600', '2601', '2602', '2603'] },
        composite: { missing: ['t3/1998'], extra: ['/0', 't3/99999'], different: ['t4/1999'] },
        Größe: { missing: ['ß3'], extra: [], different: ['ß5'] },
      };
      const found = await verify(stream);
      for (const [name, expected] of Object.entries(planted)) {
        const keys = found.get(name)?.keys;
        expect(
          {
            name,
            missing: sorted(keys?.missing ?? []),
            extra: sorted(keys?.extra ?? []),
            different: sorted(keys?.different ?? []),
          },
          name,
        ).toEqual({ name, ...expected });
      }
      expect(counts(found.get('bag') as never)).toEqual(EQUAL);
      const mended = await verify(stream, { repair: true });
      for (const [name, { missing, extra, different }] of Object.entries(planted)) {
        const all = { missing: missing.length, extra: extra.length, different: different.length };
        const repaired = all.missing + all.extra + all.different;
        expect(counts(mended.get(name) as never), name).toEqual({ ...EQUAL, ...all, repaired });
      }
      for (const outcome of (await verify(stream)).values()) expect(counts(outcome), outcome.name).toEqual(EQUAL);
    } finally {
      stop.abort();
      await writing;
    }
    await stream.caughtUp();
    for (const table of ['plain', 'composite', 'bag', 'public.Größe']) {
      const { primary, secondary } = await bothSides(pair, table);
      expect(secondary, table).toEqual(primary);
    }
  }, 120_000);

  it('raises no false alarm on a small database that is written all the time', async () => {
    await using pair = await createDatabasePair('calm', dialect);
    await query(pair.primary.url, DDL);
    await using stream = await new RunningStream(pair).streaming();
    const stop = new AbortController();
    const writing = writeLoad(pair, stop.signal);
    try {
      for (let run = 0; run < (LONG ? 100 : 3); run++)
        for (const outcome of (await verify(stream)).values())
          expect(counts(outcome), `${outcome.name}, run ${run}`).toEqual(EQUAL);
    } finally {
      stop.abort();
      expect(await writing).toBeGreaterThan(100);
    }
  }, 600_000);

  it('takes back what it suspected of rows that change while it looks again', async () => {
    await using pair = await createDatabasePair('suspects', dialect);
    await query(pair.primary.url, DDL);
    await using stream = await new RunningStream(pair).streaming();
    await query(pair.secondary.url, `UPDATE plain SET v = 'planted' WHERE id IN (1, 2)`);
    await query(pair.secondary.url, `DELETE FROM plain WHERE id = 3`);
    const board = stream.streamer.session?.board as WatermarkBoard;
    const round = WatermarkBoard.prototype.round.bind(board) as WatermarkBoard['round'];
    let looks = 0;
    // The look's own rounds name the table. Between its read and its upper watermark each suspect changes.
    board.round = (client, oid, read, apply) =>
      round(
        client,
        oid,
        async () => {
          const rows = await read();
          if (oid !== 0 && looks++ === 0)
            await query(
              pair.primary.url,
              `UPDATE plain SET v = 'newer' WHERE id = 1; DELETE FROM plain WHERE id = 2; UPDATE plain SET id = -3 WHERE id = 3`,
            );
          return rows;
        },
        apply,
      );
    expect(counts((await verify(stream, { table: 'plain' })).get('plain') as never)).toEqual(EQUAL);
    expect(looks).toBeGreaterThan(0);
    const { primary, secondary } = await bothSides(pair, 'plain');
    expect(secondary).toEqual(primary);
  });

  it('compares by value where one value may be printed in two ways', async () => {
    await using pair = await createDatabasePair('doubt', dialect);
    await query(
      pair.primary.url,
      `CREATE TABLE docs (id int PRIMARY KEY, j jsonb, n numeric[], c text);
       INSERT INTO docs SELECT i, '[1000000000000000000000, 0, {"a": 1}]', '{100000,0.5}', 'c' FROM generate_series(1, 300) i`,
    );
    await using stream = await new RunningStream(pair).streaming();
    const write = (sql: string) => query(pair.secondary.url, sql);
    await write(
      `UPDATE docs SET j = '[1E+21, -0, {"a": 1}]', n = ARRAY['1E+5'::decimal, '0.5'::decimal] WHERE id <= 250`,
    );
    await write(`UPDATE docs SET j = '[1E+21, -0, {"a": 2}]' WHERE id = 7`);
    await write(`UPDATE docs SET n = ARRAY['1E+6'::decimal, '0.5'::decimal] WHERE id = 8`);
    await write(`UPDATE docs SET c = NULL WHERE id = 9`);
    const found = (await verify(stream)).get('docs');
    expect(counts(found as never)).toEqual({ ...EQUAL, different: 3 });
    expect(sorted(found?.keys.different ?? [])).toEqual(['7', '8', '9']);
    expect(counts((await verify(stream, { repair: true })).get('docs') as never)).toMatchObject({ repaired: 3 });
    expect(counts((await verify(stream)).get('docs') as never)).toEqual(EQUAL);
  });

  it('mends a table that has lost all its rows, and can be stopped in the middle of a verify', async () => {
    await using pair = await createDatabasePair('lost', dialect);
    await query(
      pair.primary.url,
      `CREATE TABLE big (id int PRIMARY KEY, v text); INSERT INTO big SELECT i, 'v' || i FROM generate_series(1, 4000) i`,
    );
    await using stream = await new RunningStream(pair).streaming();
    await query(pair.secondary.url, `DELETE FROM big WHERE id > 0`);
    const mended = (await verify(stream, { repair: true })).get('big');
    expect(counts(mended as never)).toEqual({ ...EQUAL, missing: 4000, repaired: 4000 });
    expect(mended?.keys.missing).toHaveLength(1000);
    // A scan that somebody's lock holds up, and with it whatever else opens the table: none may keep the process.
    await withClient(pair.primary.url, async (client) => {
      const board = stream.streamer.session?.board as WatermarkBoard;
      const round = WatermarkBoard.prototype.round.bind(board) as WatermarkBoard['round'];
      // Taken when the pair of snapshots is: what comes before it reads the catalog, which would wait as well.
      board.round = async (...args) => {
        await client.query('BEGIN; LOCK TABLE big');
        return round(...args);
      };
      await stream.streamer.orderVerify(null, { id: 'never done', repair: false });
      await waitFor(
        async () =>
          (
            await query(
              pair.primary.url,
              `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'SELECT count%'`,
            )
          ).length > 0,
        { what: 'the scan waits' },
      );
      await waitFor(
        async () =>
          (
            await query(
              pair.primary.url,
              `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%pg_publication_tables%'`,
            )
          ).length > 0,
        { what: 'the look at the publication waits' },
      );
      const stopping = Date.now();
      await stream.stop();
      expect(Date.now() - stopping).toBeLessThan(9000);
    });
  });

  it('compares a table without a key as a multiset, and repairs it as a whole', async () => {
    await using pair = await createDatabasePair('bag', dialect);
    await query(pair.primary.url, DDL);
    await using stream = await new RunningStream(pair).streaming();
    await query(pair.secondary.url, `INSERT INTO bag VALUES (1, NULL), (1, NULL), (7, 'other')`);
    await query(pair.secondary.url, `DELETE FROM bag WHERE a = 2 AND b IS NULL`);
    const [gone] = await query<{ n: string }>(
      pair.primary.url,
      `SELECT count(*)::text AS n FROM bag WHERE a = 2 AND b IS NULL`,
    );
    const found = { ...EQUAL, missing: Number(gone?.n), extra: 3 };
    expect(counts((await verify(stream, { table: 'bag' })).get('bag') as never)).toEqual(found);
    const mended = await verify(stream, { table: 'bag', repair: true });
    expect(counts(mended.get('bag') as never)).toEqual({ ...found, repaired: found.missing + found.extra });
    const { primary, secondary } = await bothSides(pair, 'bag');
    expect(secondary).toEqual(primary);
  });

  it(`names 60 planted differences in a table of ${LARGE} rows while it is written, and mends them`, async () => {
    await using pair = await createDatabasePair('large', dialect);
    await query(
      pair.primary.url,
      `CREATE TABLE big (tenant int, id bigint, v text, n numeric, at timestamptz, PRIMARY KEY (tenant, id));
       INSERT INTO big SELECT i % 10, i, 'v' || i, i / 7.0, '2026-01-01'::timestamptz + i * interval '1 ms' FROM generate_series(1, ${LARGE}) i; ANALYZE big`,
    );
    await using stream = await new RunningStream(pair).streaming(600_000);
    const step = Math.floor(LARGE / 21);
    const ids = Array.from({ length: 20 }, (_, i) => (i + 1) * step);
    const list = ids.join(', ');
    await query(pair.secondary.url, `DELETE FROM big WHERE id IN (${list})`);
    await query(
      pair.secondary.url,
      `INSERT INTO big SELECT 99, i, 'extra', 0, NULL FROM unnest(ARRAY[${list}]) AS u(i)`,
    );
    await query(pair.secondary.url, `UPDATE big SET v = 'planted' WHERE id IN (${ids.map((id) => id + 1).join(', ')})`);
    const stop = new AbortController();
    const writing = withClient(pair.primary.url, async (client) => {
      for (let i = 0; !stop.signal.aborted; i++)
        await client.query(`UPDATE big SET n = n + 1 WHERE tenant = 3 AND id = ${10 * (i % (LARGE / 50)) + 3}`);
    });
    try {
      const writable = new Set(ids.filter((id) => (id + 1) % 10 === 3).map((id) => id + 1));
      const changed = ids.map((id) => id + 1).filter((id) => !writable.has(id));
      const key = (id: number) => `${id % 10}/${id}`;
      const found = (await verify(stream, { timeoutMs: 600_000 })).get('big');
      expect(found?.skipped).toBeNull();
      expect(sorted(found?.keys.missing ?? [])).toEqual(ids.map(key).sort());
      expect(sorted(found?.keys.extra ?? [])).toEqual(ids.map((id) => `99/${id}`).sort());
      const different = (found?.keys.different ?? []).filter(([, id]) => !writable.has(Number(id)));
      expect(sorted(different)).toEqual(changed.map(key).sort());
      expect(found?.unsettled).toBe(0);
      const mended = (await verify(stream, { repair: true, timeoutMs: 600_000 })).get('big');
      expect(mended?.repaired).toBeGreaterThanOrEqual(40 + changed.length);
      expect(counts((await verify(stream, { timeoutMs: 600_000 })).get('big') as never)).toEqual(EQUAL);
    } finally {
      stop.abort();
      await writing;
    }
  }, 1_200_000);
});
