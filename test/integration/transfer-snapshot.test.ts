/** An export is one moment of its source, however long it takes and whatever is written meanwhile. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { createDatabasePair } from '../harness/cluster.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query, withClient } from '../harness/sql.js';
import { exportFile, importFile } from './support/transfer.js';

const ROWS = 2_000;

describeDialects('the snapshot of an export', (dialect) => {
  it('never has half a transfer between two tables', async () => {
    await using pair = await createDatabasePair('snapshot', dialect);
    await using fresh = await createDatabasePair('snapshot_back', dialect);
    const folder = await mkdtemp(join(tmpdir(), 'db-redundancy-snapshot-'));
    try {
      const { url } = pair.secondary;
      for (const table of ['first', 'last']) {
        await query(url, `CREATE TABLE ${table} (id int4 PRIMARY KEY, balance int8 NOT NULL)`);
        await query(url, `INSERT INTO ${table} SELECT g, 100 FROM generate_series(1, ${ROWS}) g`);
      }
      let transfers = 0;
      let running = true;
      const writer = withClient(url, async (client) => {
        for (; running; transfers++) {
          await client.query('BEGIN');
          await client.query(`UPDATE first SET balance = balance - 1 WHERE id % 40 = ${transfers % 40}`);
          await client.query(`UPDATE last SET balance = balance + 1 WHERE id % 40 = ${transfers % 40}`);
          await client.query(`INSERT INTO first VALUES (${ROWS + transfers + 1}, -1)`);
          await client.query(`INSERT INTO last VALUES (${ROWS + transfers + 1}, 1)`);
          await client.query('COMMIT');
        }
      });
      const before = transfers;
      for (let i = 0; i < 3; i++) await exportFile(pair, 'secondary', join(folder, `${i}.sql`));
      const during = transfers - before;
      running = false;
      await writer;
      expect(during).toBeGreaterThan(3);
      await importFile(fresh, 'secondary', join(folder, '2.sql'));
      const sums = `SELECT sum(balance)::text AS sum, count(*)::text AS rows FROM`;
      const read = async (table: string) =>
        (await query<{ sum: string; rows: string }>(fresh.secondary.url, `${sums} ${table}`))[0];
      const [first, last] = [await read('first'), await read('last')];
      expect(Number(first?.sum) + Number(last?.sum)).toBe(2 * 100 * ROWS);
      expect(first?.rows).toBe(last?.rows);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
