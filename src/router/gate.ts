import type { Clock } from '../core/clock.js';
import { isNewer, type Route, type Side } from '../core/route.js';

/** Who vouches for the route at present. */
export type Vouched = 'controller' | 'control-row' | 'trust' | 'none';

export type Verdict = 'run' | 'wait' | 'gone';

/** What a new route means for those who wait and work. */
export interface Change {
  readonly before: Route | null;
  readonly after: Route;
}

/**
 * The router's knowledge of the route, and of how long it may act on it. Everything that is asked per query is a field:
 * `permits` is the lease check, and all that a query costs beyond pg.
 */
export class Gate {
  readonly #clock: Clock;
  route: Route | null = null;
  /** Where queries run; null while nothing may begin. */
  openSide: Side | null = null;
  /** Open transactions on the route's own side may go on until then during a hold (monotonic). */
  graceUntilMs = 0;
  vouched: Vouched = 'none';
  /**
   * End of the lease on the monotonic clock, and on the wall clock: the monotonic one stands still while a machine is
   * suspended, the wall clock may be set back. The earlier of the two counts.
   */
  #validUntilMs = Number.NEGATIVE_INFINITY;
  #validUntilWallMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get epoch(): number {
    return this.route?.epoch ?? 0;
  }

  /** Whether a statement may be sent to this side now. */
  permits(side: Side): boolean {
    return this.openSide === side && this.#valid();
  }

  get open(): boolean {
    return this.openSide !== null && this.#valid();
  }

  /** Milliseconds for which the route is vouched for; 0 or less when it is not any more. */
  get remainingMs(): number {
    const { monotonic, now } = { monotonic: this.#clock.monotonic(), now: this.#clock.now() };
    return Math.min(this.#validUntilMs - monotonic, this.#validUntilWallMs - now);
  }

  /** For a statement that is not simply permitted. `inTransaction`: as the connection's own status says. */
  judge(side: Side, inTransaction: boolean): Verdict {
    if (this.route !== null && this.route.active !== side) return 'gone';
    if (!this.#valid()) return 'wait';
    if (this.openSide === side) return 'run';
    if (inTransaction) return this.#clock.monotonic() < this.graceUntilMs ? 'run' : 'gone';
    return 'wait';
  }

  /** Null when the route is no news: only a higher epoch is. */
  apply(route: Route): Change | null {
    if (!isNewer(this.route, route)) return null;
    const before = this.route;
    this.route = route;
    this.openSide = route.phase === 'open' ? route.active : null;
    this.graceUntilMs = route.phase === 'hold' ? this.#clock.monotonic() + route.graceMs : 0;
    return { before, after: route };
  }

  /** Vouched for during `ms` from the moment (on both clocks) at which the authority was asked. Never shortened. */
  extend(vouched: Vouched, asked: Moment, ms: number): void {
    this.#validUntilMs = Math.max(this.#validUntilMs, asked.monotonicMs + ms);
    this.#validUntilWallMs = Math.max(this.#validUntilWallMs, asked.wallMs + ms);
    this.vouched = vouched;
  }

  moment(): Moment {
    return { monotonicMs: this.#clock.monotonic(), wallMs: this.#clock.now() };
  }

  #valid(): boolean {
    return this.#clock.monotonic() < this.#validUntilMs && this.#clock.now() < this.#validUntilWallMs;
  }
}

export interface Moment {
  readonly monotonicMs: number;
  readonly wallMs: number;
}
