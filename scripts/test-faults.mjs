/**
 * `npm run test:faults -- [--minutes N] [--soak [--plot FOLDER]] [--seed N] [--dialect postgres|cockroach]`: with
 * minutes, random faults for so long on each dialect, or a soak, which leaves a picture in a folder; without, the long forms
 * of the named faults. A failure prints its seed, which plans the same faults again.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';

function wrong(message) {
  console.error(`Error: ${message} Example: npm run test:faults -- --minutes 30 --seed 7 --dialect postgres`);
  process.exit(2);
}

function given() {
  const text = { type: 'string' };
  const options = { minutes: text, seed: text, dialect: text, plot: text, soak: { type: 'boolean' } };
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    return wrong(`${error.message}.`);
  }
}

const { dialect, minutes, plot, seed, soak } = given();
if (minutes !== undefined && !(Number(minutes) > 0)) wrong(`--minutes must be a number above 0, got ${minutes}.`);
if (seed !== undefined && !/^\d{1,9}$/.test(seed)) wrong(`--seed must be a whole number, got ${seed}.`);
if (dialect !== undefined && !['postgres', 'cockroach'].includes(dialect))
  wrong(`--dialect must be postgres or cockroach, got ${dialect}.`);
if (soak && minutes === undefined) wrong('--soak needs --minutes.');
if (plot !== undefined && (!soak || !existsSync(plot)))
  wrong('--plot belongs to --soak, and names a folder that exists.');

const timed = soak ? 'test/faults/random/soak.test.ts' : 'test/faults/random/random.test.ts';
const files = minutes === undefined ? ['test/faults'] : [timed];
const filter = dialect === undefined ? [] : ['-t', `\\[${dialect}\\]`];
const env = {
  ...process.env,
  DB_TEST_LONG: '1',
  ...(minutes === undefined ? {} : { [soak ? 'DB_SOAK_MINUTES' : 'DB_FAULT_MINUTES']: minutes }),
  ...(plot === undefined ? {} : { DB_SOAK_PLOT: plot }),
  ...(seed === undefined ? {} : { DB_TEST_SEED: seed }),
};
const child = spawn('vitest', ['run', ...files, ...filter], { stdio: 'inherit', env });
child.once('exit', (code) => process.exit(code ?? 1));
child.once('error', () => wrong('vitest is not on PATH: run this through npm, after npm ci.'));
