import type { Clock, Timer } from '../core/clock.js';

/** One timer for all who wait, whatever their number: it fires when the first of them has waited long enough. */
export class Deadline {
  readonly #clock: Clock;
  readonly #sweep: (nowMs: number) => number | null;
  #timer: Timer | null = null;

  /** `sweep` sends those away whose time has come, and gives the time at which the next one's comes; null: nobody waits. */
  constructor(clock: Clock, sweep: (nowMs: number) => number | null) {
    this.#clock = clock;
    this.#sweep = sweep;
  }

  /** Somebody waits until `dueMs`. A timer that runs already fires earlier, since all wait for the same time. */
  arm(dueMs: number): void {
    this.#timer ??= this.#clock.setTimer(Math.max(1, Math.ceil(dueMs - this.#clock.monotonic())), () => {
      this.#timer = null;
      const next = this.#sweep(this.#clock.monotonic());
      if (next !== null) this.arm(next);
    });
  }

  cancel(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }
}
