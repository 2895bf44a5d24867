/** `history`, `conflicts`, `dead-letters`: read from the secondary, whether or not a process runs. */
import { clientConfig } from '../../config/client-config.js';
import { systemClock } from '../../core/clock.js';
import { RedundancyError } from '../../core/errors.js';
import type { ConflictEntry, DeadLetterEntry, HistoryEntry } from '../../core/failover.js';
import { sqlstateOf } from '../../core/policy.js';
import { Database } from '../../failover/database.js';
import { readConflicts, readDeadLetters, readHistory } from '../../failover/lists.js';
import type { Runtime } from '../runtime.js';

export type ListName = 'history' | 'conflicts' | 'dead-letters';

export interface ListOptions {
  readonly json?: boolean;
  readonly limit: number;
}

const DEADLINE_MS = 20_000;

export async function printList(
  runtime: Runtime,
  name: ListName,
  options: ListOptions,
  output: NodeJS.WriteStream,
): Promise<void> {
  const { config } = runtime;
  const database = new Database({
    side: 'secondary',
    purpose: name,
    clock: systemClock,
    config: clientConfig(config.secondary),
  });
  const source = { run: (text: string, values: readonly (string | null)[]) => database.run(text, values, DEADLINE_MS) };
  const { name: stream } = config.stream;
  try {
    const [entries, lines] = await read(name, source, stream, options.limit);
    if (options.json) output.write(`${JSON.stringify(entries, null, 2)}\n`);
    else output.write(lines.length === 0 ? `No ${name}.\n` : `${lines.join('\n')}\n`);
  } catch (error) {
    if (!['42P01', '3F000'].includes(sqlstateOf(error) ?? '')) throw error;
    throw new RedundancyError('This secondary has never been set up.', {
      code: 'not-set-up',
      remedy: 'Run db:init-secondary.',
      cause: error,
    });
  } finally {
    await database.close();
  }
}

type Source = Parameters<typeof readHistory>[0];

async function read(name: ListName, source: Source, stream: string, limit: number): Promise<[unknown[], string[]]> {
  if (name === 'history') {
    const entries = await readHistory(source, stream, limit);
    return [entries, entries.map(historyLine)];
  }
  if (name === 'conflicts') {
    const entries = await readConflicts(source, stream, limit);
    return [entries, entries.map(conflictLine)];
  }
  const entries = await readDeadLetters(source, stream, limit);
  return [entries, entries.map(deadLetterLine)];
}

function historyLine({ actor, active, at, durationMs, epoch, from, reason, to }: HistoryEntry): string {
  const took = durationMs === null ? '' : `, ${durationMs} ms`;
  return `${at}  epoch ${epoch}  ${from} -> ${to}  active ${active}  ${actor}: ${reason}${took}`;
}

function conflictLine(entry: ConflictEntry): string {
  const { createdAt, failoverEpoch, key, primaryVersion, rule, secondaryVersion, table, winner } = entry;
  return [
    `${createdAt}  failover ${failoverEpoch}  ${table} ${key}  ${winner} won by ${rule}`,
    `  primary:   ${primaryVersion ?? '(deleted)'}`,
    `  secondary: ${secondaryVersion ?? '(deleted)'}`,
  ].join('\n');
}

function deadLetterLine({ change, commitLsn, createdAt, error, operation, sqlstate, table }: DeadLetterEntry): string {
  return `${createdAt}  ${commitLsn}  ${operation} ${table}  ${sqlstate ?? ''} ${error}\n  ${change}`;
}
