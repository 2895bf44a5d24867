/**
 * For a streamer in a process of its own: hears from the controller whether the primary is used. A long poll: a wake
 * comes at once, and costs no statement. A controller that cannot be reached, or that only watches another, says nothing;
 * who cannot know stays attached.
 */
import type { Clock } from '../core/clock.js';
import type { PrimaryRest, RestMode } from '../core/economy.js';
import type { Log } from '../core/log.js';
import type { Secret } from '../core/secret.js';

export interface ControllerActivityOptions {
  readonly url: string;
  readonly token: Secret | null;
  readonly rest: PrimaryRest;
  readonly clock: Clock;
  readonly log: Log;
}

/** While the primary is used, its last use moves. */
const AWAKE_POLL_MS = 5000;
const RETRY_MS = 5000;
const SILENT_MS = 60_000;
/** Beyond what the controller lets a request wait. */
const TIMEOUT_MS = 40_000;

/** Runs until `signal` is aborted. */
export async function followController(options: ControllerActivityOptions, signal: AbortSignal): Promise<void> {
  const { clock, log, rest } = options;
  let heardMs = clock.monotonic();
  let warned = false;
  let known: RestMode | null = null;
  while (!signal.aborted) {
    let pauseMs = RETRY_MS;
    try {
      const { idleMs, mode } = await ask(options, known, signal);
      known = mode;
      if (mode === 'elsewhere') throw new Error('that controller does not lead, and hears of no router');
      heardMs = clock.monotonic();
      warned = false;
      // While this one rests, a use that is older than its rest is a use that it has missed.
      if (mode === 'awake') rest.stir('controller', rest.awake ? heardMs - (idleMs ?? 0) : heardMs);
      pauseMs = mode === 'awake' ? AWAKE_POLL_MS : 0;
    } catch (error) {
      if (signal.aborted) return;
      known = null;
      if (clock.monotonic() - heardMs >= SILENT_MS) {
        if (!warned)
          log.warn({ err: error }, 'The controller does not say whether the primary is used; the slot stays attached');
        warned = true;
        rest.stir('controller-silent');
      }
    }
    if (pauseMs > 0) await clock.sleep(pauseMs, signal).catch(() => undefined);
  }
}

async function ask(
  { token, url }: ControllerActivityOptions,
  known: RestMode | null,
  signal: AbortSignal,
): Promise<{ mode: RestMode; idleMs: number | null }> {
  const at = new URL('api/system/activity', url.endsWith('/') ? url : `${url}/`);
  // An answer that says `awake` is wanted at once: the last use moves.
  if (known === 'resting') at.searchParams.set('mode', known);
  const response = await fetch(at, {
    headers: token === null ? {} : { Authorization: `Bearer ${token.reveal()}` },
    signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
  });
  const body = (await response.json()) as { mode?: unknown; idleMs?: unknown };
  if (response.status !== 200 || !['awake', 'resting', 'elsewhere'].includes(String(body.mode)))
    throw new Error(`The controller answers ${response.status}`);
  return { mode: body.mode as RestMode, idleMs: typeof body.idleMs === 'number' ? body.idleMs : null };
}
