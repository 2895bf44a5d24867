/**
 * `bench`: what the product does, against what the databases do by themselves, turn by turn in one run on one machine.
 * On two databases of a user, in a schema that is dropped afterwards, or on servers of its own.
 */
import { writeFile } from 'node:fs/promises';
import { ConfigurationError } from '../core/errors.js';
import { colorsFor } from '../log/colors.js';
import { findCockroach } from './cockroach-server.js';
import type { BenchContext, Workload } from './context.js';
import { loadAverage, machineFacts, openServers } from './environment.js';
import type { Figure, Skipped } from './figures.js';
import { forgetNative, nativeRefusal } from './native.js';
import { forgetStream } from './ours.js';
import { figureLines, tableLines, toJson } from './report.js';
import { WORKLOADS } from './workloads.js';

export interface BenchOptions {
  /** Both or none. */
  readonly primary?: string;
  readonly secondary?: string;
  readonly turns: number;
  /** Workloads by id; all by default. */
  readonly only?: readonly string[];
  /** Share of the full data, above 0, at most 1. */
  readonly size: number;
  readonly idleMinutes: number;
  /** Where the JSON goes. */
  readonly output: string;
}

/** With less data, starting costs more than what is measured. */
const LEAST_JUDGED = 0.1;

/** What only the composition root knows. */
export interface BenchHost {
  /** Path of the compiled command line. */
  readonly program: string;
  readonly path: string;
  readonly cockroach: string | undefined;
}

export async function bench(
  options: BenchOptions,
  host: BenchHost,
  output: NodeJS.WriteStream,
  signal: AbortSignal,
): Promise<void> {
  const chosen = choose(options);
  const say = (line: string) => void output.write(`${line}\n`);
  const loadBefore = loadAverage();
  const startedAt = new Date().toISOString();
  const found = await findCockroach(host.cockroach, host.path);
  const wanted = chosen.some(({ ids }) => ids.includes('P6'));
  const servers = await openServers({ ...options, cockroach: wanted ? found : null });
  const { close, cockroach, embedded, primary, secondary } = servers;
  const interrupt = () => void Promise.all([primary, secondary].map((side) => side.interrupt().catch(() => undefined)));
  signal.addEventListener('abort', interrupt, { once: true });
  const figures: Figure[] = [];
  const skipped: Skipped[] = [];
  try {
    const base = {
      ...{ primary, secondary, cockroach, embedded, signal, say, program: host.program, path: host.path },
      ...{ peaks: [], workload: '' },
      ...{ turns: options.turns, size: options.size, idleMinutes: options.idleMinutes },
    };
    say(`Primary: ${primary.version}. Secondary: ${secondary.version}.`);
    if (!secondary.isCockroach) await forgetNative(base);
    await forgetStream(primary, secondary);
    const context: BenchContext = { ...base, nativeRefused: await nativeRefusal(base) };
    for (const workload of chosen) {
      signal.throwIfAborted();
      const reason = workload.refused(context);
      const results =
        reason === null
          ? await workload.run({ ...context, workload: workload.name })
          : workload.ids.map((id) => ({ id, workload: workload.name, reason }));
      for (const result of results) {
        if (options.only && !options.only.includes(result.id)) continue;
        if ('reason' in result) skipped.push(result);
        else figures.push(result);
        for (const line of 'reason' in result ? [`${result.id} skipped: ${result.reason}`] : figureLines(result))
          say(line);
      }
    }
    const facts = {
      ...{ embedded, primary: primary.version, secondary: secondary.version },
      cockroach: cockroach?.version ?? null,
    };
    const machine = machineFacts(loadBefore);
    const result = {
      ...{ startedAt, turns: context.turns, size: context.size, machine, servers: facts, figures, skipped },
    };
    say('');
    for (const line of tableLines(figures, skipped, colorsFor(output), context.size >= LEAST_JUDGED)) say(line);
    say('');
    say(
      `Medians of ${context.turns} turns${context.size < 1 ? `, with ${context.size} of the full data` : ''}; load of the machine ${machine.loadBefore} before, ${machine.loadAfter} after, on ${machine.cores} cores.`,
    );
    await writeFile(options.output, toJson(result));
    say(`Every turn is in ${options.output}.`);
  } finally {
    signal.removeEventListener('abort', interrupt);
    await close();
  }
}

function choose({ only, primary, secondary }: BenchOptions): readonly Workload[] {
  if ((primary === undefined) !== (secondary === undefined)) {
    throw new ConfigurationError('--primary and --secondary belong together.', {
      code: 'bench-urls',
      remedy: 'Name both databases, or none to use servers of its own.',
    });
  }
  const known = WORKLOADS.flatMap(({ ids }) => ids);
  const unknown = only?.filter((id) => !known.includes(id)) ?? [];
  if (unknown.length > 0) {
    throw new ConfigurationError(`There is no workload ${unknown.join(', ')}.`, {
      code: 'bench-only',
      remedy: `Known are ${known.join(', ')}.`,
    });
  }
  return only ? WORKLOADS.filter(({ ids }) => ids.some((id) => only.includes(id))) : WORKLOADS;
}
