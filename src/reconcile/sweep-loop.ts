/** The sweep on its schedule, for as long as a session lasts. What fails is logged and tried again. */
import { secondaryIsActive } from './active.js';
import { ConflictKeeper } from './conflict-keeper.js';
import type { ReconcilerParts, ReconcileSchedule, ReconcileSession } from './parts.js';
import type { ReconcileState } from './state.js';
import { sweepAll } from './sweep-run.js';

const OVERLAP_MS = 300_000;
const RETRY_MS = 10_000;
const CATCH_UP_POLL_MS = 1000;

/** Runs until `signal` is aborted; rejects with its reason. */
export async function runSweeps(
  parts: ReconcilerParts,
  state: ReconcileState,
  session: ReconcileSession,
  schedule: ReconcileSchedule,
  signal: AbortSignal,
): Promise<never> {
  const { clock, log } = parts;
  const { sweepIntervalMs } = schedule;
  const lastMs = state.lastSyncAt === null ? Number.NEGATIVE_INFINITY : Date.parse(state.lastSyncAt);
  const distanceMs = () => sweepIntervalMs * (schedule.pace?.() ?? 1);
  let waitMs = Math.min(distanceMs(), Math.max(0, lastMs + distanceMs() - clock.now()));
  for (;;) {
    await clock.sleep(waitMs, signal);
    try {
      const done = await state.during(() => sweep(parts, state, session, schedule, signal));
      waitMs = done ? distanceMs() : Math.min(CATCH_UP_POLL_MS, sweepIntervalMs);
    } catch (error) {
      signal.throwIfAborted();
      log.warn({ err: error }, 'Sync was interrupted; it is tried again');
      waitMs = Math.min(RETRY_MS, sweepIntervalMs);
    }
  }
}

/** False when it is not the time for it: the stream has not caught up. */
async function sweep(
  parts: ReconcilerParts,
  state: ReconcileState,
  session: ReconcileSession,
  { overlapMs, sweepIntervalMs }: ReconcileSchedule,
  signal: AbortSignal,
): Promise<boolean> {
  const { clock, compared, link, log, registry, source, stream } = parts;
  if (!session.caughtUp()) return false;
  if (await secondaryIsActive(link, stream)) return true;
  const run = await sweepAll(
    {
      ...{ board: session.board, clock, link, log, signal, source },
      // Keys and a time: what was known of them a moment ago will do, and spares the primary its catalog.
      compared: (entry) => compared(entry, false),
      results: state.results,
      repair: (entry, keys) => session.repair(entry, keys),
      conflicts: new ConflictKeeper(link, stream, clock.now),
      intervalMs: sweepIntervalMs,
      overlapMs: overlapMs ?? OVERLAP_MS,
    },
    registry.all(),
    state.sweeps,
  );
  state.swept(run);
  return true;
}
