/** Compiles `src` to `dist` when a source is newer, so that tests of programs never run an old one. */
import { execFile } from 'node:child_process';
import { readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const DIST = join(ROOT, 'dist');
/** Exists in every build, and is as old as the build. */
const STAMP = join('core', 'errors.js');

/** @returns the path of `dist`. Type errors do not stop it: they are the type check's business. */
export async function buildDist(): Promise<string> {
  const built = await modified(join(DIST, STAMP));
  const sources = await Promise.all(
    ['package.json', 'tsconfig.json', 'tsconfig.build.json', 'scripts', 'src'].map(newest),
  );
  if (built > Math.max(...sources)) return DIST;
  // Beside dist, where relative paths come out the same; put in place at once, so that no run reads half a build.
  const next = join(ROOT, `dist.next-${process.pid}`);
  const old = join(ROOT, `dist.old-${process.pid}`);
  try {
    const output = await promisify(execFile)(process.execPath, [join(ROOT, 'scripts', 'build.mjs'), next]).then(
      () => '',
      (error: { stdout?: string }) => error.stdout ?? '',
    );
    if ((await modified(join(next, STAMP))) === 0)
      throw new Error(`The build wrote nothing:\n${output.slice(0, 4_000)}`);
    await rename(DIST, old).catch(() => undefined);
    // Another run may have put its own build there in between: it is as good.
    await rename(next, DIST).catch(() => undefined);
  } finally {
    await rm(next, { recursive: true, force: true });
    await rm(old, { recursive: true, force: true });
  }
  return DIST;
}

/** Milliseconds since the epoch; 0 when there is no such file. */
async function modified(path: string): Promise<number> {
  return stat(path).then(
    (info) => info.mtimeMs,
    () => 0,
  );
}

async function newest(name: string): Promise<number> {
  const path = join(ROOT, name);
  const entries = await readdir(path, { recursive: true }).catch(() => []);
  const times = await Promise.all(entries.map((entry) => modified(join(path, entry))));
  return Math.max(await modified(path), ...times);
}
