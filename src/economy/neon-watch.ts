/**
 * Looks at the primary's endpoint by Neon's API while the primary is left alone: whether somebody uses it that no router
 * reports. It never counts as a failed check: a wrong project would be a failover.
 */
import type { Clock } from '../core/clock.js';
import type { NeonView, PrimaryRest } from '../core/economy.js';
import type { Log } from '../core/log.js';
import { NeonApiError, type NeonEndpoint } from './neon-api.js';

export interface NeonWatchOptions {
  readonly read: (signal: AbortSignal) => Promise<NeonEndpoint>;
  readonly rest: PrimaryRest;
  readonly clock: Clock;
  readonly log: Log;
  readonly intervalMs?: number;
}

const INTERVAL_MS = 60_000;
const DEFAULT_SUSPEND_MS = 300_000;
/** Neon's own idea of when something was last used may differ. */
const MARGIN_MS = 60_000;

export class NeonWatch {
  readonly #options: NeonWatchOptions;
  #view: NeonView = { state: null, checkedAt: null, problem: null };
  #leftMs = 0;
  /** Seen asleep since we left: if it is awake now, somebody has woken it. */
  #slept = false;

  constructor(options: NeonWatchOptions) {
    this.#options = options;
  }

  view(): NeonView {
    return this.#view;
  }

  /** Runs until `signal` is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, intervalMs = INTERVAL_MS, rest } = this.#options;
    this.#leftMs = clock.monotonic();
    const leave = rest.onChange((mode) => {
      if (mode !== 'resting') return;
      this.#leftMs = clock.monotonic();
      this.#slept = false;
    });
    try {
      while (!signal.aborted) {
        await clock.sleep(intervalMs, signal).catch(() => undefined);
        if (!signal.aborted && rest.mode === 'resting') await this.#look(signal);
      }
    } finally {
      leave();
    }
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { clock, log, read, rest } = this.#options;
    const checkedAt = new Date(clock.now()).toISOString();
    try {
      const { disabled, state, suspendsAfterMs } = await read(signal);
      if (rest.mode !== 'resting') return;
      this.#view = { state: disabled ? 'disabled' : state, checkedAt, problem: null };
      if (state === 'idle') this.#slept = true;
      const ours = clock.monotonic() - this.#leftMs <= (suspendsAfterMs ?? DEFAULT_SUSPEND_MS) + MARGIN_MS;
      if (disabled || (state !== 'idle' && (this.#slept || !ours))) rest.stir('neon');
    } catch (error) {
      if (signal.aborted) return;
      const problem = error instanceof NeonApiError ? error.message : String(error);
      // The first time, and when it is another one.
      if (problem !== this.#view.problem)
        log.warn({ err: error }, `Neon's API says nothing of the primary: ${problem}`);
      this.#view = { state: null, checkedAt, problem };
    }
  }
}
