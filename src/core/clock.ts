/**
 * Time as a dependency: everything that waits or measures takes a Clock, so that a test moves time by hand.
 * All times are in milliseconds.
 */
export interface Clock {
  /** Wall clock, milliseconds since the Unix epoch. It can jump: use it for display and for stored times only. */
  now(): number;
  /** Never goes back; has no meaning but as a difference. Use it for deadlines, leases and durations. */
  monotonic(): number;
  /** Resolves after `ms`; rejects with the signal's reason as soon as the signal is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `callback` once after `ms`, unless cancelled before. */
  setTimer(ms: number, callback: () => void): Timer;
}

export interface Timer {
  /** Harmless when the timer has fired or was cancelled already. */
  cancel(): void;
}

/** setTimeout fires at once beyond this; a longer wait would become a busy loop. */
export const LONGEST_TIMER_MS = 2_147_483_647;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) => sleepOn(systemClock, ms, signal),
  setTimer(ms, callback) {
    const handle = setTimeout(callback, Math.min(Math.max(ms, 0), LONGEST_TIMER_MS));
    return { cancel: () => clearTimeout(handle) };
  },
};

/** `sleep` in terms of `setTimer`, for implementations of Clock. */
export function sleepOn(clock: Pick<Clock, 'setTimer'>, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = () => {
      timer.cancel();
      reject(signal?.reason);
    };
    const timer = clock.setTimer(ms, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
