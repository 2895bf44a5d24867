/** `import`: an export file into a side, checked before the first write, resumable. */
import { clientConfig } from '../../config/client-config.js';
import { systemClock } from '../../core/clock.js';
import type { Side } from '../../reconcile/row-hash.js';
import { runImport } from '../../transfer/run-import.js';
import { orInterrupted } from '../../transfer/transfer-errors.js';
import { createProgress } from '../progress.js';
import type { Runtime } from '../runtime.js';
import { asTableStatus } from '../transfer-progress.js';

export interface ImportCommand {
  readonly target: Side;
  readonly input: string;
  readonly force?: boolean;
  readonly json?: boolean;
}

export async function importFile(
  runtime: Runtime,
  options: ImportCommand,
  streams: { readonly stdout: NodeJS.WriteStream; readonly stderr: NodeJS.WriteStream },
  signal: AbortSignal,
): Promise<void> {
  const { config } = runtime;
  const started = systemClock.monotonic();
  const progress = createProgress(streams.stderr, Date.now, 'Imported');
  const work = runImport({
    side: options.target,
    config: clientConfig(config[options.target]),
    secondary: clientConfig(config.secondary),
    stream: config.stream.name,
    input: options.input,
    force: options.force === true,
    clock: systemClock,
    signal,
    onProgress: (tables) => progress.update(tables.map(asTableStatus)),
  }).finally(() => progress.stop());
  const result = await orInterrupted(work, signal, 'Repeat the command: it continues where it stopped.');
  const seconds = (systemClock.monotonic() - started) / 1000;
  if (options.json) {
    streams.stdout.write(`${JSON.stringify({ target: options.target, ...result, seconds }, null, 2)}\n`);
    return;
  }
  const lines = [`Imported ${result.written} rows in ${result.tables.length} tables of the ${options.target}`];
  if (result.resumedAfter > 0) lines.push(`continued after statement ${result.resumedAfter} of an earlier run`);
  if (result.kept > 0) lines.push(`${result.kept} rows were there already and stay as they are`);
  if (result.leftOut > 0)
    lines.push(`${result.leftOut} foreign keys and triggers wait for the promotion of the standby`);
  streams.stdout.write(`${lines.join('; ')}; ${seconds.toFixed(1)} s\n`);
  if (options.target === 'secondary') {
    streams.stdout.write('Next: npm run db:sync -- --full brings the secondary to what the primary has now.\n');
  }
}
