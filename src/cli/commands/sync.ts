/**
 * `sync`: orders tables to be made equal to the primary through the watermark path, and waits until they are. The process
 * that leads the stream does the work; where none does, this one leads for as long as it takes.
 */
import { parseTableList } from '../../config/tables.js';
import { systemClock } from '../../core/clock.js';
import { ConfigurationError, RedundancyError } from '../../core/errors.js';
import { displayName, type TableName, tableKey } from '../../core/ident.js';
import { createProgress } from '../progress.js';
import { createStreamer, type Runtime } from '../runtime.js';

export interface SyncOptions {
  readonly table?: string;
  readonly full?: boolean;
}

const POLL_MS = 500;

export async function orderSync(
  runtime: Runtime,
  options: SyncOptions,
  output: NodeJS.WriteStream,
  signal: AbortSignal,
): Promise<void> {
  const only = chosenTable(options);
  const streamer = createStreamer(runtime);
  const stop = new AbortController();
  const known = await streamer.store.list();
  if (only && !known.some((table) => tableKey(table) === tableKey(only))) {
    throw new ConfigurationError(`Table ${displayName(only)} is not part of stream ${runtime.config.stream.name}.`, {
      code: 'unknown-table',
      remedy: `Known tables: ${known.map(displayName).join(', ') || 'none; run db:init-secondary first'}.`,
    });
  }
  await streamer.store.orderResync(only);
  const running = streamer.run(AbortSignal.any([signal, stop.signal]));
  const progress = createProgress(output, Date.now);
  try {
    const done = async () => {
      for (;;) {
        const tables = (await streamer.store.list()).filter((table) => !only || tableKey(table) === tableKey(only));
        progress.update(streamer.snapshot().tables);
        const bad = tables.find((table) => table.state === 'paused');
        if (only && bad)
          throw new RedundancyError(`Table ${displayName(bad)} is paused again: ${bad.reason}.`, {
            code: 'paused-again',
            remedy: 'Mend the cause first.',
          });
        if (tables.every((table) => table.state === 'streaming' || (!only && table.state === 'paused'))) return tables;
        await systemClock.sleep(POLL_MS, signal);
      }
    };
    const tables = (await Promise.race([done(), running])) ?? [];
    const rows = tables.reduce((sum, table) => sum + table.rowsLoaded, 0);
    output.write(`Sync completed: ${rows} records compared with the primary in ${tables.length} tables\n`);
  } finally {
    progress.stop();
    stop.abort(new Error('done'));
    await running.catch(() => undefined);
  }
}

function chosenTable(options: SyncOptions): TableName | null {
  if (options.table === undefined) {
    if (options.full) return null;
    throw new ConfigurationError('db:sync needs --table NAME or --full.', {
      code: 'usage',
      remedy: 'Example: db:sync -- --table public.users',
    });
  }
  const parsed = parseTableList(options.table);
  const table = 'tables' in parsed && parsed.tables !== '*' ? parsed.tables[0] : undefined;
  if (!table)
    throw new ConfigurationError(`Not a table name: ${options.table}`, {
      code: 'usage',
      remedy: 'Write schema.table, for example public.users.',
    });
  return table;
}
