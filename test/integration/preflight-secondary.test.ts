import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { parseDatabaseUrl } from '../../src/config/database-url.js';
import { runPreflight } from '../../src/preflight/run.js';
import { inspectSecondary } from '../../src/preflight/secondary.js';
import { Serve, serveEnvironment } from '../faults/support/serve.js';
import { createDatabasePair } from '../harness/cluster.js';
import { createRole, found, ids, tables, wanted } from '../harness/preflight-fixture.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query } from '../harness/sql.js';

describeDialects('the secondary', (dialect) => {
  it('passes, with both sides together', async () => {
    await using pair = await createDatabasePair('preflight', dialect);
    await query(pair.primary.url, 'CREATE TABLE a (id int PRIMARY KEY)');
    if (dialect === 'cockroach')
      await query(
        pair.secondary.url,
        `ALTER DATABASE ${pair.secondary.name} CONFIGURE ZONE USING gc.ttlseconds = 90000`,
      );
    // The server of the tests may have no role yet that a fence could keep out.
    const application = `application_${randomBytes(5).toString('hex')}`;
    await query(pair.secondary.url, `CREATE ROLE ${application} LOGIN`);
    const results = await runPreflight({
      ...wanted(pair.primary.url, 'a'),
      secondary: parseDatabaseUrl(pair.secondary.url),
    });
    await query(pair.secondary.url, `DROP ROLE ${application}`);
    expect(ids(results, 'error')).toEqual([]);
    expect(ids(results, 'warning')).toEqual(['primary-wal-keep']);
    expect(found(results, 'both-different')?.ok).toBe(true);
    expect(found(results, 'both-clocks')?.ok).toBe(true);
    expect(found(results, 'secondary-version')?.detail).toMatch(
      dialect === 'cockroach' ? /^CockroachDB/ : /^PostgreSQL/,
    );
  });

  it.runIf(dialect === 'cockroach')(
    'warns of settings of CockroachDB that hinder a failback, and that the role may not read',
    async () => {
      await using pair = await createDatabasePair('preflight', dialect);
      const { name, url } = pair.secondary;
      const role = `preflight_${randomBytes(5).toString('hex')}`;
      await query(url, `CREATE USER ${role}`);
      try {
        await query(url, `ALTER DATABASE ${name} CONFIGURE ZONE USING gc.ttlseconds = 600`);
        const asRoot = await inspectSecondary({ secondary: parseDatabaseUrl(url), tables: '*' });
        expect(ids(asRoot.results, 'warning')).toEqual(['secondary-gc-window']);
        expect(found(asRoot.results, 'secondary-gc-window')?.detail).toContain('gc.ttlseconds is 600');
        const own = new URL(url);
        own.username = role;
        own.password = '';
        const asRole = await inspectSecondary({ secondary: parseDatabaseUrl(own.href), tables: '*' });
        expect(ids(asRole.results, 'error')).toEqual(['secondary-create-right']);
        expect(found(asRole.results, 'secondary-rangefeeds')).toMatchObject({ ok: false, severity: 'warning' });
      } finally {
        await query(url, `DROP USER ${role}`);
      }
    },
  );
});

describe('the secondary on PostgreSQL', () => {
  it('is refused when it is the primary, by whatever name', async () => {
    await using pair = await createDatabasePair('preflight');
    await query(pair.primary.url, 'CREATE TABLE a (id int PRIMARY KEY)');
    const alias = new URL(pair.primary.url);
    alias.hostname = 'localhost';
    const results = await runPreflight({ ...wanted(pair.primary.url, 'a'), secondary: parseDatabaseUrl(alias.href) });
    expect(ids(results, 'error')).toEqual(['both-different']);
  });

  it('names the rights that the role lacks, with statements that grant them', async () => {
    await using pair = await createDatabasePair('preflight');
    await query(pair.secondary.url, 'CREATE SCHEMA "My Schema"');
    await using role = await createRole(pair, 'secondary', '');
    const target = { secondary: parseDatabaseUrl(role.url), tables: tables('a,"My Schema".b,unmade.c') };
    const { results } = await inspectSecondary(target);
    expect(ids(results, 'error')).toEqual(['secondary-create-right', 'secondary-schema-right']);
    expect(found(results, 'secondary-schema-right')?.detail).toBe(
      `role ${role.name} lacks CREATE on schema My Schema, public`,
    );
    for (const id of ids(results, 'error')) await query(pair.secondary.url, found(results, id)?.remedy ?? '');
    expect(ids((await inspectSecondary(target)).results, 'error')).toEqual([]);
  });

  it('does not end a service that starts while it takes no writes', async () => {
    await using pair = await createDatabasePair('preflight');
    await query(pair.primary.url, 'CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1)');
    await query(pair.secondary.url, `ALTER DATABASE ${pair.secondary.name} SET default_transaction_read_only = on`);
    await using streamer = await Serve.start(serveEnvironment(pair), 'streamer');
    await streamer.process.waitForLine(/Not ready yet: Server takes writes: default_transaction_read_only is on/);
    // The stream's own sessions are not read-only, whatever the database says of new ones.
    await streamer.leading();
    await streamer.caughtUp();
    expect(await query(pair.secondary.url, 'SELECT id FROM a')).toEqual([{ id: 1 }]);
  });

  it('is refused while it is read-only', async () => {
    await using pair = await createDatabasePair('preflight');
    await query(pair.secondary.url, `ALTER DATABASE ${pair.secondary.name} SET default_transaction_read_only = on`);
    const { results } = await inspectSecondary({ secondary: parseDatabaseUrl(pair.secondary.url), tables: '*' });
    expect(ids(results, 'error')).toEqual(['secondary-writable']);
  });
});
