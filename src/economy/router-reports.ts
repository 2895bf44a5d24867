/** What routers tell of the primary with their lease requests, as activity and as outcomes. */
import type { Clock } from '../core/clock.js';
import type { PrimaryRest } from '../core/economy.js';
import type { LeaseRequest } from '../core/route.js';

/** The application's own queries fail: what a passive health check goes by. */
export interface Outcome {
  readonly router: string;
  /** Since its last success. */
  readonly failures: number;
  /** The primary answers that its compute time is used up. */
  readonly quota: boolean;
}

export class RouterReports {
  readonly #clock: Clock;
  readonly #rest: PrimaryRest;
  readonly #failed: (outcome: Outcome) => void;
  /** The newest failure of each router that was passed on. */
  readonly #told = new Map<string, number>();

  constructor(clock: Clock, rest: PrimaryRest, failed: (outcome: Outcome) => void) {
    this.#clock = clock;
    this.#rest = rest;
    this.#failed = failed;
  }

  heard({ primary, router, name }: LeaseRequest): void {
    const now = this.#clock.monotonic();
    const { busy, failedAgoMs, failures = 0, okAgoMs, quota = false } = primary;
    if (busy > 0) this.#rest.stir('application', now);
    else if (okAgoMs !== null) this.#rest.stir('application', now - okAgoMs);
    if (failedAgoMs === null || (okAgoMs !== null && okAgoMs <= failedAgoMs)) {
      this.#told.delete(router);
      return;
    }
    const at = now - failedAgoMs;
    // The same failure comes with every report until there is another.
    if (at <= (this.#told.get(router) ?? Number.NEGATIVE_INFINITY) + SAME_MS) return;
    if (this.#told.size >= MOST_ROUTERS) this.#told.clear();
    this.#told.set(router, at);
    this.#failed({ router: name ?? router, failures: Math.max(1, failures), quota });
    this.#rest.stir('failure', at);
  }
}

/** Two reports of one failure differ by what they took on the way. */
const SAME_MS = 100;
const MOST_ROUTERS = 10_000;
