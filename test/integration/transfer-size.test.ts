/** G4 for files: memory does not depend on the number of rows. DB_TEST_LONG=1: a million of them. */
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { createDatabasePair } from '../harness/cluster.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query } from '../harness/sql.js';
import { runCli, transferEnvironment } from './support/transfer.js';

const LONG = process.env.DB_TEST_LONG === '1';
const ROWS = LONG ? 1_000_000 : 100_000;
const MOST = 200 * 1024 * 1024;

const SUMS = `SELECT count(*)::text AS rows, sum(id)::text AS ids, sum(length(note))::text AS chars, sum(amount)::text AS amounts FROM big`;

describeDialects('export and import of many rows', (dialect) => {
  it(`${ROWS} rows go into a file and out of it below 200 MB`, { timeout: 900_000 }, async () => {
    await using pair = await createDatabasePair('transfer_size', dialect);
    const folder = await mkdtemp(join(tmpdir(), 'db-redundancy-size-'));
    try {
      await query(
        pair.primary.url,
        `CREATE TABLE big (id bigint PRIMARY KEY, a int, b int, amount numeric(12,2), note text, tags text[], doc jsonb, at timestamptz, u uuid, ok boolean, f float8, d date);
         INSERT INTO big SELECT g, g % 7, g % 1000, g / 7.0, 'note ' || md5(g::text), ARRAY['a', g::text], jsonb_build_object('g', g, 's', 'it''s'),
           timestamptz '2026-01-01' + g * interval '1 second', md5(g::text)::uuid, g % 2 = 0, g / 3.0, date '2026-01-01' + (g % 365)::int
         FROM generate_series(1, ${ROWS}) g`,
      );
      const report = async (what: string, args: string[]) => {
        const start = Date.now();
        const done = await runCli(args, transferEnvironment(pair));
        expect(done, done.stderr).toMatchObject({ code: 0 });
        expect(done.peakRssBytes, what).toBeLessThan(MOST);
        return `${what} ${((Date.now() - start) / 1000).toFixed(1)} s, ${Math.round(done.peakRssBytes / 2 ** 20)} MiB`;
      };
      const [from, back] = [join(folder, 'primary.sql.gz'), join(folder, 'secondary.sql')];
      const lines = [
        await report('export, packed', ['export', '--source=primary', `--output=${from}`]),
        await report(`import on ${dialect}`, ['import', '--target=secondary', `--input=${from}`]),
        await report(`export of ${dialect}`, ['export', '--source=secondary', `--output=${back}`]),
      ];
      expect(await query(pair.secondary.url, SUMS)).toEqual(await query(pair.primary.url, SUMS));
      expect((await stat(back)).size).toBeGreaterThan(ROWS * 100);
      if (LONG) console.info(`${ROWS} rows: ${lines.join('; ')}`);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
