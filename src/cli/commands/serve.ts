/** `streamer` and `serve`: the long-running process, with its HTTP surface. */

import { createMetrics } from '../../http/metrics.js';
import { reconcileRoutes, tablesRoutes } from '../../http/reconcile.js';
import { startHttpServer } from '../../http/server.js';
import { assertPreflight } from '../../preflight/report.js';
import { runPreflight } from '../../preflight/run.js';
import { secondaryIsActive } from '../../reconcile/active.js';
import { createStreamer, type Runtime } from '../runtime.js';

/** Runs until `signal` is aborted. Rejects with what the checks at start find. */
export async function serve(runtime: Runtime, signal: AbortSignal): Promise<void> {
  const { config, logger } = runtime;
  const streamer = createStreamer(runtime, { scheduled: true });
  const http = await startHttpServer({
    host: config.http.host,
    port: config.http.port,
    status: streamer,
    metrics: createMetrics(streamer),
    logger,
    controlToken: config.http.controlToken,
    routes: [
      tablesRoutes(streamer),
      reconcileRoutes({
        tables: () => streamer.store.list(),
        secondaryIsActive: () => secondaryIsActive(streamer.link, config.stream.name),
        orderSync: (table) => streamer.resync(table),
        orderVerify: (table, order) => streamer.orderVerify(table, order),
      }),
    ],
  });
  try {
    // A process that starts in the middle of an outage must not give up: what waiting may mend is left to the stream.
    assertPreflight((await runPreflight(config)).filter((result) => !result.transient));
    await streamer.run(signal);
  } finally {
    await http.close();
    logger.info({ reason: String(signal.reason ?? 'error') }, 'Stopped');
  }
}
