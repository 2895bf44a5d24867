/** Names and values that mean something to psql, to SQL or to a file; and a schema of every kind of object. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client } from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { quoteIdent, quoteTable } from '../../src/core/ident.js';
import { readCatalog } from '../../src/schema/catalog.js';
import { probeCapabilities } from '../../src/schema/probe.js';
import { translate } from '../../src/schema/translate.js';
import { createDatabasePair, type DatabasePair } from '../harness/cluster.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { canonicalDump, dumpTable, query, withClient } from '../harness/sql.js';
import { HOSTILE_TABLE, RICH_SCHEMA } from './schema-fixture.js';
import { psqlRestore, psqlVersion } from './support/psql.js';
import { exportFile, importFile, runCli, transferEnvironment } from './support/transfer.js';

const HOSTILE = { schema: 'Sché ma."x"', name: HOSTILE_TABLE };
const LINES = { schema: 'public', name: 'two\nlines;\n\\q' };
const VALUES = [
  `'); DROP TABLE lines; --`,
  '\\.',
  '\\q',
  '\n\\q\n\\endif\n',
  ':var :\'var\' :"var"',
  '$$ $tag$ ;',
  'a\r\nb\tc\\',
  "\\\\''\"",
  '-- part: constraints\n',
  '\u2028\u0085\ufeff😀',
  '',
];

/** All that a catalog says, as the statements that would make it anew; the rest of a schema has no meaning here. */
async function definition(url: string): Promise<string[]> {
  return withClient(url, async (client: Client) => {
    const translation = translate(await readCatalog(client, '*'), await probeCapabilities(client));
    return [...translation.statements.map(({ sql }) => sql), ...translation.promotion.map(({ sql }) => sql)].sort();
  });
}

describeDialects('hostile names, values and schemas', (dialect) => {
  let folder: string;
  let pair: DatabasePair;
  let file: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'db-redundancy-hostile-'));
    file = join(folder, 'all.sql');
    pair = await createDatabasePair('hostile', dialect);
    const { schema, name } = HOSTILE;
    const at = quoteTable(LINES.schema, LINES.name);
    const column = quoteIdent('a "b"\n;c');
    await withClient(pair.primary.url, async (client) => {
      await client.query(RICH_SCHEMA);
      await client.query(`CREATE TABLE ${at} (id int PRIMARY KEY, ${column} text); CREATE TABLE nothing ();
        INSERT INTO nothing DEFAULT VALUES; INSERT INTO nothing DEFAULT VALUES;
        INSERT INTO measures VALUES ('2025-06-01', 1, 1.5), ('2030-06-01', 2, 'NaN');
        INSERT INTO keyless VALUES (1, 'a'), (1, 'a'), (NULL, NULL);
        INSERT INTO shop.customers (id, mail, first, last, price, qty, rank) OVERRIDING SYSTEM VALUE VALUES (7, 'a@b', 'Ä', 'b', 1.5, 2, 1);
        INSERT INTO shop.orders VALUES (7, 1, 'x', '[2025-01-01,2025-02-01)');
        INSERT INTO shop.coded (n) VALUES (4);
        CREATE TABLE parent (a int); CREATE TABLE child (b int) INHERITS (parent); INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2, 3)`);
      for (const [i, value] of VALUES.entries()) {
        await client.query(`INSERT INTO ${at} VALUES ($1, $2)`, [i, value]);
        await client.query(`INSERT INTO ${quoteTable(schema, name)} ("ünï.code", "select") VALUES ($1, $2)`, [
          i + 1,
          value,
        ]);
      }
    });
    const exported = await runCli(['export', '--source=primary', `--output=${file}`], transferEnvironment(pair));
    expect(exported, exported.stderr).toMatchObject({ code: 0 });
    expect(exported.stdout).toMatch(/shop\.orders\.span: .*becomes STRING/);
  }, 60_000);

  afterAll(async () => {
    await pair?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  const TABLES = [HOSTILE, LINES, ...['measures', 'keyless', 'nothing'].map((name) => ({ schema: 'public', name }))];

  it.skipIf(psqlVersion === null)(
    'psql makes the same PostgreSQL database of the file: every object and every row',
    async () => {
      await using fresh = await createDatabasePair('hostile_psql', dialect);
      await psqlRestore(fresh.primary.url, file);
      expect(await definition(fresh.primary.url)).toEqual(await definition(pair.primary.url));
      const shop = ['customers', 'orders', 'coded'].map((name) => ({ schema: 'shop', name }));
      const children = ['parent', 'child'].map((name) => ({ schema: 'public', name }));
      for (const table of [...TABLES, ...shop, ...children]) {
        // Of an inheritance that the file does not keep, each table has its own rows.
        const expected = table.name === 'parent' ? [{ a: '1' }] : await dumpTable(pair.primary.url, table);
        expect(await dumpTable(fresh.primary.url, table), table.name).toEqual(expected);
      }
    },
  );

  it('is imported with the same rows, and exported from there again', async () => {
    await using fresh = await createDatabasePair('hostile_import', dialect);
    await importFile(fresh, 'secondary', file);
    const back = join(folder, 'back.sql.gz');
    await exportFile(fresh, 'secondary', back);
    await importFile(fresh, 'primary', back, { force: true });
    for (const table of TABLES) {
      const expected = await canonicalDump(pair.primary.url, table);
      expect(await canonicalDump(fresh.secondary.url, table), table.name).toEqual(expected);
      expect(await canonicalDump(fresh.primary.url, table), table.name).toEqual(expected);
    }
  });

  it('values that CockroachDB would store as others are counted in the file, and refused there', async () => {
    await using source = await createDatabasePair('hostile_refused', dialect);
    await query(
      source.primary.url,
      `CREATE TABLE odd (id int PRIMARY KEY, at timestamp, span interval, list int[]);
       INSERT INTO odd VALUES (1, '294276-12-31 23:59:59.999999', '2562048:00:00', '{{1,2},{3,4}}'), (2, 'infinity', '1 day', '{1}')`,
    );
    const odd = join(folder, 'odd.sql');
    const { notForCockroach } = await exportFile(source, 'primary', odd);
    expect(notForCockroach.map(({ column, values }) => [column, values])).toEqual([
      ...[
        ['at', 1],
        ['span', 1],
        ['list', 1],
      ],
    ]);
    expect(await readFile(odd, 'utf8')).toContain('"notForCockroach":[{');
    const imported = await runCli(['import', '--target=secondary', `--input=${odd}`], transferEnvironment(source));
    if (dialect === 'postgres') {
      expect(imported, imported.stderr).toMatchObject({ code: 0 });
      expect(await dumpTable(source.secondary.url, 'odd')).toEqual(await dumpTable(source.primary.url, 'odd'));
    } else {
      expect(imported).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('would not hold as they are: public.odd.at'),
      });
      expect(
        await query(source.secondary.url, `SELECT 1 FROM information_schema.tables WHERE table_schema = 'public'`),
      ).toEqual([]);
    }
  });
});
