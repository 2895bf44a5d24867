/** The command line as an operator meets it: SPEC sections 10 and 15, texts and exit codes. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { npmOptions } from '../../src/cli/npm-options.js';
import { createDatabasePair, type DatabasePair } from '../harness/cluster.js';
import { spawnCli } from '../harness/process.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { bothSides } from './support/stream.js';

const CHINOOK = new URL('../data/chinook/chinook.sql', import.meta.url);
const CHINOOK_TABLES = [
  'album',
  'artist',
  'customer',
  'employee',
  'genre',
  'invoice',
  'invoice_line',
  'media_type',
  'playlist',
  'playlist_track',
  'track',
];

/** The script creates its own database and connects to it: here a database is there already. */
async function loadChinook(url: string): Promise<void> {
  const text = await readFile(fileURLToPath(CHINOOK), 'utf8');
  await query(url, text.slice(text.indexOf('CREATE TABLE album')));
}

function environment(pair: DatabasePair, more: Record<string, string> = {}): Record<string, string> {
  return {
    DATABASE_URL: pair.primary.url,
    DATABASE_URL_SECONDARY: pair.secondary.url,
    DB_SYNC_TABLES: '*',
    DB_REPLICATION_SLOT: `dbr_${pair.primary.name}`,
    DB_PUBLICATION: 'db_redundancy',
    DB_HTTP_PORT: '0',
    // Some libraries take it for a terminal with colours; our output is a pipe all the same.
    CI: 'true',
    ...more,
  };
}

async function run(args: readonly string[], env: Record<string, string>) {
  await using cli = await spawnCli(args, { env });
  const { code } = await cli.exit;
  return { code, stdout: cli.output('stdout'), stderr: cli.output('stderr') };
}

describeDialects('the real database', (dialect) => {
  it('loads Chinook before a streamer runs, streams what comes, and is equal by value; a second run does nothing', async () => {
    await using pair = await createDatabasePair('chinook', dialect);
    await loadChinook(pair.primary.url);
    const first = await run(['init-secondary'], environment(pair));
    expect(first.stderr).not.toMatch(/Error/);
    expect(first.code).toBe(0);
    expect(first.stdout).toMatch(/Secondary is ready: 11 tables, 15607 rows/);
    expect(first.stdout).toMatch(/✓ public\.track +3503 rows/);
    for (const table of CHINOOK_TABLES) {
      const { primary, secondary } = await bothSides(pair, table);
      expect(secondary, table).toEqual(primary);
    }
    const again = await run(['init-secondary', '--report', 'json'], environment(pair));
    expect(again.code).toBe(0);
    const report = JSON.parse(again.stdout.slice(again.stdout.indexOf('{')));
    expect(report).toMatchObject({
      created: [],
      counts: expect.arrayContaining([{ schema: 'public', name: 'track', primary: 3503, secondary: 3503 }]),
    });
  });

  it('takes Chinook while the streamer runs, with indexes and sequences that go on after promotion', async () => {
    await using pair = await createDatabasePair('chinook', dialect);
    const text = await readFile(fileURLToPath(CHINOOK), 'utf8');
    const [ddl, data] = [
      text.slice(text.indexOf('CREATE TABLE album'), text.indexOf('INSERT INTO')),
      text.slice(text.indexOf('INSERT INTO')),
    ];
    await query(pair.primary.url, ddl);
    await using cli = await spawnCli(['serve'], { env: environment(pair) });
    await cli.waitForLine(/Streaming from slot/);
    await query(pair.primary.url, data);
    await waitFor(
      async () => {
        for (const table of CHINOOK_TABLES) {
          const { primary, secondary } = await bothSides(pair, table);
          if (JSON.stringify(primary) !== JSON.stringify(secondary)) return false;
        }
        return true;
      },
      { what: 'all tables are equal', timeoutMs: 40_000 },
    );
    const indexes = await query<{ indexname: string }>(
      pair.secondary.url,
      `SELECT indexname FROM pg_indexes WHERE schemaname = 'public'`,
    );
    expect(indexes.map((row) => row.indexname)).toEqual(
      expect.arrayContaining(['track_album_id_idx', 'invoice_line_track_id_idx', 'customer_support_rep_id_idx']),
    );
    const promotion = await query(
      pair.secondary.url,
      `SELECT name FROM db_redundancy.promotion WHERE kind = 'foreign-key'`,
    );
    expect(promotion).toHaveLength(11);
    const stopping = Date.now();
    cli.kill('SIGTERM');
    expect((await cli.exit).code).toBe(0);
    expect(Date.now() - stopping).toBeLessThan(10_000);
  });
});

describe('the command line', () => {
  let pair: DatabasePair;
  beforeAll(async () => {
    pair = await createDatabasePair('cli');
    await query(
      pair.primary.url,
      `CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE keyless (x int); CREATE ROLE "norepl_${pair.primary.name}" LOGIN PASSWORD 'canary-secret'; GRANT ALL ON ALL TABLES IN SCHEMA public TO "norepl_${pair.primary.name}"`,
    );
  });
  afterAll(async () => {
    await query(
      pair.primary.url,
      `DROP OWNED BY "norepl_${pair.primary.name}"; DROP ROLE "norepl_${pair.primary.name}"`,
    );
    await pair[Symbol.asyncDispose]();
  });

  it('lists every mistake of the configuration at once, and exits with 2', async () => {
    const { code, stderr } = await run(['serve'], {
      DATABASE_URL: 'mysql://x',
      DATABASE_URL_SECONDARY: '',
      DB_FAILOVER_THRESHOLD: 'many',
      DB_APPLY_ON_ERROR: 'ignore',
    });
    expect(code).toBe(2);
    for (const variable of ['DATABASE_URL', 'DATABASE_URL_SECONDARY', 'DB_FAILOVER_THRESHOLD', 'DB_APPLY_ON_ERROR'])
      expect(stderr).toContain(variable);
    expect(stderr).not.toMatch(/at .*\.js:\d+/);
  });

  it('refuses a pooled Neon host for replication with the direct host as remedy', async () => {
    const env = environment(pair, {
      DATABASE_URL:
        'postgresql://u:canary-secret@ep-cool-name-123-pooler.eu-central-1.azure.neon.tech/db?sslmode=verify-full',
    });
    const { code, stderr, stdout } = await run(['init-secondary'], env);
    expect(code).toBe(2);
    expect(stderr).toMatch(/-pooler/);
    expect(stderr).toContain('ep-cool-name-123.eu-central-1.azure.neon.tech');
    expect(stderr + stdout).not.toContain('canary-secret');
  });

  it('names all missing tables at once, and all without key or REPLICA IDENTITY FULL; nothing is created', async () => {
    const { code, stderr } = await run(
      ['init-secondary'],
      environment(pair, { DB_SYNC_TABLES: 'a,gone_one,gone_two,keyless' }),
    );
    expect(code).toBe(2);
    for (const text of ['gone_one', 'gone_two', 'keyless', 'REPLICA IDENTITY FULL']) expect(stderr).toContain(text);
    expect(await query(pair.primary.url, `SELECT 1 FROM pg_publication`)).toEqual([]);
    expect(
      await query(pair.primary.url, `SELECT 1 FROM pg_replication_slots WHERE database = current_database()`),
    ).toEqual([]);
    expect(await query(pair.secondary.url, `SELECT 1 FROM pg_namespace WHERE nspname = 'db_redundancy'`)).toEqual([]);
  });

  it('refuses a role without the REPLICATION right, and never shows its password', async () => {
    const url = new URL(pair.primary.url);
    url.username = `norepl_${pair.primary.name}`;
    url.password = 'canary-secret';
    const { code, stderr, stdout } = await run(
      ['init-secondary', '--verbose'],
      environment(pair, { DATABASE_URL: url.href, DB_SYNC_TABLES: 'a', LOG_LEVEL: 'trace' }),
    );
    expect(code).toBe(2);
    expect(stderr).toMatch(/REPLICATION/);
    expect(stderr + stdout).not.toContain('canary-secret');
  });

  it('says what is wrong with the usage, and exits with 2', async () => {
    expect((await run(['nonsense'], environment(pair))).code).toBe(2);
    expect((await run(['sync'], environment(pair))).code).toBe(2);
    const unknown = await run(['sync', '--table', 'nobody.knows'], environment(pair, { DB_SYNC_TABLES: 'a' }));
    expect(unknown.code).not.toBe(0);
    expect((await run(['--help'], {})).code).toBe(0);
  });

  it('doctor shows every check with a tick or a cross', async () => {
    const good = await run(['doctor'], environment(pair, { DB_SYNC_TABLES: 'a' }));
    expect(good.code).toBe(0);
    expect(good.stdout).toMatch(/✓ wal_level is logical/);
    const bad = await run(['doctor'], environment(pair, { DB_SYNC_TABLES: 'keyless' }));
    expect(bad.code).toBe(1);
    expect(bad.stdout).toMatch(/✗ .*key or REPLICA IDENTITY FULL/);
  });

  it('keeps waiting when a database is out of reach at start, and says so', async () => {
    const url = new URL(pair.secondary.url);
    url.port = '1';
    await using cli = await spawnCli(['serve'], {
      env: environment(pair, { DATABASE_URL_SECONDARY: url.href, DB_SYNC_TABLES: 'a' }),
    });
    const line = await cli.waitForLine(/HTTP surface listens/);
    const port = /127\.0\.0\.1:(\d+)/.exec(line)?.[1];
    await waitFor(async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).status === 503, { what: 'not ready' });
    const lag = await fetch(`http://127.0.0.1:${port}/api/system/replication-lag`);
    expect(lag.status).toBe(503);
    expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);
    cli.kill('SIGTERM');
    expect((await cli.exit).code).toBe(0);
  });

  it('takes options that npm kept for itself', () => {
    const env = {
      npm_lifecycle_event: 'db:sync',
      npm_config_table: 'public.users',
      npm_config_full: '',
      npm_config_json: 'true',
    };
    expect(npmOptions(['sync'], env)).toEqual(['sync', '--table=public.users', '--json']);
    expect(npmOptions(['sync', '--table', 'x'], env)).toEqual(['sync', '--table', 'x', '--json']);
    expect(npmOptions(['sync'], { npm_config_table: 'x' })).toEqual(['sync']);
  });
});
