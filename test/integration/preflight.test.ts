import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseDatabaseUrl } from '../../src/config/database-url.js';
import { EmbeddedServer } from '../../src/demo/embedded.js';
import { inspectPrimary } from '../../src/preflight/primary.js';
import { inspectSecondary } from '../../src/preflight/secondary.js';
import { createDatabasePair } from '../harness/cluster.js';
import { createRole, faults, found, ids, STREAM, wanted } from '../harness/preflight-fixture.js';
import { query } from '../harness/sql.js';

describe('the primary', () => {
  it('passes with tables of every usable replica identity, and nothing is created', async () => {
    await using pair = await createDatabasePair('preflight');
    const { url } = pair.primary;
    await query(
      url,
      `CREATE TABLE by_key (id int PRIMARY KEY);
       CREATE TABLE by_all (a int); ALTER TABLE by_all REPLICA IDENTITY FULL;
       CREATE TABLE by_index (a int NOT NULL UNIQUE); ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_a_key;
       CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id);
       CREATE TABLE part_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
       CREATE SCHEMA "My Schema"; CREATE TABLE "My Schema"."T" (id int PRIMARY KEY)`,
    );
    const before = await query(
      url,
      'SELECT (SELECT count(*) FROM pg_class) AS c, (SELECT count(*) FROM pg_publication) AS p',
    );
    const { results, identity } = await inspectPrimary(wanted(url, 'by_key,by_all,by_index,parts,"My Schema"."T"'));
    expect(ids(results, 'error')).toEqual([]);
    expect(ids(results, 'warning')).toEqual(['primary-wal-keep']);
    expect(identity?.version).toMatchObject({ dialect: 'postgres', major: 18 });
    expect(
      await query(url, 'SELECT (SELECT count(*) FROM pg_class) AS c, (SELECT count(*) FROM pg_publication) AS p'),
    ).toEqual(before);
    const all = await inspectPrimary(wanted(url, '*'));
    expect(found(all.results, 'primary-tables')).toMatchObject({ ok: true, detail: '5 tables' });
  });

  it('names all missing tables at once, and what may have been meant', async () => {
    await using pair = await createDatabasePair('preflight');
    await query(
      pair.primary.url,
      'CREATE TABLE "Users" (id int PRIMARY KEY); CREATE SCHEMA billing; CREATE TABLE billing.invoices (id int PRIMARY KEY)',
    );
    const { results } = await inspectPrimary(wanted(pair.primary.url, 'users,invoices,gone,"Users"'));
    expect(ids(results, 'error')).toEqual(['primary-tables']);
    const detail = found(results, 'primary-tables')?.detail;
    expect(detail).toBe(
      'missing: public.users (there is public.Users), public.invoices (there is billing.invoices), public.gone',
    );
  });

  it('names all tables without a usable replica identity at once, partitions included', async () => {
    await using pair = await createDatabasePair('preflight');
    const { url } = pair.primary;
    await query(
      url,
      `CREATE TABLE good (id int PRIMARY KEY);
       CREATE TABLE no_key (a int);
       CREATE TABLE silent (id int PRIMARY KEY); ALTER TABLE silent REPLICA IDENTITY NOTHING;
       CREATE TABLE late (id int PRIMARY KEY DEFERRABLE);
       CREATE TABLE lost (a int NOT NULL UNIQUE); ALTER TABLE lost REPLICA IDENTITY USING INDEX lost_a_key;
       ALTER TABLE lost DROP CONSTRAINT lost_a_key;
       CREATE TABLE parts (a int) PARTITION BY LIST (a); ALTER TABLE parts REPLICA IDENTITY FULL;
       CREATE TABLE part_1 PARTITION OF parts FOR VALUES IN (1)`,
    );
    const { results } = await inspectPrimary(wanted(url, 'good,no_key,silent,late,lost,parts'));
    expect(ids(results, 'error')).toEqual(['primary-replica-identity']);
    const result = found(results, 'primary-replica-identity');
    for (const name of [
      'no_key (no primary key)',
      'silent (REPLICA IDENTITY NOTHING)',
      'late (a primary key that is deferrable)',
      'lost (a replica identity index that is gone)',
      'part_1 (no primary key)',
    ]) {
      expect(result?.detail).toContain(`public.${name}`);
    }
    expect(result?.detail).not.toContain('good');

    // What the check says is what PostgreSQL does, and what the remedy says mends it.
    await query(
      url,
      `INSERT INTO no_key VALUES (1); INSERT INTO silent VALUES (1); INSERT INTO late VALUES (1); INSERT INTO lost VALUES (1); INSERT INTO parts VALUES (1)`,
    );
    await query(
      url,
      'CREATE PUBLICATION p FOR TABLE no_key, silent, late, lost, parts WITH (publish_via_partition_root = true)',
    );
    for (const table of ['no_key', 'silent', 'late', 'lost', 'parts']) {
      await expect(query(url, `DELETE FROM ${table}`), table).rejects.toMatchObject({ code: '55000' });
    }
    await query(url, 'DROP PUBLICATION p');
    await query(url, result?.remedy ?? '');
    const again = await inspectPrimary(wanted(url, 'good,no_key,silent,late,parts'));
    expect(ids(again.results, 'error')).toEqual([]);
  });

  it('refuses unlogged tables, views and single partitions', async () => {
    await using pair = await createDatabasePair('preflight');
    await query(
      pair.primary.url,
      `CREATE UNLOGGED TABLE fast (id int PRIMARY KEY); CREATE VIEW seen AS SELECT 1 AS a;
       CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id);
       CREATE TABLE part_1 PARTITION OF parts FOR VALUES FROM (0) TO (10)`,
    );
    const { results } = await inspectPrimary(wanted(pair.primary.url, 'fast,seen,part_1'));
    expect(ids(results, 'error')).toEqual(['primary-table-kinds', 'primary-unlogged']);
    expect(found(results, 'primary-table-kinds')?.detail).toBe(
      'public.part_1 is a partition of public.parts, public.seen is a view',
    );
    expect(found(results, 'primary-unlogged')?.remedy).toBe('ALTER TABLE "public"."fast" SET LOGGED;');
  });

  it('refuses a publication that leaves out changes or goes by partition', async () => {
    await using pair = await createDatabasePair('preflight');
    const { url } = pair.primary;
    await query(
      url,
      `CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id);
       CREATE TABLE part_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
       CREATE PUBLICATION preflight FOR TABLE parts WITH (publish = 'insert, update')`,
    );
    const { results } = await inspectPrimary(wanted(url, 'parts'));
    expect(ids(results, 'error')).toEqual(['primary-publication', 'primary-partitions']);
    expect(found(results, 'primary-publication')?.detail).toContain('leaves out delete, truncate');
    await query(
      url,
      `${found(results, 'primary-publication')?.remedy} ${found(results, 'primary-partitions')?.remedy}`,
    );
    expect(ids((await inspectPrimary(wanted(url, 'parts'))).results, 'error')).toEqual([]);
  });

  it('names every right that an ordinary role lacks, with statements that grant them', async () => {
    await using pair = await createDatabasePair('preflight');
    await query(pair.primary.url, 'CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)');
    await using role = await createRole(pair, 'primary', '');
    const { results } = await inspectPrimary(wanted(role.url, 'a,b'));
    expect(ids(results, 'error')).toEqual([
      'primary-replication-right',
      'primary-create-right',
      'primary-ownership',
      'primary-select-right',
    ]);
    expect(found(results, 'primary-ownership')?.detail).toContain('public.a (postgres), public.b (postgres)');
    expect(found(results, 'primary-select-right')?.detail).toBe(`role ${role.name} cannot read public.a, public.b`);
    for (const id of ids(results, 'error')) {
      await query(pair.primary.url, (found(results, id)?.remedy ?? '').replace(/ \(on Neon.*/, ''));
    }
    expect(ids((await inspectPrimary(wanted(role.url, 'a,b'))).results, 'error')).toEqual([]);
  });

  it('takes a published table for enough where the role is not the owner', async () => {
    await using pair = await createDatabasePair('preflight');
    await query(pair.primary.url, 'CREATE TABLE a (id int PRIMARY KEY); CREATE PUBLICATION preflight FOR TABLE a');
    await using role = await createRole(pair, 'primary', 'REPLICATION');
    await query(
      pair.primary.url,
      `GRANT SELECT ON a TO ${role.name}; GRANT CREATE ON DATABASE ${role.database} TO ${role.name}`,
    );
    const { results } = await inspectPrimary(wanted(role.url, 'a'));
    expect(ids(results, 'error')).toEqual([]);
    expect(ids(results, 'warning')).toContain('primary-publication');
  });

  it('refuses a database without an encoding', async () => {
    await using pair = await createDatabasePair('preflight');
    const name = `${pair.primary.name}_ascii`;
    await query(
      pair.primary.url,
      `CREATE DATABASE ${name} ENCODING 'SQL_ASCII' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0`,
    );
    try {
      const url = pair.primary.url.replace(pair.primary.name, name);
      await query(url, 'CREATE TABLE a (id int PRIMARY KEY)');
      expect(ids((await inspectPrimary(wanted(url, 'a'))).results, 'error')).toEqual(['primary-encoding']);
    } finally {
      await query(pair.primary.url, `DROP DATABASE ${name} WITH (FORCE)`);
    }
  });

  it('accepts its own slot, and refuses one of another kind or database', async () => {
    await using pair = await createDatabasePair('preflight');
    await using other = await createDatabasePair('preflight');
    await query(pair.primary.url, 'CREATE TABLE a (id int PRIMARY KEY)');
    const slots = {
      ours: `${pair.primary.name}_ours`,
      plugin: `${pair.primary.name}_plugin`,
      elsewhere: `${pair.primary.name}_other`,
    };
    await query(
      pair.primary.url,
      `SELECT pg_create_logical_replication_slot('${slots.ours}', 'pgoutput'), pg_create_logical_replication_slot('${slots.plugin}', 'test_decoding')`,
    );
    await query(other.primary.url, `SELECT pg_create_logical_replication_slot('${slots.elsewhere}', 'pgoutput')`);
    const slotOf = async (slot: string) =>
      found((await inspectPrimary(wanted(pair.primary.url, 'a', { ...STREAM, slot }))).results, 'primary-slot');
    expect(await slotOf(slots.ours)).toMatchObject({ ok: true, detail: `slot ${slots.ours} is there` });
    expect(await slotOf(slots.plugin)).toMatchObject({
      ok: false,
      severity: 'error',
      detail: expect.stringContaining('plugin test_decoding'),
    });
    expect(await slotOf(slots.elsewhere)).toMatchObject({
      ok: false,
      severity: 'error',
      detail: expect.stringContaining(other.primary.name),
    });
  });
});

describe('a server that is set up for something else', () => {
  let server: EmbeddedServer;
  beforeAll(async () => {
    const settings = {
      wal_level: 'replica',
      max_wal_senders: '0',
      max_replication_slots: '0',
      wal_sender_timeout: '0',
      max_slot_wal_keep_size: '100MB',
      fsync: 'off',
    };
    server = await EmbeddedServer.start({ name: 'preflight', settings });
  });
  afterAll(() => server.close());

  it('has every setting at fault named, and an empty database', async () => {
    const { results } = await inspectPrimary(wanted(server.url(), '*'));
    expect(ids(results, 'error')).toEqual([
      'primary-wal-level',
      'primary-slot',
      'primary-wal-sender',
      'primary-tables',
    ]);
    expect(ids(results, 'warning')).toEqual(['primary-wal-sender-timeout', 'primary-wal-keep']);
    expect(found(results, 'primary-slot')?.detail).toBe('all 0 slots are in use');
    expect(found(results, 'primary-tables')?.detail).toBe('the database has no tables');
  });

  it('that cannot be reached is transient, and one that refuses the login is not; neither shows the password', async () => {
    const wrong = new URL(server.url());
    wrong.password = 'wrong-password';
    const refused = await inspectPrimary(wanted(wrong.href, '*'));
    expect(faults(refused.results)).toMatchObject([{ id: 'primary-connection', severity: 'error', transient: false }]);
    await server.stop('immediate');
    const gone = await inspectSecondary({ secondary: parseDatabaseUrl(wrong.href), tables: '*' });
    expect(faults(gone.results)).toMatchObject([{ id: 'secondary-connection', severity: 'error', transient: true }]);
    expect(JSON.stringify([refused, gone])).not.toContain('wrong-password');
    await server.startAgain();
  });
});
