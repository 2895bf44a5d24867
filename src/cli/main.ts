#!/usr/bin/env -S node --max-semi-space-size=32
/** Composition root: the one place that touches the environment, signals and exit codes. */
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { Argument, Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import type { BenchOptions } from '../bench/bench.js';
import { ConfigurationError, RedundancyError } from '../core/errors.js';
import { createRedactor, type Redactor } from '../core/redact.js';
import { runController } from './commands/controller.js';
import { doctor } from './commands/doctor.js';
import { type ExportCommand, exportSide } from './commands/export.js';
import { type ImportCommand, importFile } from './commands/import.js';
import { initSecondary } from './commands/init-secondary.js';
import { type ListName, printList } from './commands/lists.js';
import { type OrderOptions, order } from './commands/order.js';
import { serve } from './commands/serve.js';
import { status } from './commands/status.js';
import { orderSync, type SyncOptions } from './commands/sync.js';
import { orderVerify, type VerifyOptions } from './commands/verify.js';
import { watch } from './commands/watch.js';
import { completionScript, SHELLS, type Shell } from './completion.js';
import { addExamples } from './examples.js';
import { npmOptions } from './npm-options.js';
import { createRuntime, type GlobalOptions, type Runtime } from './runtime.js';

// On a machine with much memory V8 collects late; a long-running process is to stay small (G4).
setFlagsFromString('--heap-growing-percent=50');

const LONG_RUNNING: ReadonlySet<string> = new Set(['serve', 'streamer', 'controller']);
const stop = new AbortController();
let redact: Redactor = createRedactor([
  process.env.DATABASE_URL,
  process.env.DATABASE_URL_SECONDARY,
  process.env.DB_CONTROL_TOKEN,
]);

function runtime(command: Command): Runtime {
  const built = createRuntime(
    process.env,
    command.optsWithGlobals<GlobalOptions>(),
    LONG_RUNNING.has(command.name()) ? undefined : process.stderr,
  );
  redact = built.redact;
  return built;
}

const program = new Command('db-redundancy')
  .description('Standby replication for Neon and PostgreSQL into CockroachDB or PostgreSQL.')
  .option('--env-file <file>', 'read environment variables from a file; the environment itself wins')
  .option('--verbose', 'stack traces with errors')
  .showHelpAfterError('(--help lists commands and options)')
  .exitOverride();

for (const name of ['serve', 'streamer']) {
  program
    .command(name)
    .description(
      name === 'serve'
        ? 'streamer and failover controller in one process, with their HTTP surface'
        : 'the streamer alone, with its HTTP surface',
    )
    .action((_options, command: Command) => serve(runtime(command), stop.signal, name === 'serve'));
}

program
  .command('controller')
  .description('the failover controller alone, with its HTTP surface')
  .action((_options, command: Command) => runController(runtime(command), stop.signal));

const VERBS = {
  failover: 'make the secondary the active database: drained first where the primary answers, else without it',
  failback: 'make the primary the active database again, with everything that was written on the secondary',
  pause: 'no automatic failover or failback until resume',
  resume: 'automatic failover and failback again',
} as const;
for (const verb of Object.keys(VERBS) as (keyof typeof VERBS)[]) {
  const command = program.command(verb).description(VERBS[verb]);
  command.option('--reason <text>', 'kept in the history').option('--json', 'for programs');
  command.option('--dry-run', 'print every guard with its value, and change nothing');
  if (verb === 'failover' || verb === 'failback') {
    command.option('--force', 'go past cool-down, pause and routers that still write');
    command.option('--allow-data-loss', 'go past the limit on lag and tables that are not complete');
  }
  command.action((options: OrderOptions, self: Command) =>
    order(runtime(self), verb, options, process.stdout, stop.signal),
  );
}

const LISTS: Readonly<Record<ListName, string>> = {
  history: 'every change of the control row, with actor, reason and guards',
  conflicts: 'rows that were written on both sides of a failover: the one that lost, with both versions',
  'dead-letters': 'changes that the secondary refused',
};
for (const name of Object.keys(LISTS) as ListName[]) {
  program
    .command(name)
    .description(LISTS[name])
    .option('--json', 'for programs')
    .option('--limit <n>', 'newest entries', wholeNumber, 100)
    .action((options: { json?: boolean; limit: number }, command: Command) =>
      printList(runtime(command), name, options, process.stdout),
    );
}

program
  .command('init-secondary')
  .description('create what is missing, load every table, verify the counts; can be repeated at any time')
  .addOption(new Option('--report <form>', 'form of the report').choices(['text', 'json']).default('text'))
  .option('--json', 'the same as --report json')
  .action(({ json, report }: { report: 'text' | 'json'; json?: boolean }, command: Command) =>
    initSecondary(runtime(command), { report: json ? 'json' : report }, process.stdout, stop.signal),
  );

program
  .command('sync')
  .description('make tables equal to the primary again; brings a paused table back; goes on where it was interrupted')
  .option('--table <name>', 'one table (schema.table)')
  .option('--full', 'every table')
  .option('--json', 'the result for programs')
  .action((options: SyncOptions, command: Command) =>
    orderSync(runtime(command), options, process.stdout, stop.signal),
  );

program
  .command('verify')
  .description('compare all rows of both sides; exit code 1 when they differ')
  .option('--table <name>', 'one table (schema.table)')
  .option('--repair', 'make the rows equal that differ')
  .option('--json', 'for programs, with the keys that differ')
  .action((options: VerifyOptions, command: Command) =>
    orderVerify(runtime(command), options, process.stdout, stop.signal),
  );

program
  .command('status')
  .description('what the stream and the failover controller are doing')
  .option('--watch', 'go on until Ctrl-C: a live screen on a terminal, a line per change elsewhere')
  .option('--json', 'for programs; with --watch an object per line')
  .action((options: { json?: boolean; watch?: boolean }, command: Command) =>
    options.watch
      ? watch(runtime(command), options, process.stdout, stop.signal)
      : status(runtime(command), options, process.stdout),
  );

program
  .command('doctor')
  .description('check everything that must hold on both sides, with the statement that mends it')
  .option('--json', 'for programs')
  .action((options: { json?: boolean }, command: Command) => doctor(runtime(command), options, process.stdout));

const SIDES = ['primary', 'secondary'];

program
  .command('export')
  .description('one consistent snapshot as SQL that plain psql restores on PostgreSQL and on CockroachDB')
  .addOption(new Option('--source <side>', 'the side to read').choices(SIDES).makeOptionMandatory())
  .requiredOption('--output <file>', 'where to write; packed when the name ends in .gz; - for standard output')
  .option('--table <names>', 'other tables than DB_SYNC_TABLES: schema.table, separated by commas, or *')
  .option('--json', 'the result for programs')
  .action((options: ExportCommand, command: Command) => exportSide(runtime(command), options, process, stop.signal));

program
  .command('import')
  .description('a file of export into a side: checked before the first write; repeat it after an interruption')
  .addOption(new Option('--target <side>', 'the side to write').choices(SIDES).makeOptionMandatory())
  .requiredOption('--input <file>', 'a file that export has written, packed or not')
  .option('--force', 'also into the active side, and into tables that have rows, which stay as they are')
  .option('--json', 'the result for programs')
  .action((options: ImportCommand, command: Command) => importFile(runtime(command), options, process, stop.signal));

program
  .command('demo')
  .description('two embedded PostgreSQL servers, the twelve tables, a live workload, and the stream between them')
  .option('--seconds <n>', 'length of the live workload', Number, 15)
  .option('--keep', 'go on until Ctrl-C')
  .action(async (options: { seconds: number; keep?: boolean }) => {
    const { demo } = await import('../demo/demo.js');
    await demo(options, process.stdout, stop.signal);
  });

program
  .command('bench')
  .description(
    'measure against the database itself: on two databases of yours (in a schema that it drops), or on its own',
  )
  .option('--primary <url>', 'a PostgreSQL with wal_level logical; with --secondary')
  .option('--secondary <url>', 'a PostgreSQL or CockroachDB')
  .option('--only <ids>', 'workloads, separated by commas: P1,P8', (text) => text.split(','))
  .option('--turns <n>', 'turns of each side, of which the median counts', wholeNumber, 3)
  .option('--quick', 'a fiftieth of the data: to see that it works; the same as --size 0.02')
  .option('--size <share>', 'share of the full data, above 0, at most 1', share, 1)
  .option('--idle-minutes <n>', 'length of the idle workload P12', Number, 10)
  .option('--output <file>', 'where the JSON goes', 'bench-results.json')
  .action(async ({ quick, ...options }: BenchOptions & { quick?: boolean }) => {
    const urls = [options.primary, options.secondary];
    redact = createRedactor(urls);
    const { bench } = await import('../bench/bench.js');
    const { COCKROACH_BIN: cockroach, PATH: path = '' } = process.env;
    const size = quick ? 0.02 : options.size;
    await bench(
      { ...options, size },
      { program: fileURLToPath(import.meta.url), path, cockroach },
      process.stdout,
      stop.signal,
    );
  });

program
  .command('completion')
  .description('a script that completes commands and options in a shell')
  .addArgument(new Argument('<shell>', 'the shell').choices(SHELLS))
  .action((shell: Shell) => void process.stdout.write(completionScript(program, shell)));

addExamples(program);

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    stop.abort(new Error(signal));
    // A second signal ends the process the usual way; this one in any case before a container runtime loses patience.
    setTimeout(() => process.exit(1), 9_500).unref();
  });
}

try {
  await program.parseAsync([...process.argv.slice(0, 2), ...npmOptions(process.argv.slice(2), process.env)]);
  process.exit(0);
} catch (error) {
  process.exit(report(error));
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('a whole number above 0 is needed');
  return value;
}

function share(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 1)) throw new InvalidArgumentError('a number above 0 and at most 1 is needed');
  return value;
}

function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (stop.signal.aborted && error === stop.signal.reason) return 0;
  const verbose = program.opts<GlobalOptions>().verbose === true;
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`${redact(`Error: ${message}`)}\n`);
  if (error instanceof RedundancyError && error.remedy) process.stderr.write(`${redact(error.remedy)}\n`);
  if (verbose && error instanceof Error) process.stderr.write(`${redact(error.stack ?? '')}\n`);
  if (error instanceof ConfigurationError) return 2;
  return error instanceof RedundancyError ? error.exitCode : 1;
}
