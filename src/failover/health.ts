/**
 * When databases are probed: every interval, after a first failure every suspect interval; reckoned from the beginning of
 * a round, so that a side that hangs does not slow the rhythm down. What a probe is, and what follows, is not its affair.
 */
import type { Clock } from '../core/clock.js';

export interface Rhythm {
  readonly intervalMs: number;
  readonly suspectIntervalMs: number;
}

export type Pace =
  | 'steady'
  /** A side has failed: the next probe comes at the suspect interval. */
  | 'suspect'
  /** Another controller leads: its lease ends in so many milliseconds. */
  | { readonly followMs: number };

/** Even a lease that ends now gives its holder time to renew it. */
const SHORTEST_FOLLOW_MS = 250;

export class HealthRounds {
  readonly #clock: Clock;
  readonly #rhythm: Rhythm;
  readonly #round: () => Promise<Pace>;
  #wake: AbortController | null = null;
  #again = false;

  /** @param round probes both sides, never rejects, and ends within the probes' deadline */
  constructor(clock: Clock, rhythm: Rhythm, round: () => Promise<Pace>) {
    this.#clock = clock;
    this.#rhythm = rhythm;
    this.#round = round;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const begun = this.#clock.monotonic();
      this.#again = false;
      const pace = await this.#round();
      if (this.#again) continue;
      const next = begun + distanceOf(pace, this.#rhythm);
      this.#wake = new AbortController();
      const until = AbortSignal.any([signal, this.#wake.signal]);
      await this.#clock.sleep(Math.max(0, next - this.#clock.monotonic()), until).catch(() => undefined);
    }
  }

  /** The next round begins now. */
  nudge(): void {
    this.#wake?.abort();
  }

  /** The same; where a round is under way, another one follows it at once. */
  again(): void {
    this.#again = true;
    this.#wake?.abort();
  }
}

function distanceOf(pace: Pace, { intervalMs, suspectIntervalMs }: Rhythm): number {
  if (pace === 'steady') return intervalMs;
  if (pace === 'suspect') return suspectIntervalMs;
  return Math.max(SHORTEST_FOLLOW_MS, pace.followMs);
}

/**
 * A lease outlives one failed renewal and a probe that hangs; and a controller that restarts quickly must not be
 * overtaken by its own former self.
 */
export function leaseMsOf(intervalMs: number, timeoutMs: number): number {
  return Math.max(2000, 2 * intervalMs + 2 * timeoutMs);
}
