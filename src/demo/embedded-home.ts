/** The data directory of an embedded server: made, configured, and taken away again. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { access, appendFile, chown, mkdir, mkdtemp, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ConfigurationError, RedundancyError } from '../core/errors.js';
import { type EmbeddedBinaries, locateBinaries, type RunUser } from './embedded-binaries.js';
import { Watchdog } from './watchdog.js';

/** In the data directory, so that a later start on the same directory can name it in its URL. */
const PASSWORD_FILE = 'superuser-password';

const DEFAULT_SETTINGS: Readonly<Record<string, string>> = {
  wal_level: 'logical',
  max_connections: '200',
  max_wal_senders: '20',
  max_replication_slots: '20',
  timezone: 'UTC',
  log_timezone: 'UTC',
  // In the data directory, and not in /dev/shm, where a killed server leaves its segments behind.
  dynamic_shared_memory_type: 'mmap',
};

export interface HomeOptions {
  readonly settings?: Readonly<Record<string, string>>;
  readonly dataDir?: string;
  readonly name?: string;
  readonly binaries?: EmbeddedBinaries;
}

export interface Home {
  readonly binaries: EmbeddedBinaries;
  /** Owner of the data directory; undefined when it is the user of this process. */
  readonly user: RunUser | undefined;
  /** Absolute and without links, as /proc and postmaster.pid name it. */
  readonly dataDir: string;
  readonly password: string;
  readonly name: string;
  /** Removed by `discard`. */
  readonly temporary: string | undefined;
  readonly watchdog: Watchdog;
}

/** A data directory that a server can be started on. @throws ConfigurationError, RedundancyError `embedded-start`. */
export async function prepare(options: HomeOptions): Promise<Home> {
  const name = options.name ?? 'postgres';
  const settings = configuration({ ...DEFAULT_SETTINGS, cluster_name: name, ...options.settings });
  const binaries = options.binaries ?? (await locateBinaries());
  const temporary = options.dataDir === undefined ? await temporaryFolder(binaries) : undefined;
  const dataDir = temporary === undefined ? await ownFolder(options.dataDir ?? '') : join(temporary, 'data');
  const watchdog = new Watchdog({
    pidFile: join(dataDir, 'postmaster.pid'),
    signal: 'QUIT',
    ...(temporary === undefined ? {} : { remove: temporary }),
  });
  const base = { binaries, dataDir, name, temporary, watchdog };
  try {
    const user = await ownerOf(dataDir, binaries.user);
    const password = await initialise({ ...base, user });
    await appendFile(join(dataDir, 'postgresql.conf'), settings);
    return { ...base, user, password };
  } catch (error) {
    await discard(base);
    throw error;
  }
}

export async function discard(home: Pick<Home, 'temporary' | 'watchdog'>): Promise<void> {
  if (home.temporary !== undefined) await rm(home.temporary, { recursive: true, force: true, maxRetries: 5 });
  // Only now: had the removal failed, the watchdog would try again when this process ends.
  home.watchdog.release();
}

/** Runs `initdb` unless it has been run there. @returns the superuser's password. */
async function initialise(home: Omit<Home, 'password'>): Promise<string> {
  const { binaries, dataDir, name, temporary, user } = home;
  const kept = join(dataDir, PASSWORD_FILE);
  if (await exists(join(dataDir, 'PG_VERSION'))) return knownPassword(kept, dataDir);
  const password = randomBytes(12).toString('hex');
  const passwordFile = join(temporary ?? binaries.tempRoot, `db-redundancy-${randomBytes(8).toString('hex')}`);
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600, flag: 'wx' });
  try {
    if (user !== undefined) await chown(passwordFile, user.uid, user.gid);
    // The built-in locale (from PostgreSQL 17 on) sorts by code point, needs nothing of the system, and is the same everywhere.
    const { stdout } = await promisify(execFile)(binaries.initdb, ['--version'], { ...user, cwd: '/' });
    const builtin =
      Number(/(\d+)/.exec(stdout)?.[1]) >= 17 ? ['--locale-provider=builtin', '--builtin-locale=C.UTF-8'] : [];
    const locale = ['--encoding=UTF8', '--locale=C', ...builtin];
    const access = ['--username=postgres', '--auth=scram-sha-256', `--pwfile=${passwordFile}`];
    await promisify(execFile)(
      binaries.initdb,
      ['--pgdata', dataDir, ...access, ...locale, '--no-sync', '--no-instructions'],
      { ...user, cwd: '/', env: { LC_ALL: 'C', TZ: 'UTC', PATH: '/usr/local/bin:/usr/bin:/bin' } },
    );
    await writeFile(kept, `${password}\n`, { mode: 0o600 });
    return password;
  } catch (cause) {
    const { stderr } = cause as { stderr?: unknown };
    const detail = typeof stderr === 'string' && stderr !== '' ? stderr.trim() : String(cause);
    throw new RedundancyError(`The data directory of the embedded server ${name} could not be made:\n${detail}`, {
      code: 'embedded-start',
      remedy: 'Mend what the messages name, most often rights or the space on the disk.',
      cause,
    });
  } finally {
    await rm(passwordFile, { force: true });
  }
}

async function knownPassword(file: string, dataDir: string): Promise<string> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (cause) {
    throw new ConfigurationError(`The data directory ${dataDir} was not made by an embedded server.`, {
      code: 'embedded-data-dir',
      remedy: 'Name a folder that does not exist yet, or one of an earlier run.',
      cause,
    });
  }
}

/** Lines for postgresql.conf. Listening, port and sockets are arguments of the program and cannot be set here. */
function configuration(settings: Readonly<Record<string, string>>): string {
  const lines = Object.entries(settings).map(([name, value]) => {
    if (!/^[a-z_][a-z0-9_.]*$/i.test(name)) {
      throw new ConfigurationError(`"${name}" is not the name of a PostgreSQL setting.`, {
        code: 'embedded-setting',
        remedy: 'Use names as in postgresql.conf, for example max_connections.',
      });
    }
    return `${name} = '${value.replaceAll('\\', '\\\\').replaceAll("'", "''")}'\n`;
  });
  return lines.join('');
}

async function temporaryFolder(binaries: EmbeddedBinaries): Promise<string> {
  const folder = await realpath(await mkdtemp(join(binaries.tempRoot, 'db-redundancy-pg-')));
  if (binaries.user !== undefined) await chown(folder, binaries.user.uid, binaries.user.gid);
  return folder;
}

async function ownFolder(path: string): Promise<string> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  return realpath(path);
}

/** Whoever owns the directory runs the server; one that belongs to root is given to the unprivileged user. */
async function ownerOf(dataDir: string, user: RunUser | undefined): Promise<RunUser | undefined> {
  const info = await stat(dataDir).catch(() => undefined);
  if (user === undefined || info === undefined) return user;
  if (info.uid !== 0) return { uid: info.uid, gid: info.gid };
  await chown(dataDir, user.uid, user.gid);
  return user;
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
