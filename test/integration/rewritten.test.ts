/** A table-rewriting ALTER TABLE makes a table look empty to snapshots from before it: nobody may take it for empty. */
import type { PoolClient } from 'pg';
import { describe, expect, it } from 'vitest';
import { readKeys, readRange } from '../../src/snapshot/chunk-reader.js';
import { SourcePool } from '../../src/source/sql-pool.js';
import { ExportSource } from '../../src/transfer/export-source.js';
import { createDatabasePair, type DatabasePair } from '../harness/cluster.js';
import { query, withClient } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { streamingPair } from './support/stream.js';

const REWRITE = 'ADD COLUMN u uuid DEFAULT gen_random_uuid()';
const ROWS = 'INSERT INTO t SELECT generate_series(1, 10)';

/** Begins `sql` when the client has asked for its snapshot; goes on when that is done, or waits for a lock. */
function interposed(
  client: PoolClient,
  pair: DatabasePair,
  sql: string,
): { client: PoolClient; over: Promise<unknown>[] } {
  const over: Promise<unknown>[] = [];
  const { url } = pair.primary;
  const ask = async (text: unknown, ...rest: unknown[]) => {
    const answer = await (client.query as (...args: unknown[]) => Promise<unknown>).call(client, text, ...rest);
    if (typeof text === 'string' && text.includes('pg_current_snapshot')) {
      let done = false;
      over.push(
        query(url, sql).then(() => {
          done = true;
        }),
      );
      const waits = `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`;
      await waitFor(async () => done || (await query(url, waits)).length > 0, {
        what: 'the ALTER TABLE is done or waits',
      });
    }
    return answer;
  };
  const isText = (args: unknown[]) => typeof args[0] === 'string';
  const handler: ProxyHandler<PoolClient> = {
    get: (target, key) =>
      key === 'query'
        ? (...args: unknown[]) =>
            isText(args) ? ask(...(args as [unknown])) : (target.query as (...a: unknown[]) => unknown)(...args)
        : Reflect.get(target, key, target),
  };
  return { client: new Proxy(client, handler), over };
}

describe('a table that is rewritten under a reader', () => {
  it.each([
    ['an ordinary table', 'CREATE TABLE t (id int PRIMARY KEY)'],
    [
      'a partitioned table',
      'CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (5); CREATE TABLE t2 PARTITION OF t DEFAULT',
    ],
  ])('G5 does not look empty to a chunk: %s', async (_, ddl) => {
    await using pair = await createDatabasePair('rewritten');
    await query(pair.primary.url, `${ddl}; ${ROWS}`);
    const pool = new SourcePool({ connectionString: pair.primary.url }, 1);
    const table = {
      oid: 1,
      schema: 'public',
      name: 't',
      columns: [{ name: 'id', type: 'integer' }],
      key: [{ name: 'id', type: 'integer' }],
    };
    try {
      await pool.use(async (plain) => {
        const range = interposed(plain, pair, `ALTER TABLE t ${REWRITE}`);
        const chunk = await readRange(range.client, table, null, null, { rows: 100, bytes: 1 << 20, fetch: 10 });
        expect(chunk.rows).toHaveLength(10);
        await Promise.all(range.over);
        const keys = interposed(plain, pair, `ALTER TABLE t DROP COLUMN u, ${REWRITE.replace('u uuid', 'w uuid')}`);
        expect((await readKeys(keys.client, table, [['1'], ['11']])).gone.map(({ own }) => own)).toEqual([['11']]);
        await Promise.all(keys.over);
      });
    } finally {
      await pool.close();
    }
  });

  it('G9 is not loaded as an empty one where it has no key', async () => {
    await using it_ = await streamingPair(
      'CREATE TABLE t (id int); ALTER TABLE t REPLICA IDENTITY FULL; CREATE TABLE other (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 10)',
    );
    const { url } = it_.pair.secondary;
    await withClient(url, async (client) => {
      // The apply loop stands still between the snapshot of the load and its place in the stream.
      await client.query('BEGIN; LOCK TABLE other IN ACCESS EXCLUSIVE MODE');
      await it_.primary('INSERT INTO other VALUES (1)');
      await it_.stream.streamer.resync({ schema: 'public', name: 't' });
      const reading = `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction' AND query LIKE '%pg_current_snapshot%'`;
      await waitFor(async () => (await it_.primary(reading)).length > 0, { what: 'the load has its snapshot' });
      await it_.primary(`ALTER TABLE t ${REWRITE}`);
      await client.query('COMMIT');
    });
    await it_.stream.caughtUp();
    const same = async () => {
      const ids = 'SELECT id FROM t ORDER BY id';
      expect(await it_.secondary(ids)).toEqual(await it_.primary(ids));
      return it_.stream.streamer.snapshot().status === 'streaming';
    };
    await waitFor(same, { what: 't has its rows' });
  });

  it('G9 is not exported as an empty one', async () => {
    await using pair = await createDatabasePair('rewritten');
    const { url } = pair.primary;
    await query(url, `CREATE TABLE t (id int PRIMARY KEY); ${ROWS}`);
    const [row] = await query<{ oid: number }>(url, `SELECT 't'::regclass::oid AS oid`);
    const table = { schema: 'public', name: 't', oid: Number(row?.oid) };
    const source = await ExportSource.open({ connectionString: url });
    try {
      await query(url, `ALTER TABLE t ${REWRITE}`);
      expect(await source.value('SELECT count(*) FROM t')).toBe('0');
      await expect(source.hold([table])).rejects.toThrow(
        'public.t was changed by TRUNCATE or ALTER TABLE as the export began',
      );
    } finally {
      await source.close();
    }
    const again = await ExportSource.open({ connectionString: url });
    try {
      await again.hold([table]);
      expect(await again.value('SELECT count(*) FROM t')).toBe('10');
    } finally {
      await again.close();
    }
  });
});
