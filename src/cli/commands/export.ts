/** `export`: one consistent snapshot of a side as portable SQL. */
import { clientConfig } from '../../config/client-config.js';
import { parseTableList } from '../../config/tables.js';
import { systemClock } from '../../core/clock.js';
import { ConfigurationError } from '../../core/errors.js';
import { displayName, type TableName } from '../../core/ident.js';
import type { Side } from '../../reconcile/row-hash.js';
import { runExport } from '../../transfer/run-export.js';
import { orInterrupted } from '../../transfer/transfer-errors.js';
import { createProgress } from '../progress.js';
import type { Runtime } from '../runtime.js';
import { asTableStatus } from '../transfer-progress.js';

export interface ExportCommand {
  readonly source: Side;
  readonly output: string;
  readonly table?: string;
  readonly json?: boolean;
}

export async function exportSide(
  runtime: Runtime,
  options: ExportCommand,
  streams: { readonly stdout: NodeJS.WriteStream; readonly stderr: NodeJS.WriteStream },
  signal: AbortSignal,
): Promise<void> {
  const { config } = runtime;
  const { stdout, stderr } = streams;
  const toStdout = options.output === '-';
  const started = systemClock.monotonic();
  const progress = createProgress(stderr, Date.now, 'Exported');
  const work = runExport({
    side: options.source,
    config: clientConfig(config[options.source]),
    stream: config.stream.name,
    tables: chosen(options.table, config.tables),
    output: options.output,
    stdout,
    signal,
    now: () => new Date(),
    onProgress: (tables) => progress.update(tables.map(asTableStatus)),
  }).finally(() => progress.stop());
  const result = await orInterrupted(work, signal, 'No file was left behind. Repeat the command.');
  const seconds = (systemClock.monotonic() - started) / 1000;
  const report = toStdout ? stderr : stdout;
  if (options.json) {
    report.write(`${JSON.stringify({ output: options.output, ...result, seconds }, null, 2)}\n`);
    return;
  }
  const rows = result.counts.reduce((sum, count) => sum + count.rows, 0);
  for (const note of result.notes) report.write(`  - ${note}\n`);
  for (const { column, values, reason, ...table } of result.notForCockroach) {
    report.write(`Not for CockroachDB: ${displayName(table)}.${column}: ${values} values (${reason})\n`);
  }
  const where = toStdout ? 'standard output' : options.output;
  report.write(
    `Exported ${result.counts.length} tables, ${rows} rows of the ${options.source} at ${result.position} to ${where} in ${seconds.toFixed(1)} s\n`,
  );
}

function chosen(list: string | undefined, configured: readonly TableName[] | '*'): readonly TableName[] | '*' {
  if (list === undefined) return configured;
  const parsed = parseTableList(list);
  if ('tables' in parsed) return parsed.tables;
  throw new ConfigurationError(`--table ${parsed.mistakes.join('; ')}.`, {
    code: 'usage',
    remedy: 'Write schema.table, several separated by commas, or "*" for all.',
  });
}
