/** What an import does with a target: what it refuses, what a kill -9 leaves, what it adds. SPEC sections 10 and 15. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { npmOptions } from '../../src/cli/npm-options.js';
import type { Side } from '../../src/reconcile/row-hash.js';
import { createDatabasePair, type DatabasePair } from '../harness/cluster.js';
import { spawnCli } from '../harness/process.js';
import { TcpProxy } from '../harness/proxy.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { canonicalDump, query, withClient } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { exportFile, importFile, runCli, transferEnvironment } from './support/transfer.js';

const DOWN = new URL('postgresql://nobody@127.0.0.1:1/none').href;

const statements = async (url: string): Promise<number> => {
  const there = `SELECT 1 FROM information_schema.tables WHERE table_schema = 'db_redundancy' AND table_name = 'import_progress'`;
  if ((await query(url, there)).length === 0) return 0;
  const rows = await query<{ n: string }>(url, 'SELECT statements::text AS n FROM db_redundancy.import_progress');
  return Number(rows[0]?.n ?? 0);
};

describeDialects('import', (dialect) => {
  // So many that a kill finds it at work.
  const ROWS = dialect === 'postgres' ? 60_000 : 20_000;
  let folder: string;
  let pair: DatabasePair;
  let file: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'db-redundancy-import-'));
    file = join(folder, 'export.sql');
    pair = await createDatabasePair('import_from', dialect);
    // Without a key, so that a row written twice is seen; and one with a key, for rows that are there already.
    await query(
      pair.primary.url,
      `CREATE TABLE log (n int, note text);
       INSERT INTO log SELECT g, 'note ' || g FROM generate_series(1, ${ROWS}) g;
       CREATE TABLE keyed (id serial PRIMARY KEY, note text);
       INSERT INTO keyed (note) SELECT 'n' || g FROM generate_series(1, 10) g`,
    );
    await exportFile(pair, 'primary', file);
  }, 60_000);

  afterAll(async () => {
    await pair?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  it('goes on after kill -9 where the last transaction ended: every row is there once', async () => {
    await using fresh = await createDatabasePair('import_kill', dialect);
    const env = transferEnvironment(fresh);
    const args = ['import', '--target=secondary', `--input=${file}`, '--json'];
    for (const least of [6, 12]) {
      await using cli = await spawnCli(args, { env });
      await waitFor(async () => (await statements(fresh.secondary.url)) >= least, { what: 'some statements are done' });
      cli.kill('SIGKILL');
      await cli.exit;
    }
    const last = await runCli(args, env);
    expect(last, last.stderr).toMatchObject({ code: 0 });
    const { resumedAfter } = JSON.parse(last.stdout) as { resumedAfter: number };
    expect(resumedAfter).toBeGreaterThanOrEqual(12);
    expect(
      await query(fresh.secondary.url, 'SELECT count(*)::int AS n, count(DISTINCT n)::int AS d FROM log'),
    ).toMatchObject([dialect === 'cockroach' ? { n: String(ROWS), d: String(ROWS) } : { n: ROWS, d: ROWS }]);
    for (const table of ['log', 'keyed']) {
      expect(await canonicalDump(fresh.secondary.url, table)).toEqual(await canonicalDump(pair.primary.url, table));
    }
  });

  it.runIf(dialect === 'postgres')(
    'loses its session between rows and progress: neither is there, and it goes on',
    async () => {
      await using fresh = await createDatabasePair('import_cut', dialect);
      const env = transferEnvironment(fresh);
      const args = ['import', '--target=secondary', `--input=${file}`];
      // So slow a line that it is not over before it is interrupted.
      await using proxy = await TcpProxy.start(fresh.secondary.url);
      proxy.bytesPerSecond = 400_000;
      const slow = { ...env, DATABASE_URL_SECONDARY: proxy.url(fresh.secondary.url) };
      await using cli = await spawnCli(args, { env: slow });
      await waitFor(async () => (await statements(fresh.secondary.url)) >= 6, { what: 'some statements are done' });
      await withClient(fresh.secondary.url, async (client) => {
        await client.query('BEGIN; SELECT 1 FROM db_redundancy.import_progress FOR UPDATE');
        const blocked = `SELECT pg_terminate_backend(pid) AS ended FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'`;
        await waitFor(async () => (await client.query(blocked)).rows.length > 0, {
          what: 'the import waits for the row',
        });
        await client.query('ROLLBACK');
      });
      expect((await cli.exit).code).toBe(1);
      expect(cli.output('stderr')).toContain('Mend the cause and repeat the command');
      const again = await runCli(args, env);
      expect(again, again.stderr).toMatchObject({ code: 0 });
      expect(await canonicalDump(fresh.secondary.url, 'log')).toEqual(await canonicalDump(pair.primary.url, 'log'));
    },
  );

  it('refuses an altered file before the first write, whatever is forced', async () => {
    await using fresh = await createDatabasePair('import_bad', dialect);
    const text = await readFile(file, 'utf8');
    const bad = join(folder, 'bad.sql');
    for (const altered of [text.replace('note 77', 'note 78'), text.slice(0, -1), text.slice(0, text.length / 2), '']) {
      await writeFile(bad, altered);
      await expect(importFile(fresh, 'secondary', bad, { force: true })).rejects.toThrow(
        /^The file is refused: .*Nothing was written/,
      );
    }
    const objects = `SELECT 1 FROM information_schema.tables WHERE table_schema IN ('public', 'db_redundancy')`;
    expect(await query(fresh.secondary.url, objects)).toEqual([]);
  });

  it('refuses the active side, a target with rows and one that a streamer writes to, with exit code 3', async () => {
    await using fresh = await createDatabasePair('import_guard', dialect);
    const run = (target: Side, force = false) => importFile(fresh, target, file, { force });
    const args = ['import', '--target=primary', `--input=${file}`];
    const refused = await runCli(args, transferEnvironment(fresh));
    expect(refused).toMatchObject({ code: 3, stderr: expect.stringContaining('The primary is the active') });
    await query(
      fresh.secondary.url,
      `CREATE TABLE keyed (id int PRIMARY KEY, note text); INSERT INTO keyed VALUES (3, 'mine'), (12, 'more')`,
    );
    await expect(run('secondary')).rejects.toMatchObject({
      ...{ exitCode: 3, message: expect.stringContaining('not empty: public.keyed') },
    });
    // With --force nothing that is there changes, and what is missing comes; sequences never go back.
    await query(fresh.secondary.url, 'CREATE SEQUENCE keyed_id_seq');
    await query(fresh.secondary.url, `SELECT setval('keyed_id_seq', 500, false)`);
    expect(await run('secondary', true)).toMatchObject({ written: ROWS + 9, kept: 1 });
    expect(
      await query(fresh.secondary.url, 'SELECT id::text, note FROM keyed WHERE id IN (2, 3, 12) ORDER BY keyed.id'),
    ).toEqual([
      ...[
        { id: '2', note: 'n2' },
        { id: '3', note: 'mine' },
        { id: '12', note: 'more' },
      ],
    ]);
    const [next] = await query<{ n: string }>(fresh.secondary.url, `SELECT nextval('keyed_id_seq')::text AS n`);
    expect(Number(next?.n)).toBeGreaterThanOrEqual(500);

    await query(
      fresh.secondary.url,
      `CREATE TABLE db_redundancy.control (stream text, active text); INSERT INTO db_redundancy.control VALUES ('db_redundancy', 'secondary')`,
    );
    await expect(run('secondary')).rejects.toMatchObject({
      ...{ exitCode: 3, message: expect.stringContaining('The secondary is the active') },
    });
    await query(
      fresh.secondary.url,
      `UPDATE db_redundancy.control SET active = 'primary';
       CREATE TABLE db_redundancy.checkpoint (stream text, leader text, renewed_at timestamptz);
       INSERT INTO db_redundancy.checkpoint VALUES ('db_redundancy', 'somebody', now())`,
    );
    await expect(run('secondary')).rejects.toMatchObject({
      ...{ exitCode: 3, message: expect.stringContaining('A streamer writes') },
    });
    // The primary is not the active side while the secondary is: no --force is needed.
    await query(fresh.secondary.url, `UPDATE db_redundancy.control SET active = 'secondary'`);
    await run('primary');
    expect(await canonicalDump(fresh.primary.url, 'keyed')).toEqual(await canonicalDump(pair.primary.url, 'keyed'));
  });

  it.runIf(dialect === 'postgres')('repeats a statement that the server asks to be repeated', async () => {
    await using fresh = await createDatabasePair('import_retry', dialect);
    // A sequence does not roll back: it counts the attempts.
    await query(
      fresh.secondary.url,
      `CREATE SEQUENCE attempts; CREATE TABLE keyed (id int PRIMARY KEY, note text);
       CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
         IF nextval('attempts') < 4 THEN RAISE EXCEPTION 'once more' USING ERRCODE = '40001'; END IF; RETURN NULL; END$$;
       CREATE TRIGGER refuse BEFORE INSERT ON keyed FOR EACH STATEMENT EXECUTE FUNCTION refuse()`,
    );
    await importFile(fresh, 'secondary', file);
    expect(await canonicalDump(fresh.secondary.url, 'keyed')).toEqual(await canonicalDump(pair.primary.url, 'keyed'));
  });

  it('stops when another run has taken over, and says so', async () => {
    await using fresh = await createDatabasePair('import_two', dialect);
    await using cli = await spawnCli(['import', '--target=secondary', `--input=${file}`], {
      env: transferEnvironment(fresh),
    });
    // In one statement, and without the growing pauses of waitFor: it is over within a few of them.
    const taken = () =>
      query(
        fresh.secondary.url,
        'UPDATE db_redundancy.import_progress SET statements = 1000 WHERE statements >= 6 AND finished_at IS NULL RETURNING 1',
      ).catch(() => []);
    while ((await taken()).length === 0) await sleep(2);
    expect((await cli.exit).code).toBe(1);
    expect(cli.output('stderr')).toContain('Another import of this file');
  });

  it('an export to standard output is the file, of the tables that were asked for', async () => {
    const exported = await runCli(
      ['export', '--source=primary', '--output=-', '--table=keyed'],
      transferEnvironment(pair),
    );
    expect(exported.code).toBe(0);
    const copy = join(folder, 'stdout.sql');
    await writeFile(copy, `${exported.stdout}\n`);
    await using fresh = await createDatabasePair('import_out', dialect);
    await importFile(fresh, 'secondary', copy);
    expect(
      await query(
        fresh.secondary.url,
        `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'`,
      ),
    ).toEqual([{ table_name: 'keyed' }]);
    expect(await canonicalDump(fresh.secondary.url, 'keyed')).toEqual(await canonicalDump(pair.primary.url, 'keyed'));
  });
});

it('options reach export and import through npm without --', () => {
  const environment = {
    npm_lifecycle_event: 'db:export',
    npm_config_source: 'secondary',
    npm_config_output: 'a.sql.gz',
  };
  expect(npmOptions(['export'], environment)).toEqual(['export', '--source=secondary', '--output=a.sql.gz']);
});

it('says what is wrong with its options and its file, with exit code 2', async () => {
  await using pair = await createDatabasePair('import_usage');
  const folder = tmpdir();
  const file = fileURLToPath(import.meta.url);
  const env = transferEnvironment(pair, { DATABASE_URL_SECONDARY: DOWN });
  for (const [args, text] of [
    [['import', '--target=nowhere', `--input=${file}`], 'Allowed choices are primary, secondary'],
    [['import', '--target=primary'], '--input'],
    [
      ['export', '--source=primary', '--output=-', '--table=nobody,who.knows'],
      'public.nobody does not exist; who.knows does not exist',
    ],
  ] as const) {
    expect(await runCli(args, env), args.join(' ')).toMatchObject({ code: 2, stderr: expect.stringContaining(text) });
  }
  const wrong = (message: string) => ({ exitCode: 2, message: expect.stringContaining(message) });
  await expect(importFile(pair, 'primary', '-')).rejects.toMatchObject(wrong('standard input'));
  await expect(importFile(pair, 'primary', `${file}.none`)).rejects.toMatchObject(wrong('cannot be read'));
  const nowhere = join(folder, 'none', 'x.sql');
  await expect(exportFile(pair, 'primary', nowhere)).rejects.toMatchObject(wrong('There is no folder'));
});
