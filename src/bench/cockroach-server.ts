/** A CockroachDB for one run, in memory, from a program of the system. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { access, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { Watchdog } from '../demo/watchdog.js';
import { until } from './wait.js';

export interface FoundCockroach {
  readonly program: string;
}

/** COCKROACH_BIN, else the first `cockroach` on the path. */
export async function findCockroach(wanted: string | undefined, path: string): Promise<FoundCockroach | null> {
  const candidates = wanted
    ? [wanted]
    : path
        .split(delimiter)
        .filter(Boolean)
        .map((folder) => join(folder, 'cockroach'));
  for (const program of candidates) {
    const runs = await access(program, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (runs) return { program };
  }
  return null;
}

export async function startCockroach({ program }: FoundCockroach): Promise<{ url: string; close(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'db-redundancy-bench-'));
  const urlFile = join(folder, 'url');
  const child = spawn(
    program,
    [
      ...['start-single-node', '--insecure', '--store=type=mem,size=2GiB', `--listening-url-file=${urlFile}`],
      ...[`--temp-dir=${folder}`, '--listen-addr=127.0.0.1:0', '--http-addr=127.0.0.1:0'],
      `--log={file-defaults: {dir: ${folder}}, sinks: {stderr: {filter: FATAL}}}`,
    ],
    { cwd: folder, stdio: 'ignore', env: { COCKROACH_SKIP_ENABLING_DIAGNOSTIC_REPORTING: 'true' } },
  );
  await once(child, 'spawn');
  const watchdog = new Watchdog({ pid: child.pid ?? 0, signal: 'KILL', remove: folder });
  const ended = once(child, 'exit');
  const close = async () => {
    child.kill('SIGKILL');
    await ended;
    await rm(folder, { recursive: true, force: true });
    watchdog.release();
  };
  try {
    const url = await until(
      async () => {
        if (child.exitCode !== null) throw new Error(`cockroach has ended with exit code ${child.exitCode}`);
        const text = (await readFile(urlFile, 'utf8').catch(() => '')).trim();
        return text.startsWith('postgres') ? text : null;
      },
      { what: 'CockroachDB listens', signal: AbortSignal.timeout(60_000) },
    );
    return { url, close };
  } catch (error) {
    await close();
    throw error;
  }
}
