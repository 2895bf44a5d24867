/**
 * `sync`: orders tables to be made equal to the primary through the watermark path, and waits until they are. The process
 * that leads the stream does the work; where none does, this one leads for as long as it takes. One that was interrupted
 * goes on at its last finished chunk.
 */
import { systemClock } from '../../core/clock.js';
import { ConfigurationError, RedundancyError } from '../../core/errors.js';
import { displayName, type TableName, tableKey } from '../../core/ident.js';
import { SecondaryActiveError, secondaryIsActive } from '../../reconcile/active.js';
import type { Streamer } from '../../streamer/streamer.js';
import type { StoredTable } from '../../streamer/tables-store.js';
import { chosenTable } from '../chosen-table.js';
import { createProgress } from '../progress.js';
import { postControl } from '../remote.js';
import { createStreamer, type Runtime } from '../runtime.js';

export interface SyncOptions {
  readonly table?: string;
  readonly full?: boolean;
  /** One JSON document on standard output. */
  readonly json?: boolean;
}

const POLL_MS = 500;

export async function orderSync(
  runtime: Runtime,
  options: SyncOptions,
  output: NodeJS.WriteStream,
  signal: AbortSignal,
): Promise<void> {
  if (options.table === undefined && !options.full)
    throw new ConfigurationError('db:sync needs --table NAME or --full.', {
      code: 'usage',
      remedy: 'Example: db:sync -- --table public.users',
    });
  const { stream } = runtime.config;
  const streamer = createStreamer(runtime);
  const stop = new AbortController();
  await streamer.prepare();
  const known = await streamer.store.list();
  const only = options.table === undefined ? null : chosenTable(options.table, known, stream.name);
  if (await secondaryIsActive(streamer.link, stream.name)) throw new SecondaryActiveError();
  const body = only ? { table: displayName(only) } : { full: true };
  if (!(await postControl(runtime.config, '/api/system/sync', body)))
    await streamer.store.orderResync(only, { goOn: true });
  const running = streamer.run(AbortSignal.any([signal, stop.signal]));
  const progress = options.json ? null : createProgress(output, Date.now);
  try {
    const update = () => progress?.update(streamer.snapshot().tables);
    const tables = (await Promise.race([untilEqual(streamer, only, update, signal), running])) ?? [];
    const rows = tables.reduce((sum, table) => sum + table.rowsLoaded, 0);
    if (options.json) output.write(`${JSON.stringify({ rows, tables: tables.map(result) }, null, 2)}\n`);
    else output.write(`Sync completed: ${rows} records compared with the primary in ${tables.length} tables\n`);
  } finally {
    progress?.stop();
    stop.abort(new Error('done'));
    await running.catch(() => undefined);
  }
}

function result({ name, reason, rowsLoaded, schema, state }: StoredTable) {
  return { schema, name, state, reason, rows: rowsLoaded };
}

async function untilEqual(streamer: Streamer, only: TableName | null, update: () => void, signal: AbortSignal) {
  for (;;) {
    const tables = (await streamer.store.list()).filter((table) => !only || tableKey(table) === tableKey(only));
    update();
    const bad = tables.find((table) => table.state === 'paused');
    if (only && bad)
      throw new RedundancyError(`Table ${displayName(bad)} is paused again: ${bad.reason}.`, {
        code: 'paused-again',
        remedy: 'Mend the cause first.',
      });
    if (tables.every((table) => table.state === 'streaming' || (!only && table.state === 'paused'))) return tables;
    await systemClock.sleep(POLL_MS, signal);
  }
}
