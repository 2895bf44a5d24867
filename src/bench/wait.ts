/** Waiting for what another process does. */
import { setTimeout as sleep } from 'node:timers/promises';
import { RedundancyError } from '../core/errors.js';

export interface WaitOptions {
  readonly what: string;
  readonly signal: AbortSignal;
  readonly everyMs?: number;
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 600_000;

/** Resolves with the first result that is neither null nor false. @throws RedundancyError after the time */
export async function until<T>(look: () => Promise<T | null | false>, options: WaitOptions): Promise<T> {
  const { everyMs = 20, signal, timeoutMs = TIMEOUT_MS, what } = options;
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    signal.throwIfAborted();
    const found = await look();
    if (found !== null && found !== false) return found;
    if (performance.now() > deadline)
      throw new RedundancyError(`The benchmark waited ${Math.round(timeoutMs / 1000)} s in vain until ${what}.`, {
        code: 'bench-timeout',
        remedy: 'Look at the log of the streamer and of both servers; --quick uses less data.',
      });
    await sleep(everyMs, undefined, { signal });
  }
}
