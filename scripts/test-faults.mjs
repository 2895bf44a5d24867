/**
 * `npm run test:faults -- [--minutes N] [--seed N] [--dialect postgres|cockroach]`: with minutes, random faults for so long
 * on each dialect; without, the long forms of the named faults. A failure prints its seed, which plans the same faults again.
 */
import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: { minutes: { type: 'string' }, seed: { type: 'string' }, dialect: { type: 'string' } },
});
const number = (name) => {
  if (values[name] === undefined) return {};
  if (!/^\d+(\.\d+)?$/.test(values[name])) {
    console.error(`Error: --${name} must be a number, got ${JSON.stringify(values[name])}.`);
    process.exit(2);
  }
  return { [name === 'minutes' ? 'DB_FAULT_MINUTES' : 'DB_TEST_SEED']: values[name] };
};
const files = values.minutes === undefined ? ['test/faults'] : ['test/faults/random'];
const filter = values.dialect === undefined ? [] : ['-t', `[${values.dialect}]`.replaceAll(/[[\]]/g, '\\$&')];
const env = { ...process.env, DB_TEST_LONG: '1', ...number('minutes'), ...number('seed') };
const child = spawn('vitest', ['run', ...files, ...filter], { stdio: 'inherit', env });
child.once('exit', (code, signal) => process.exit(code ?? (signal ? 1 : 0)));
child.once('error', (error) => {
  console.error(`Error: ${error.message}; run it with npm run test:faults.`);
  process.exit(1);
});
