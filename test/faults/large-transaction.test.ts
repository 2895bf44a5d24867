/**
 * G1 and G4 with one transaction that changes every row of a large table: memory does not grow with it, no reader sees a
 * part of it. And G3 where it is applied in chunks (DB_APPLY_LARGE_TX=chunked) and the program is killed in the middle.
 * DB_TEST_LONG=1: a million rows on PostgreSQL, 100,000 on CockroachDB.
 */
import { Client } from 'pg';
import { expect, it } from 'vitest';
import { createDatabasePair, type DatabasePair } from '../harness/cluster.js';
import { TcpProxy } from '../harness/proxy.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { Serve, serveEnvironment } from './support/serve.js';

const LONG = process.env.DB_TEST_LONG === '1';
const MIB = 2 ** 20;
const MOST_MEMORY = 250 * MIB;

const ddl = (rows: number) => `
CREATE TABLE big (id int PRIMARY KEY, version int NOT NULL, text text NOT NULL, amount numeric(12, 2) NOT NULL);
INSERT INTO big SELECT i, 0, md5(i::text), i / 100.0 FROM generate_series(1, ${rows}) i;
CREATE TABLE bag (a int, b text);
ALTER TABLE bag REPLICA IDENTITY FULL;
`;

/** One text per table state. */
const HASH = `SELECT count(*)::text AS rows, md5(string_agg(md5(concat_ws('/', id::text, version::text, text, amount::text)), '' ORDER BY id)) AS hash FROM big`;

describeDialects('G1 G3 G4 a large transaction', (dialect) => {
  const [long, short] = dialect === 'postgres' ? [1_000_000, 150_000] : [100_000, 15_000];
  const rows = LONG ? long : short;

  it(`is applied as a whole and in bounded memory: ${rows} rows`, async () => {
    await using pair = await createDatabasePair('large', dialect);
    await query(pair.primary.url, ddl(rows));
    await using serve = await Serve.start(serveEnvironment(pair));
    await serve.leading();
    await serve.caughtUp(240_000);
    const peakOfLoad = await serve.process.peakRssBytes();
    let over = false;
    const reading = readSamples(pair, rows, () => over);
    const [batches, reconnects] = [await serve.metric(BATCHES), await serve.metric(RECONNECTS)];
    const began = performance.now();
    try {
      await query(pair.primary.url, `UPDATE big SET version = version + 1, text = md5(text), amount = amount + 0.01`);
      const written = performance.now();
      await waitFor(async () => (await versionOf(pair, rows)) === 1, {
        what: 'the transaction is on the secondary',
        timeoutMs: 400_000,
      });
      const seconds = (performance.now() - written) / 1000;
      const peak = await serve.process.peakRssBytes();
      console.log(
        `large transaction [${dialect}]: ${rows} rows written in ${((written - began) / 1000).toFixed(1)} s, on the secondary ${seconds.toFixed(1)} s after its commit; peak RSS ${Math.round(peak / MIB)} MiB (${Math.round(peakOfLoad / MIB)} MiB after the load)`,
      );
      expect(peak).toBeGreaterThan(10 * MIB);
      expect(peak).toBeLessThan(MOST_MEMORY);
    } finally {
      over = true;
    }
    const samples = await reading;
    // Whole or not at all, in every snapshot; and the reader looked often while it was under way.
    expect(new Set(samples)).toEqual(new Set(['0', '1']));
    expect(samples.filter((version) => version === '0').length).toBeGreaterThan(5);
    await serve.caughtUp();
    expect(await query(pair.secondary.url, HASH)).toEqual(await query(pair.primary.url, HASH));
    // It came in one target transaction, at the first attempt.
    expect((await serve.metric(BATCHES)) - batches).toBe(1);
    expect((await serve.metric(RECONNECTS)) - reconnects).toBe(0);
  }, 900_000);

  const chunked = Math.floor(rows / 4);
  it(`takes effect once in chunks, when the program is killed in the middle: ${chunked} rows`, async () => {
    await using pair = await createDatabasePair('chunked', dialect);
    await query(pair.primary.url, ddl(chunked));
    await using proxy = await TcpProxy.start(pair.secondary.url);
    const slow = { ...pair, secondary: { ...pair.secondary, url: proxy.url(pair.secondary.url) } };
    const environment = serveEnvironment(slow, { DB_APPLY_LARGE_TX: 'chunked', DB_APPLY_MAX_ROWS: '1000' });
    let serve = await Serve.start(environment);
    try {
      await serve.leading();
      await serve.caughtUp(120_000);
      // So slow a line that each moment below lasts long, and none is missed between two looks.
      proxy.bytesPerSecond = (LONG ? 12 : 40) * chunked;
      // Rows without a key come twice where a chunk is applied twice.
      await query(
        pair.primary.url,
        `BEGIN; INSERT INTO bag SELECT i, 'v' || i FROM generate_series(1, ${chunked}) i;
         UPDATE big SET version = version + 1, text = md5(text); UPDATE bag SET b = b || '!' WHERE a % 2 = 0; COMMIT`,
      );
      const killedAt: number[] = [];
      for (const share of LONG ? [0.1, 0.4, 0.7] : [0.1, 0.5]) {
        const changes = await waitFor(
          async () => {
            const { done, transaction } = await partial(pair);
            return transaction !== null && done >= share * 2.5 * chunked && done;
          },
          { what: `${share} of the transaction is applied`, timeoutMs: 200_000 },
        );
        await serve.kill();
        killedAt.push(changes);
        serve = await Serve.start(environment);
      }
      proxy.bytesPerSecond = undefined;
      await serve.leading();
      await serve.caughtUp(200_000);
      console.log(`chunked [${dialect}]: killed after ${killedAt.join(', ')} changes of ${2.5 * chunked}`);
      expect(await partial(pair)).toEqual({ transaction: null, done: 0 });
      expect(await query(pair.secondary.url, HASH)).toEqual(await query(pair.primary.url, HASH));
      const bag = `SELECT count(*)::text AS rows, md5(string_agg(a::text || b, '/' ORDER BY a)) AS hash FROM bag`;
      expect(await query(pair.secondary.url, bag)).toEqual(await query(pair.primary.url, bag));
    } finally {
      await serve[Symbol.asyncDispose]();
    }
  }, 900_000);
});

const BATCHES = 'db_redundancy_batches_applied_total';
const RECONNECTS = 'db_redundancy_reconnects_total';

/** Versions of rows from all over the table, seen in one statement: one of them, or the states are mixed. */
async function readSamples(pair: DatabasePair, rows: number, over: () => boolean): Promise<string[]> {
  const ids = Array.from({ length: 100 }, (_, i) => 1 + Math.floor((i * (rows - 1)) / 99));
  const client = new Client({ connectionString: pair.secondary.url });
  client.on('error', () => undefined);
  await client.connect();
  const seen: string[] = [];
  try {
    for (let last = false; !last; ) {
      last = over();
      const result = await client.query<{ versions: string }>(
        `SELECT string_agg(DISTINCT version::text, ',') AS versions FROM big WHERE id IN (${ids.join(', ')})`,
      );
      seen.push(result.rows[0]?.versions ?? '');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  } finally {
    await client.end();
  }
  return seen;
}

async function versionOf(pair: DatabasePair, id: number): Promise<number> {
  const [row] = await query<{ version: string }>(
    pair.secondary.url,
    'SELECT version::text AS version FROM big WHERE id = $1',
    [id],
  );
  return Number(row?.version);
}

async function partial(pair: DatabasePair): Promise<{ transaction: string | null; done: number }> {
  const [row] = await query<{ partial_lsn: string | null; done: string }>(
    pair.secondary.url,
    'SELECT partial_lsn, partial_changes::text AS done FROM db_redundancy.checkpoint',
  );
  return { transaction: row?.partial_lsn ?? null, done: Number(row?.done) };
}
