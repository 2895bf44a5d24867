/** `init-secondary`: create what is missing on both sides, load, verify counts, and say what was done. */
import { TargetSession } from '../../apply/target-session.js';
import { clientConfig } from '../../config/client-config.js';
import { systemClock } from '../../core/clock.js';
import { RedundancyError } from '../../core/errors.js';
import { displayName } from '../../core/ident.js';
import { assertPreflight } from '../../preflight/report.js';
import { runPreflight } from '../../preflight/run.js';
import { type CountResult, compareCounts, describeDifferences } from '../../streamer/count-check.js';
import type { Streamer } from '../../streamer/streamer.js';
import { createProgress } from '../progress.js';
import { createStreamer, type Runtime } from '../runtime.js';
import { printInitSummary } from './init-summary.js';

export interface InitOptions {
  /** `json`: the whole report as one JSON document on standard output. */
  readonly report?: 'text' | 'json';
}

const POLL_MS = 200;

export async function initSecondary(
  runtime: Runtime,
  options: InitOptions,
  output: NodeJS.WriteStream,
  signal: AbortSignal,
): Promise<void> {
  assertPreflight(await runPreflight(runtime.config));
  const streamer = createStreamer(runtime);
  const stop = new AbortController();
  const started = systemClock.monotonic();
  const running = streamer.run(AbortSignal.any([signal, stop.signal]));
  try {
    await Promise.race([untilLoaded(streamer, options, output, signal), running]);
    signal.throwIfAborted();
    const counts = await verifyCounts(runtime, streamer, signal);
    const seconds = (systemClock.monotonic() - started) / 1000;
    printInitSummary(
      { report: streamer.report, snapshot: streamer.snapshot(), counts, seconds },
      options.report ?? 'text',
      output,
    );
    const different = describeDifferences(counts);
    if (different.length > 0) {
      throw new RedundancyError(`Row counts differ: ${different.join('; ')}.`, {
        code: 'counts-differ',
        remedy: 'Run db:init-secondary again, or db:sync -- --full.',
      });
    }
    const paused = streamer.registry.all().filter((entry) => entry.state === 'paused');
    if (paused.length > 0) {
      throw new RedundancyError(
        `Tables are paused: ${paused.map((entry) => `${displayName(entry)} (${entry.reason})`).join('; ')}.`,
        {
          code: 'tables-paused',
          remedy: 'Mend the cause, then run db:sync -- --table NAME for each.',
        },
      );
    }
  } finally {
    stop.abort(new Error('done'));
    await running.catch(() => undefined);
  }
}

async function untilLoaded(
  streamer: Streamer,
  options: InitOptions,
  output: NodeJS.WriteStream,
  signal: AbortSignal,
): Promise<void> {
  const progress = options.report === 'json' ? null : createProgress(output, Date.now);
  try {
    for (;;) {
      const snapshot = streamer.snapshot();
      if (snapshot.status === 'standby') await streamer.refreshFromStore();
      progress?.update(snapshot.tables);
      const settled =
        snapshot.tables.length > 0 &&
        snapshot.tables.every((table) => table.state === 'streaming' || table.state === 'paused');
      if (settled && (snapshot.status === 'streaming' || snapshot.status === 'paused' || snapshot.status === 'standby'))
        return;
      if (snapshot.status === 'error') {
        throw new RedundancyError(snapshot.detail ?? 'The stream has stopped.', { code: 'stream-stopped' });
      }
      await systemClock.sleep(POLL_MS, signal);
    }
  } finally {
    progress?.stop();
  }
}

/** Exact where this process leads the stream; where another does, compared until the stream has passed the difference. */
async function verifyCounts(runtime: Runtime, streamer: Streamer, signal: AbortSignal): Promise<CountResult[]> {
  const tables = streamer.registry.all().filter((entry) => entry.state === 'streaming');
  const connectTarget = () => TargetSession.connect(clientConfig(runtime.config.secondary));
  if (streamer.session) {
    return compareCounts({ board: streamer.session.board, source: streamer.lanes, connectTarget, signal }, tables);
  }
  return streamer.compareCountsLoosely(tables, signal);
}
