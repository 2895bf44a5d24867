/**
 * Exponential back-off with full jitter: the n-th wait is drawn evenly from 0 to min(maxMs, initialMs * factor^n), so
 * that many clients of one returning server do not come back in step.
 */
export interface BackoffOptions {
  /** Upper bound of the first wait, milliseconds, above 0. */
  readonly initialMs: number;
  /** Upper bound of every wait, milliseconds, at least initialMs. */
  readonly maxMs: number;
  /** Growth of the upper bound per attempt; 2 by default. */
  readonly factor?: number;
  /** Evenly distributed in [0, 1); Math.random by default. */
  readonly random?: () => number;
}

export class Backoff {
  readonly #initialMs: number;
  readonly #maxMs: number;
  readonly #factor: number;
  readonly #random: () => number;
  #attempt = 0;

  /** Throws a RangeError when the options contradict each other. */
  constructor(options: BackoffOptions) {
    const { initialMs, maxMs, factor = 2, random = Math.random } = options;
    if (!(initialMs > 0 && maxMs >= initialMs && factor >= 1)) {
      throw new RangeError(
        `Back-off needs 0 < initialMs <= maxMs and factor >= 1, got ${initialMs}, ${maxMs}, ${factor}`,
      );
    }
    this.#initialMs = initialMs;
    this.#maxMs = maxMs;
    this.#factor = factor;
    this.#random = random;
  }

  /** Waits drawn since the start or the last reset. */
  get attempt(): number {
    return this.#attempt;
  }

  /** The next wait in whole milliseconds. */
  next(): number {
    // factor^attempt overflows to Infinity after some hundred attempts, which the cap absorbs.
    const bound = Math.floor(Math.min(this.#maxMs, this.#initialMs * this.#factor ** this.#attempt));
    this.#attempt += 1;
    return Math.floor(this.#random() * (bound + 1));
  }

  /** To be called after a success: the next wait is short again. */
  reset(): void {
    this.#attempt = 0;
  }
}
