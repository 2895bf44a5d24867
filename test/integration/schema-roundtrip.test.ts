/** A schema of every kind of object, translated, applied, compared and applied again. */
import { describe, expect, it } from 'vitest';
import { displayName } from '../../src/core/ident.js';
import type { CatalogModel, TableModel, TypeModel } from '../../src/schema/model.js';
import { readTargetCatalog } from '../../src/schema/target-catalog.js';
import { createDatabasePair } from '../harness/cluster.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query, withClient } from '../harness/sql.js';
import { RICH_SCHEMA } from './schema-fixture.js';
import { apply, difference, loadPair, NOTHING, replicateSchema } from './schema-pair.js';

describeDialects('schema round trip', (dialect) => {
  it('creates all of it once, and finds nothing to do afterwards', async () => {
    await using pair = await createDatabasePair('schema', dialect);
    const loaded = await replicateSchema(pair, RICH_SCHEMA);
    expect(await difference(pair, loaded)).toEqual(NOTHING);
    await apply(pair, loaded.translation.statements);
    expect(await difference(pair, loaded)).toEqual(NOTHING);
  });

  it('promotes twice without harm, and leaves a standby again when that is undone', async () => {
    await using pair = await createDatabasePair('schema', dialect);
    const loaded = await replicateSchema(pair, RICH_SCHEMA);
    const { promotion } = loaded.translation;
    for (let round = 0; round < 2; round++) for (const { sql } of promotion) await query(pair.secondary.url, sql);
    const promoted = await difference(pair, loaded);
    const constraints = promotion.filter(({ kind }) => !['default', 'index'].includes(kind));
    expect(promoted.conflicts.map(({ object }) => object).sort()).toEqual(
      constraints.map(({ table, name }) => `${displayName(table)}.${name}`).sort(),
    );
    expect(promoted.conflicts.map(({ kind }) => kind)).toContain('foreign-key');
    for (const { undo } of promotion) await query(pair.secondary.url, undo);
    expect(await difference(pair, loaded)).toEqual(NOTHING);
  });

  it('refuses new rows that break a foreign key once promoted, and keeps old ones', async () => {
    await using pair = await createDatabasePair('schema', dialect);
    const { translation } = await replicateSchema(
      pair,
      'CREATE TABLE a (id integer PRIMARY KEY); CREATE TABLE b (id integer PRIMARY KEY, a integer REFERENCES a)',
    );
    await query(pair.secondary.url, 'INSERT INTO b VALUES (1, 99)');
    for (const { sql } of translation.promotion) await query(pair.secondary.url, sql);
    await expect(query(pair.secondary.url, 'INSERT INTO b VALUES (2, 99)')).rejects.toMatchObject({ code: '23503' });
    expect(await query(pair.secondary.url, 'SELECT id, a FROM b')).toEqual([{ id: 1, a: 99 }]);
  });

  it('draws from the sequence of the primary, at its width', async () => {
    await using pair = await createDatabasePair('schema', dialect);
    await replicateSchema(
      pair,
      `CREATE SCHEMA "Sp ace"; CREATE TABLE "Sp ace"."T" (id serial PRIMARY KEY, x text);
       CREATE TABLE ident (id smallint GENERATED ALWAYS AS IDENTITY (START WITH 7 INCREMENT BY 3) PRIMARY KEY, x text)`,
    );
    for (let i = 0; i < 2; i++) {
      await query(pair.secondary.url, `INSERT INTO "Sp ace"."T" (x) VALUES ('a')`);
      await query(pair.secondary.url, `INSERT INTO ident (x) VALUES ('a')`);
    }
    await query(pair.secondary.url, `INSERT INTO ident (id, x) VALUES (100, 'given')`);
    const ids = async (table: string): Promise<number[]> =>
      (await query<{ id: unknown }>(pair.secondary.url, `SELECT id FROM ${table} ORDER BY 1`)).map((r) => Number(r.id));
    expect(await ids('"Sp ace"."T"')).toEqual([1, 2]);
    expect(await ids('ident')).toEqual([7, 10, 100]);
    const last = await query<{ n: unknown }>(pair.secondary.url, `SELECT nextval('"Sp ace"."T_id_seq"') AS n`);
    expect(Number(last[0]?.n)).toBe(3);
  });
});

describe('schema round trip, PostgreSQL to PostgreSQL', () => {
  it('gives a catalog that is equal but for the deviations that are listed', async () => {
    await using pair = await createDatabasePair('schema');
    const { catalog, translation } = await replicateSchema(pair, RICH_SCHEMA);
    const copy = await withClient(pair.secondary.url, (client) => readTargetCatalog(client, catalog.tables));
    const left = standby(catalog);
    const right = comparable(copy);
    for (const key of Object.keys(left) as (keyof typeof left)[]) expect(right[key], key).toEqual(left[key]);

    const listed = translation.deviations.map(({ object, kind }) => `${kind} ${object}`).sort();
    expect(listed).toEqual([
      'check public.everything.not_future',
      'check shop.coded.coded_n_check',
      'check shop.orders.old_notes',
      'default shop.coded.code',
      'exclusion shop.orders.orders_span_excl',
      'foreign-key shop.orders.orders_customer_fkey',
      'generated-column shop.coded.n2',
      'identity shop.customers.id',
      'index shop.coded.coded_twice',
      'partitioning public.measures',
      'primary-key public.keyless',
      'table public.scratch',
      'trigger shop.orders.stamp',
    ]);
  });

  it('works for a role that owns nothing but its database', async () => {
    await using pair = await createDatabasePair('schema');
    const role = `ordinary_${pair.secondary.name}`;
    const asRole = (url: string): string => {
      const changed = new URL(url);
      changed.username = role;
      changed.password = 'secret';
      return changed.href;
    };
    const urls = [pair.primary.url, pair.secondary.url];
    try {
      for (const url of urls) {
        const create = `CREATE ROLE ${role} LOGIN PASSWORD 'secret'`;
        await query(url, `DO $$BEGIN ${create}; EXCEPTION WHEN duplicate_object THEN NULL; END$$`);
        await query(url, `ALTER DATABASE "${pair.secondary.name}" OWNER TO ${role}`);
      }
      await query(asRole(pair.primary.url), RICH_SCHEMA);
      const ordinary = {
        ...pair,
        primary: { ...pair.primary, url: asRole(pair.primary.url) },
        secondary: { ...pair.secondary, url: asRole(pair.secondary.url) },
        [Symbol.asyncDispose]: () => Promise.resolve(),
      };
      const loaded = await loadPair(ordinary);
      await apply(ordinary, (await difference(ordinary, loaded)).statements);
      expect(await difference(ordinary, loaded)).toEqual(NOTHING);
    } finally {
      for (const url of urls) {
        await query(url, `ALTER DATABASE "${pair.secondary.name}" OWNER TO CURRENT_USER`);
        await query(url, `REASSIGN OWNED BY ${role} TO CURRENT_USER; DROP OWNED BY ${role}`);
      }
      for (const url of urls) {
        await query(url, `DROP ROLE IF EXISTS ${role}`).catch(() => undefined);
      }
    }
  });
});

type Comparable = Pick<
  CatalogModel,
  'schemas' | 'enums' | 'domains' | 'composites' | 'ranges' | 'sequences' | 'extensions'
> & { tables: unknown[] };

/** Without what belongs to one database: numbers of objects, sizes, and where the data lives. */
function comparable(catalog: CatalogModel): Comparable {
  const { schemas, enums, sequences, extensions } = catalog;
  const typed = stripOids(catalog) as CatalogModel;
  return {
    schemas: schemas.includes('public') ? schemas : [...schemas, 'public'].sort(),
    enums: enums.map(({ oids: _o, ...rest }) => rest),
    ...{ sequences, extensions, domains: typed.domains, composites: typed.composites, ranges: typed.ranges },
    tables: typed.tables.map((table) => {
      const { oid: _o, rowEstimate: _e, sizeBytes: _s, partitions: _p, replicaIdentity: _r, ...rest } = table;
      const columns = rest.columns.map(({ attnum: _a, dimensions: _d, ...column }) => column);
      return { ...rest, columns };
    }),
  };
}

/** The primary's catalog with the deviations carried out by hand. */
function standby(catalog: CatalogModel): Comparable {
  const tables = catalog.tables.map((table): TableModel => {
    const checks = table.checks.filter(({ name }) => !['not_future', 'old_notes', 'coded_n_check'].includes(name));
    const indexes = table.indexes.filter(({ name }) => name !== 'coded_twice');
    const columns = table.columns.map((column) => {
      if (column.name === 'code') return { ...column, default: null };
      if (column.name === 'n2') return { ...column, generated: null };
      return column.identity === 'a' ? { ...column, identity: 'd' as const } : column;
    });
    const changed = { checks, indexes, columns, foreignKeys: [], triggers: [], exclusions: [], kind: 'table' as const };
    return { ...table, ...changed };
  });
  return comparable({ ...catalog, tables });
}

function stripOids(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(stripOids);
  if (value === null || typeof value !== 'object') return value;
  const isType = 'typmod' in value && 'display' in value;
  const entries = Object.entries(value as TypeModel).map(([key, item]) => [key, stripOids(item)] as const);
  return Object.fromEntries(entries.filter(([key]) => !(isType && key === 'oid')));
}
