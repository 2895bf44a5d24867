/** What a process costs: processor seconds and memory, from /proc on Linux, else from `ps`. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);
/** USER_HZ, which the kernel's interface fixes at 100 whatever its own clock is. */
const TICKS_PER_SECOND = 100;

/** User and system time so far; null when there is no such process. */
export async function cpuSeconds(pid: number): Promise<number | null> {
  if (process.platform !== 'linux') return psSeconds(await ps(pid, 'time'));
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  // The command's name, in brackets, may hold blanks.
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields ? (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND : null;
}

export interface Memory {
  readonly bytes: number;
  /** Since the process began; what it is now where the system does not keep that. */
  readonly peakBytes: number;
}

export async function memoryOf(pid: number): Promise<Memory | null> {
  if (process.platform !== 'linux') {
    const bytes = Number((await ps(pid, 'rss')).trim()) * 1024;
    return bytes > 0 ? { bytes, peakBytes: bytes } : null;
  }
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  const kilobytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? Number.NaN);
  const [bytes, peakBytes] = [kilobytes('VmRSS') * 1024, kilobytes('VmHWM') * 1024];
  return Number.isNaN(bytes) ? null : { bytes, peakBytes };
}

async function ps(pid: number, column: string): Promise<string> {
  return run('ps', ['-o', `${column}=`, '-p', String(pid)]).then(
    ({ stdout }) => stdout,
    () => '',
  );
}

/** [[days-]hours:]minutes:seconds; null for anything else. */
export function psSeconds(text: string): number | null {
  const found = /^(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)$/.exec(text.trim());
  if (!found) return null;
  const [, days = '0', hours = '0', minutes = '0', seconds = '0'] = found;
  return ((Number(days) * 24 + Number(hours)) * 60 + Number(minutes)) * 60 + Number(seconds);
}
