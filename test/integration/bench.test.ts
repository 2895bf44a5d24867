/** `bench` as an operator runs it on two databases of their own: figures, what is skipped and why, and nothing left behind. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { createDatabasePair, type DatabasePair } from '../harness/cluster.js';
import { spawnCli } from '../harness/process.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';

/** All that the benchmark makes on a primary, by kind; what others have in a schema of their own stays. */
const LEFT_ON_PRIMARY = `SELECT 'schema' AS what FROM pg_namespace WHERE nspname IN ('db_redundancy_bench', 'db_redundancy')
  UNION ALL SELECT 'publication' FROM pg_publication
  UNION ALL SELECT 'slot' FROM pg_replication_slots WHERE database = current_database()`;
const WRITING = `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query LIKE 'INSERT INTO db_redundancy_bench.%'`;
const LEFT_ON_SECONDARY = `SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema LIKE 'db_redundancy%'`;

async function bench(pair: DatabasePair, ...args: string[]) {
  const folder = await mkdtemp(join(tmpdir(), 'db-redundancy-bench-test-'));
  try {
    const output = join(folder, 'result.json');
    const urls = ['--primary', pair.primary.url, '--secondary', pair.secondary.url];
    await using run = await spawnCli(['bench', ...urls, '--quick', '--turns', '1', '--output', output, ...args], {
      env: { PATH: process.env.PATH ?? '' },
    });
    const code = (await run.exit).code;
    return { code, text: run.output(), result: JSON.parse(await readFile(output, 'utf8').catch(() => 'null')) };
  } finally {
    await rm(folder, { recursive: true });
  }
}

describeDialects('bench on databases of a user', (dialect) => {
  it('measures in a schema of its own, says what it skips, and leaves both sides as they were', async () => {
    await using pair = await createDatabasePair('bench', dialect);
    for (const side of [pair.primary, pair.secondary])
      await query(side.url, 'CREATE TABLE mine (id int PRIMARY KEY); INSERT INTO mine VALUES (1), (2)');
    const { code, result, text } = await bench(pair, '--only', 'P1,P8');
    expect(text).not.toContain(new URL(pair.primary.url).password || 'no password');
    expect({ code, text }).toEqual({ code: 0, text: expect.stringContaining('decode only') });
    const ids = (list: { id: string }[]) => [...new Set(list.map(({ id }) => id))];
    if (dialect === 'postgres') {
      expect(ids(result.figures)).toEqual(['P8', 'P1']);
      expect(result.skipped).toEqual([]);
    } else {
      expect(ids(result.figures)).toEqual(['P8']);
      expect(result.skipped).toEqual([
        { id: 'P1', workload: expect.any(String), reason: expect.stringContaining('CockroachDB') },
      ]);
    }
    for (const { ours, result: judged, theirs } of result.figures) {
      expect(ours).toHaveLength(1);
      expect(judged.ratio).toBeCloseTo(ours[0] / theirs[0], 6);
    }
    expect(result.servers).toMatchObject({ embedded: false });
    expect(await query(pair.primary.url, LEFT_ON_PRIMARY)).toEqual([]);
    expect(await query(pair.secondary.url, LEFT_ON_SECONDARY)).toEqual([]);
    for (const side of [pair.primary, pair.secondary])
      expect(await query(side.url, 'SELECT id FROM mine ORDER BY id')).toHaveLength(2);
  }, 120_000);

  it.runIf(dialect === 'postgres')(
    'interrupted in the middle, it takes everything away all the same',
    async () => {
      await using pair = await createDatabasePair('bench', dialect);
      const urls = ['--primary', pair.primary.url, '--secondary', pair.secondary.url];
      await using run = await spawnCli(['bench', ...urls, '--only', 'P1'], { env: { PATH: process.env.PATH ?? '' } });
      await waitFor(async () => (await query(pair.primary.url, WRITING)).length > 0, {
        what: 'the large transaction is being written',
        timeoutMs: 60_000,
      });
      run.kill('SIGINT');
      await run.exit;
      expect(await query(pair.primary.url, LEFT_ON_PRIMARY)).toEqual([]);
      expect(await query(pair.secondary.url, LEFT_ON_SECONDARY)).toEqual([]);
    },
    120_000,
  );
});
