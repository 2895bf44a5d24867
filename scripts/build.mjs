/**
 * The whole build: programs and types from src, the page from src/dashboard, with the plotting library beside it.
 * `node scripts/build.mjs [folder]`; the folder is dist by default. Type errors end it with exit code 1, after everything
 * was written.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, extname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const require = createRequire(import.meta.url);
const out = resolve(process.argv[2] ?? join(root, 'dist'));
const page = join(out, 'dashboard');
const tsc = join(dirname(require.resolve('typescript/package.json')), 'bin', 'tsc');

function compile(project) {
  try {
    const args = [tsc, '-p', project, '--outDir', out, '--noEmitOnError', 'false'];
    execFileSync(process.execPath, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  } catch {
    process.exitCode = 1;
  }
}

rmSync(out, { recursive: true, force: true });
mkdirSync(page, { recursive: true });
// The page's compiler also writes the few files of core whose types it uses: the second one overwrites them.
compile('src/dashboard/tsconfig.json');
compile('tsconfig.build.json');
for (const name of readdirSync(join(root, 'src/dashboard'))) {
  if (['.html', '.css', '.svg'].includes(extname(name)))
    copyFileSync(join(root, 'src/dashboard', name), join(page, name));
}
const uplot = dirname(require.resolve('uplot'));
copyFileSync(join(uplot, 'uPlot.esm.js'), join(page, 'uplot.js'));
copyFileSync(join(uplot, 'uPlot.min.css'), join(page, 'uplot.css'));
chmodSync(join(out, 'cli', 'main.js'), 0o755);
