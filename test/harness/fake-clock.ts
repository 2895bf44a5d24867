import { type Clock, sleepOn, type Timer } from '../../src/core/clock.js';

interface Pending {
  readonly due: number;
  readonly order: number;
  readonly callback: () => void;
}

/** A clock that stands still until a test moves it. Timers fire in order of time, then of creation. */
export class FakeClock implements Clock {
  #elapsed = 0;
  #order = 0;
  readonly #startedAt: number;
  readonly #timers = new Set<Pending>();

  /** `startedAt`: wall clock at the start, milliseconds since the Unix epoch. */
  constructor(startedAt = Date.UTC(2026, 0, 24, 20, 0, 0)) {
    this.#startedAt = startedAt;
  }

  now(): number {
    return this.#startedAt + this.#elapsed;
  }

  monotonic(): number {
    return this.#elapsed;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return sleepOn(this, ms, signal);
  }

  setTimer(ms: number, callback: () => void): Timer {
    const timer: Pending = { due: this.#elapsed + Math.max(ms, 0), order: this.#order++, callback };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }

  /** Timers that wait. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Milliseconds until the next timer; null when none waits. */
  get nextIn(): number | null {
    const next = this.#next();
    return next ? next.due - this.#elapsed : null;
  }

  /** Moves time on by `ms`, fires what falls due, and lets promises settle before and after each timer. */
  async advance(ms: number): Promise<void> {
    const until = this.#elapsed + ms;
    await settle();
    for (let timer = this.#next(); timer && timer.due <= until; timer = this.#next()) {
      this.#elapsed = timer.due;
      this.#timers.delete(timer);
      timer.callback();
      await settle();
    }
    this.#elapsed = until;
  }

  #next(): Pending | undefined {
    return [...this.#timers].sort((a, b) => a.due - b.due || a.order - b.order)[0];
  }
}

/** One turn of the event loop: every promise chain that needs no I/O has run to its end. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
