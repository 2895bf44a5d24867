/** The embedded servers of demo and tests: life, sudden death, and what is left afterwards. */
import { access, chmod, cp, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EmbeddedServer } from '../../src/demo/embedded.js';
import { locateBinaries } from '../../src/demo/embedded-binaries.js';
import { reservePort } from '../../src/demo/free-port.js';
import { ask } from './broker.js';
import { TestProcess } from './process.js';
import { query } from './sql.js';
import { waitFor } from './wait.js';

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );
const alive = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

describe('EmbeddedServer', () => {
  it('starts two at once as logical primaries on loopback, takes settings, and leaves nothing', async () => {
    const servers = await Promise.all([
      EmbeddedServer.start({ name: 'one', settings: { fsync: 'off', work_mem: '5MB', 'my.quote': "it's \\ here" } }),
      EmbeddedServer.start({ name: 'two' }),
    ]);
    const [one, two] = servers;
    const settings = await query<{ name: string; setting: string }>(
      one.url(),
      'SELECT name, current_setting(name) AS setting FROM pg_settings WHERE name = ANY ($1) ORDER BY name',
      [
        [
          'wal_level',
          'max_connections',
          'max_wal_senders',
          'max_replication_slots',
          'listen_addresses',
          'fsync',
          'work_mem',
        ],
      ],
    );
    expect(Object.fromEntries(settings.map((row) => [row.name, row.setting]))).toEqual({
      fsync: 'off',
      listen_addresses: '127.0.0.1',
      max_connections: '200',
      max_replication_slots: '20',
      max_wal_senders: '20',
      wal_level: 'logical',
      work_mem: '5MB',
    });
    expect(await query(one.url(), "SELECT current_setting('my.quote') AS value")).toEqual([{ value: "it's \\ here" }]);
    await expect(query(one.url().replace(/:[0-9a-f]+@/, ':wrong@'), 'SELECT 1')).rejects.toThrow('password');
    expect(await query(await two.createDatabase('a "b"'), 'SELECT current_database() AS db')).toEqual([
      { db: 'a "b"' },
    ]);
    const pids = servers.map((server) => server.pid ?? -1);
    expect(pids.every(alive)).toBe(true);
    await Promise.all(servers.map((server) => server.close()));
    expect(pids.some(alive)).toBe(false);
    expect(await Promise.all(servers.map((server) => exists(join(server.dataDir, '..'))))).toEqual([false, false]);
    expect(one.pid).toBeUndefined();
  });

  it('says with the log why it did not start, and leaves no folder', async () => {
    const before = await temporaryFolders();
    const starting = EmbeddedServer.start({
      name: 'broken',
      settings: { shared_preload_libraries: 'no_such_library' },
    });
    await expect(starting).rejects.toThrow(/broken ended while starting[\s\S]*no_such_library/);
    await expect(EmbeddedServer.start({ settings: { 'bad name': '1' } })).rejects.toThrow('not the name of');
    expect((await temporaryFolders()).filter((name) => !before.includes(name))).toEqual([]);
  });

  it('stops and cleans up, however its parent ends', async () => {
    const module = join(await ask('dist'), 'demo', 'embedded.js');
    const endings = ['SIGKILL', 'SIGTERM', 'exit'] as const;
    await Promise.all(endings.map((how) => parentEnds(module, how)));
  });
});

describe('EmbeddedServer with a data directory of its own', () => {
  let parent: string;
  let server: EmbeddedServer;

  beforeAll(async () => {
    const { tempRoot } = await locateBinaries();
    parent = await mkdtemp(join(tempRoot, 'db-redundancy-test-'));
    await chmod(parent, 0o755);
    server = await EmbeddedServer.start({ name: 'lasting', dataDir: join(parent, 'data') });
    await query(server.url(), 'CREATE TABLE t (step text)');
  });

  afterAll(async () => {
    await server?.close();
    await rm(parent, { recursive: true, force: true });
  });

  it.each(['smart', 'fast', 'immediate'] as const)('keeps committed data and its port over a %s stop', async (mode) => {
    const { port } = server;
    await query(server.url(), 'INSERT INTO t VALUES ($1)', [mode]);
    await server.restart(mode);
    expect(await query(server.url(), 'SELECT step FROM t WHERE step = $1', [mode])).toHaveLength(1);
    expect(server.port).toBe(port);
  });

  it('is killed with a session at work, starts again at once, and has what was committed', async () => {
    await query(server.url(), "INSERT INTO t VALUES ('killed')");
    const busy = new Client(server.url());
    busy.on('error', () => undefined);
    await busy.connect();
    // Works without ever waiting, so that it would not notice by itself that the postmaster is gone.
    const work = busy.query('SELECT count(*) FROM generate_series(1, 1e12) /* busy */').catch((error: Error) => error);
    const sessions = () =>
      query(server.url(), "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%busy */' AND state = 'active'");
    await waitFor(async () => (await sessions()).length > 0, { what: 'the session is at work' });
    await server.kill();
    expect(server.pid).toBeUndefined();
    expect(await work).toBeInstanceOf(Error);
    await server.startAgain();
    expect(await query(server.url(), "SELECT step FROM t WHERE step = 'killed'")).toHaveLength(1);
    await expect(server.startAgain()).rejects.toThrow('running');
  });

  it('is found again by a later start, at a given port, which another server cannot have', async () => {
    const { dataDir } = server;
    await server.close();
    const port = await reservePort();
    server = await EmbeddedServer.start({ dataDir, port });
    expect(await query(server.url(), 'SELECT step FROM t')).not.toEqual([]);
    expect(server.port).toBe(port);
    await expect(EmbeddedServer.start({ port })).rejects.toThrow(`Port ${port}`);
  });
});

describe('locateBinaries', () => {
  it('runs from a package that its user cannot enter, and that lacks its links', async () => {
    const { native, user } = await locateBinaries();
    const locked = await mkdtemp(join(tmpdir(), 'db-redundancy-test-'));
    const package_ = join(locked, 'native');
    let copyHome: string | undefined;
    try {
      await cp(native, package_, {
        recursive: true,
        filter: (path) => !/\.so(\.\d+)?$/.test(path) || !path.includes('libpq'),
      });
      await chmod(locked, 0o700);
      const found = await Promise.all([locateBinaries(package_), locateBinaries(package_), locateBinaries(package_)]);
      // Root runs the server as somebody else, who needs a copy; everybody else can run it where it is.
      expect(new Set(found.map((binaries) => binaries.native === package_))).toEqual(new Set([user === undefined]));
      expect(new Set(found.map((binaries) => binaries.native)).size).toBe(1);
      const binaries = found[0] ?? (await locateBinaries());
      if (user !== undefined) copyHome = join(binaries.native, '..');
      expect((await locateBinaries(package_)).native).toBe(binaries.native);
      await using server = await EmbeddedServer.start({ binaries });
      expect(await query(server.url(), "SELECT 'über' ILIKE 'ÜBER' AS alike")).toEqual([{ alike: true }]);
    } finally {
      await rm(locked, { recursive: true, force: true });
      if (copyHome !== undefined) await rm(copyHome, { recursive: true, force: true });
    }
  });
});

async function temporaryFolders(): Promise<string[]> {
  const { tempRoot } = await locateBinaries();
  return (await readdir(tempRoot)).filter((name) => name.startsWith('db-redundancy-pg-'));
}

async function parentEnds(module: string, how: 'SIGKILL' | 'SIGTERM' | 'exit'): Promise<void> {
  const script = `const { EmbeddedServer } = await import(${JSON.stringify(module)});
    const server = await EmbeddedServer.start();
    console.log(JSON.stringify({ pid: server.pid, dataDir: server.dataDir }));
    ${how === 'exit' ? 'process.exit(3)' : 'setInterval(() => {}, 1e6)'}`;
  await using parent = TestProcess.spawn(process.execPath, ['--input-type=module', '-e', script]);
  const { pid, dataDir } = JSON.parse(await parent.waitForLine(/^\{/)) as { pid: number; dataDir: string };
  if (how !== 'exit') parent.kill(how);
  expect(await parent.exit).toEqual(how === 'exit' ? { code: 3, signal: null } : { code: null, signal: how });
  const gone = async () => !alive(pid) && !(await exists(join(dataDir, '..')));
  await waitFor(gone, { what: `nothing is left after ${how}` });
}
