/** Export and import of the real database, in every direction: plain psql and our import, from and to both databases. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createDatabasePair, type DatabasePair } from '../harness/cluster.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { canonicalDump, type DumpedRow, query } from '../harness/sql.js';
import { psqlRestore, psqlVersion } from './support/psql.js';
import { exportFile, importFile, runCli, transferEnvironment } from './support/transfer.js';

const CHINOOK = new URL('../data/chinook/chinook.sql', import.meta.url);
const TABLES = [
  ...['album', 'artist', 'customer', 'employee', 'genre', 'invoice', 'invoice_line', 'media_type', 'playlist'],
  ...['playlist_track', 'track'],
];
const SIDES = ['primary', 'secondary'] as const;
type Side = (typeof SIDES)[number];

async function dumps(url: string): Promise<Record<string, DumpedRow[]>> {
  const all: Record<string, DumpedRow[]> = {};
  for (const table of TABLES) all[table] = await canonicalDump(url, table);
  return all;
}

const FOREIGN_KEYS = `SELECT c.relname::text AS "table", k.conname::text AS name FROM pg_catalog.pg_constraint k
  JOIN pg_catalog.pg_class c ON c.oid = k.conrelid WHERE k.contype = 'f' ORDER BY 1, 2`;

describeDialects('export and import of Chinook', (dialect) => {
  let folder: string;
  let pair: DatabasePair;
  let original: Record<string, DumpedRow[]>;
  let keys: unknown[];
  const file = (side: Side, ending = '') => join(folder, `${side}.sql${ending}`);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'db-redundancy-export-'));
    pair = await createDatabasePair('transfer', dialect);
    const text = await readFile(fileURLToPath(CHINOOK), 'utf8');
    await query(pair.primary.url, text.slice(text.indexOf('CREATE TABLE album')));
    await query(pair.primary.url, `SELECT setval('track_track_id_seq', 5000)`);
    original = await dumps(pair.primary.url);
    keys = await query(pair.primary.url, FOREIGN_KEYS);
    const loaded = await runCli(['init-secondary'], transferEnvironment(pair));
    expect(loaded, loaded.stderr).toMatchObject({ code: 0 });
    for (const [side, name] of [
      ['primary', file('primary', '.gz')],
      ['secondary', file('secondary')],
    ] as const) {
      const args = ['export', `--source=${side}`, `--output=${name}`, '--json'];
      const exported = await runCli(args, transferEnvironment(pair));
      expect(exported, exported.stderr).toMatchObject({ code: 0 });
      const counts = (JSON.parse(exported.stdout) as { counts: { name: string; rows: number }[] }).counts;
      expect(Object.fromEntries(counts.map((count) => [count.name, count.rows]))).toEqual(
        Object.fromEntries(TABLES.map((table) => [table, original[table]?.length])),
      );
    }
    await exportFile(pair, 'primary', file('primary'));
  }, 120_000);

  afterAll(async () => {
    await pair?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  async function expectEqual(url: string, withKeys: boolean) {
    expect(await dumps(url)).toEqual(original);
    expect(await query(url, FOREIGN_KEYS)).toEqual(withKeys ? keys : []);
    expect(await query(url, `SELECT nextval('artist_artist_id_seq')::text AS next`)).toEqual([{ next: '276' }]);
  }

  it('is SQL alone, without a branch for either database', async () => {
    const text = await readFile(file('primary'), 'utf8');
    expect(text.split('\n').filter((line) => line.startsWith('\\'))).toEqual([]);
    // One row a line: what a person greps and compares.
    expect(text).toContain(`\n(1,'AC/DC'),\n`);
  });

  it('is the same text packed and unpacked', async () => {
    const unpacked = gunzipSync(await readFile(file('primary', '.gz'))).toString('utf8');
    const plain = await readFile(file('primary'), 'utf8');
    const body = (text: string) => text.split('\n').filter((line) => !/^-- (\{|sha256 )/.test(line));
    expect(body(unpacked)).toEqual(body(plain));
  });

  // From PostgreSQL to PostgreSQL there is nothing of CockroachDB to be seen.
  const targetsOf = (source: Side) =>
    SIDES.filter((target) => dialect === 'postgres' || source !== 'primary' || target !== 'primary');

  for (const source of SIDES) {
    it.skipIf(psqlVersion === null)(
      `an export of the ${source} is restored by plain psql on either database`,
      async () => {
        await using fresh = await createDatabasePair('psql', dialect);
        for (const target of targetsOf(source)) {
          await psqlRestore(fresh[target].url, file(source));
          await expectEqual(fresh[target].url, true);
        }
        expect(await query(fresh.secondary.url, `SELECT nextval('track_track_id_seq')::text AS next`)).toEqual([
          { next: source === 'primary' ? '5001' : '3504' },
        ]);
      },
    );

    it(`an export of the ${source} is imported on either side, the standby without foreign keys`, async () => {
      await using fresh = await createDatabasePair('import', dialect);
      if (targetsOf(source).includes('primary')) {
        await expect(importFile(fresh, 'primary', file(source))).rejects.toThrow('active database');
        await importFile(fresh, 'primary', file(source), { force: true });
        await expectEqual(fresh.primary.url, true);
      }
      const input = source === 'primary' ? file(source, '.gz') : file(source);
      const imported = await runCli(['import', '--target=secondary', `--input=${input}`], transferEnvironment(fresh));
      expect(imported, imported.stderr).toMatchObject({ code: 0 });
      await expectEqual(fresh.secondary.url, false);
    });
  }
});
