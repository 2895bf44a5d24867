/** Waiting for a condition instead of for a time. */
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';

export interface WaitOptions {
  /** Completes the sentence "Waited for ...". */
  readonly what: string;
  /** Default 15,000. */
  readonly timeoutMs?: number;
  /** The condition's errors count as "not yet", unless this says that no more is to come. */
  readonly fatal?: (error: unknown) => boolean;
}

type Truthy<T> = Exclude<T, false | 0 | '' | null | undefined>;

/**
 * Polls after 2 ms, then at growing distances up to 100 ms, until the condition is truthy.
 * @returns the condition's value. @throws Error with `what` and the last value or error.
 */
export async function waitFor<T>(condition: () => T | Promise<T>, options: WaitOptions): Promise<Truthy<T>> {
  const { what, timeoutMs = 15_000, fatal = () => false } = options;
  const deadline = Date.now() + timeoutMs;
  for (let pause = 2; ; pause = Math.min(pause * 1.5, 100)) {
    let last: { value?: unknown; error?: unknown };
    try {
      const value = await condition();
      if (value) return value as Truthy<T>;
      last = { value };
    } catch (error) {
      if (fatal(error)) throw error;
      last = { error };
    }
    if (Date.now() >= deadline) {
      const seen = 'error' in last ? `last error: ${String(last.error)}` : `last value: ${inspect(last.value)}`;
      throw new Error(`Waited ${timeoutMs} ms for ${what}; ${seen}`, { cause: last.error });
    }
    await sleep(pause);
  }
}
