/** What the operating system knows about a server's processes, and the end of those that outlive their postmaster. */
import { execFile } from 'node:child_process';
import { readdir, readlink } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** SIGKILLs every process and resolves when none is left. `find` is asked again until it finds nothing. */
export async function killAll(find: () => Promise<number[]>): Promise<void> {
  for (let pids = await find(); pids.length > 0; pids = await find()) {
    for (const pid of pids) signal(pid, 'SIGKILL');
    await sleep(5);
  }
}

/**
 * A finder of the server's processes. Linux: every PostgreSQL process stands in its data directory, which still holds
 * when the postmaster is gone and its children have another parent. Elsewhere: the children at the time of the call.
 */
export async function serverProcesses(postmaster: number, dataDir: string): Promise<() => Promise<number[]>> {
  if (process.platform === 'linux') return () => processesIn(dataDir);
  const { stdout } = await run('ps', ['-A', '-o', 'pid=,ppid=']).catch(() => ({ stdout: '' }));
  const rows = stdout.split('\n').map((line) => line.trim().split(/\s+/).map(Number));
  const pids = rows.flatMap(([pid, parent]) => (pid !== undefined && parent === postmaster ? [pid] : []));
  return () => Promise.resolve(pids.filter((pid) => signal(pid, 0)));
}

async function processesIn(folder: string): Promise<number[]> {
  const found: number[] = [];
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    // A zombie has no working directory any more, and so does not count.
    const cwd = await readlink(`/proc/${entry}/cwd`).catch(() => undefined);
    if (cwd === folder) found.push(Number(entry));
  }
  return found;
}

/** @returns false when the process does not exist. */
export function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}

/** A killed postmaster leaves its System V segment behind. Without `ipcrm` it stays, 56 bytes, until the next boot. */
export async function removeSharedMemory(id: number): Promise<void> {
  await run('ipcrm', ['-m', String(id)]).catch(() => undefined);
}
