/**
 * `verify`: orders a comparison of all rows, waits for it, and says what differs. The process that leads the stream does
 * the work; where none does, this one leads for as long as it takes. Exit code 0 when the sides are equal (in the end,
 * with --repair), 1 when they are not or a table could not be compared.
 */
import { randomUUID } from 'node:crypto';
import { systemClock } from '../../core/clock.js';
import { RedundancyError } from '../../core/errors.js';
import { displayName, type TableName, tableKey } from '../../core/ident.js';
import { SecondaryActiveError, secondaryIsActive } from '../../reconcile/active.js';
import { isEqual } from '../../reconcile/outcome.js';
import type { StoredVerify } from '../../reconcile/results-store.js';
import type { Streamer } from '../../streamer/streamer.js';
import { chosenTable } from '../chosen-table.js';
import { postControl } from '../remote.js';
import { createStreamer, type Runtime } from '../runtime.js';
import { createVerifyProgress, printVerify, type VerifyProgress } from '../verify-view.js';

export interface VerifyOptions {
  readonly table?: string;
  readonly repair?: boolean;
  /** One JSON document on standard output. */
  readonly json?: boolean;
}

const POLL_MS = 300;

export async function orderVerify(
  runtime: Runtime,
  options: VerifyOptions,
  output: NodeJS.WriteStream,
  signal: AbortSignal,
): Promise<void> {
  const { config } = runtime;
  const streamer = createStreamer(runtime);
  const stop = new AbortController();
  await streamer.prepare();
  const known = await streamer.store.list();
  const only = options.table === undefined ? null : chosenTable(options.table, known, config.stream.name);
  if (known.length === 0)
    throw new RedundancyError('This secondary has never been set up.', {
      code: 'not-set-up',
      remedy: 'Run db:init-secondary.',
    });
  if (await secondaryIsActive(streamer.link, config.stream.name)) throw new SecondaryActiveError();
  const wanted = known.filter((table) => !only || tableKey(table) === tableKey(only));
  const id = await order(runtime, streamer, only, options.repair ?? false);
  const running = streamer.run(AbortSignal.any([signal, stop.signal]));
  const progress = createVerifyProgress(options.json ? null : output, wanted.length);
  try {
    const outcomes = await Promise.race([
      untilVerified(streamer, wanted, id, progress, signal),
      running.then(() => Promise.reject(signal.reason ?? new Error('The streamer has stopped'))),
    ]);
    progress.stop();
    const equal = outcomes.every(isEqual);
    if (options.json) output.write(`${JSON.stringify({ runId: id, equal, tables: outcomes }, null, 2)}\n`);
    else printVerify(outcomes, output);
    if (!equal) throw differ(outcomes, options.repair ?? false);
  } finally {
    progress.stop();
    stop.abort(new Error('done'));
    await running.catch(() => undefined);
  }
}

async function order(runtime: Runtime, streamer: Streamer, only: TableName | null, repair: boolean): Promise<string> {
  const body = { ...(only ? { table: displayName(only) } : {}), repair };
  const answer = await postControl(runtime.config, '/api/system/verify', body);
  if (typeof answer?.id === 'string') return answer.id;
  const id = randomUUID();
  await streamer.store.orderVerify(only, { id, repair });
  return id;
}

async function untilVerified(
  streamer: Streamer,
  wanted: readonly TableName[],
  id: string,
  progress: VerifyProgress,
  signal: AbortSignal,
): Promise<StoredVerify[]> {
  for (;;) {
    const stored = await streamer.reconciler.state.results.verifies();
    const done = wanted.map((table) => stored.get(tableKey(table))).filter((each) => each?.runId === id);
    progress.update(done as StoredVerify[]);
    if (done.length === wanted.length) return done as StoredVerify[];
    const { detail, status } = streamer.snapshot();
    if (status === 'error') throw new RedundancyError(detail ?? 'The stream has stopped.', { code: 'stream-stopped' });
    await systemClock.sleep(POLL_MS, signal);
  }
}

function differ(outcomes: readonly StoredVerify[], repair: boolean): RedundancyError {
  const unequal = outcomes.filter((outcome) => !isEqual(outcome)).map(displayName);
  return new RedundancyError(`The secondary is not proven equal to the primary: ${unequal.join(', ')}.`, {
    code: 'differences',
    remedy: repair ? 'Each line with a cross says why.' : 'db:verify -- --repair makes these rows equal.',
  });
}
