/** Plain psql, where there is one. */
import { execFile, execFileSync } from 'node:child_process';
import { promisify } from 'node:util';

/** The first line of `psql --version`; null when there is none on PATH. */
export const psqlVersion: string | null = (() => {
  try {
    return execFileSync('psql', ['--version'], { encoding: 'utf8' }).trim();
  } catch {
    return null;
  }
})();

/** Restores a file as an operator would. Rejects with psql's own words at the first error. */
export async function psqlRestore(url: string, file: string): Promise<string> {
  const args = ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', file, url];
  const { stdout } = await promisify(execFile)('psql', args, { maxBuffer: 1 << 26 });
  return stdout;
}
