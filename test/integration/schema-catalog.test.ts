/** Reading a primary's catalog. */
import { describe, expect, it } from 'vitest';
import { listTables, readCatalog } from '../../src/schema/catalog.js';
import { createDatabasePair } from '../harness/cluster.js';
import { withClient } from '../harness/sql.js';
import { HOSTILE_TABLE, LONG_NAME, RICH_SCHEMA } from './schema-fixture.js';

describe('readCatalog', () => {
  it('lists what is missing or cannot be replicated instead of throwing', async () => {
    await using pair = await createDatabasePair('catalog');
    await withClient(pair.primary.url, async (client) => {
      await client.query(RICH_SCHEMA);
      const named = (name: string) => ({ schema: 'public', name });
      const names = ['keyless', 'a_view', 'measures_2025', 'scratch', 'nowhere', 'Keyless'].map(named);
      const catalog = await readCatalog(client, names);
      expect(catalog.tables.map((table) => table.name)).toEqual(['keyless']);
      expect(catalog.missing.map((table) => table.name)).toEqual(['nowhere', 'Keyless']);
      expect(Object.fromEntries(catalog.skipped.map(({ table, reason }) => [table.name, reason]))).toEqual({
        a_view: 'it is a view, not a table',
        measures_2025: 'it is a partition: replicate its root public.measures',
        scratch: 'it is unlogged, so its changes are not in the WAL',
      });
    });
  });

  it('takes * for user tables: roots, no system schemas, no metadata schema, no tables of extensions', async () => {
    await using pair = await createDatabasePair('catalog');
    await withClient(pair.primary.url, async (client) => {
      await client.query(`${RICH_SCHEMA}
        CREATE SCHEMA db_redundancy; CREATE TABLE db_redundancy.checkpoint (a integer);
        CREATE TEMP TABLE passing (a integer);
        CREATE TABLE public.owned_by_extension (a integer);
        ALTER EXTENSION citext ADD TABLE public.owned_by_extension`);
      const { tables, skipped } = await listTables(client);
      expect(tables.map((table) => `${table.schema}.${table.name}`)).toEqual([
        `Sché ma."x".${HOSTILE_TABLE}`,
        'public.everything',
        'public.keyless',
        'public.measures',
        'shop.coded',
        'shop.customers',
        'shop.orders',
      ]);
      expect(skipped.map(({ table }) => table.name)).toEqual(['scratch']);
    });
  });

  it('reads hostile names exactly', async () => {
    await using pair = await createDatabasePair('catalog');
    await withClient(pair.primary.url, async (client) => {
      await client.query(RICH_SCHEMA);
      const table = (await readCatalog(client, [{ schema: 'Sché ma."x"', name: HOSTILE_TABLE }])).tables[0];
      expect(table?.columns.map((column) => column.name)).toEqual(['Id " x', 'select', 'ünï.code', LONG_NAME]);
      expect(Buffer.byteLength(LONG_NAME)).toBe(63);
      expect(table?.indexes[0]).toMatchObject({
        name: 'idx ON ONLY " USING a',
        tail: 'btree ("ünï.code", lower("select"))',
      });
    });
  });

  it("leaves the caller's transaction and settings as they were", async () => {
    await using pair = await createDatabasePair('catalog');
    await withClient(pair.primary.url, async (client) => {
      await client.query('SET search_path = pg_catalog, public; SET DateStyle = german');
      const settings = async (): Promise<unknown> =>
        (await client.query(`SELECT current_setting('search_path') AS path, current_setting('DateStyle') AS style`))
          .rows;
      const before = await settings();
      await client.query('BEGIN; CREATE TABLE public.inside (a date DEFAULT current_date)');
      const catalog = await readCatalog(client, '*');
      expect(catalog.tables.map((table) => table.name)).toEqual(['inside']);
      expect(client.getTransactionStatus()).toBe('T');
      expect(await settings()).toEqual(before);
      await client.query('ROLLBACK');
      expect((await readCatalog(client, '*')).tables).toEqual([]);
      expect(await settings()).toEqual(before);
    });
  });

  it('knows what older rows hold after ADD COLUMN, also in partitions', async () => {
    await using pair = await createDatabasePair('catalog');
    await withClient(pair.primary.url, async (client) => {
      await client.query(`
        CREATE TABLE t (id integer PRIMARY KEY); INSERT INTO t VALUES (1);
        ALTER TABLE t ADD d double precision DEFAULT random();
        ALTER TABLE t ADD a text DEFAULT 'it''s {"x"}', ADD b integer[] DEFAULT '{1,NULL}', ADD c date DEFAULT '2024-02-29', ADD e text, ADD f bytea DEFAULT '\\x00ff', ADD g boolean DEFAULT true;
        CREATE TABLE p (id integer) PARTITION BY LIST (id);
        CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); CREATE TABLE p2 PARTITION OF p DEFAULT;
        INSERT INTO p VALUES (1), (2);
        ALTER TABLE p ADD a integer DEFAULT 5;
        SET DateStyle = 'German'`);
      const { tables } = await readCatalog(client, '*');
      const missing = (name: string): unknown =>
        Object.fromEntries(
          (tables.find((table) => table.name === name)?.columns ?? []).map((c) => [c.name, c.missingValue]),
        );
      const t = { a: `it's {"x"}`, b: '{1,NULL}', c: '2024-02-29', d: null, e: null, f: '\\x00ff', g: 't' };
      expect(missing('t')).toEqual({ id: null, ...t });
      expect(missing('p')).toEqual({ id: null, a: '5' });
    });
  });

  it('reads replica identity, row security, inheritance and sizes', async () => {
    await using pair = await createDatabasePair('catalog');
    await withClient(pair.primary.url, async (client) => {
      await client.query(`
        CREATE TABLE by_index (a integer NOT NULL, b integer NOT NULL); CREATE UNIQUE INDEX u ON by_index (b, a);
        ALTER TABLE by_index REPLICA IDENTITY USING INDEX u; ALTER TABLE by_index ENABLE ROW LEVEL SECURITY;
        CREATE TABLE child () INHERITS (by_index);
        INSERT INTO by_index SELECT i, i FROM generate_series(1, 500) i; ANALYZE by_index`);
      const { tables } = await readCatalog(client, '*');
      const parent = tables.find((table) => table.name === 'by_index');
      expect(parent?.replicaIdentity).toEqual({ kind: 'i', columns: ['b', 'a'] });
      expect(parent).toMatchObject({ rowSecurity: true, rowEstimate: 500 });
      expect(parent?.sizeBytes).toBeGreaterThan(500 * 24);
      expect(tables.find((table) => table.name === 'child')?.inherits).toEqual([
        { schema: 'public', name: 'by_index' },
      ]);
    });
  });
});
