import { type Clock, systemClock } from '../core/clock.js';
import {
  LEASE_RENEW_MS,
  LEASE_TTL_MS,
  type LeaseAnswer,
  type LeaseRequest,
  type Route,
  type RouteAuthority,
  type RouterView,
  type Withdrawal,
} from '../core/route.js';
import { RouterLedger } from './router-ledger.js';

/** The authority with the two verbs that HTTP serves (src/http/route.ts). */
export interface LeasingAuthority extends RouteAuthority {
  /** `unknown`: no route was published yet. `full`: too many routers. */
  lease(request: LeaseRequest): LeaseAnswer | 'unknown' | 'full';
  /** Calls `listener` at each published route until the returned function is called. */
  subscribe(listener: (route: Route) => void): () => void;
}

export interface AuthorityOptions {
  readonly clock?: Clock;
  readonly leaseMs?: number;
  readonly renewMs?: number;
  /** Called with every report of a router, before it is answered. */
  readonly onReport?: (request: LeaseRequest) => void;
}

/**
 * Holds the published route, grants leases on it, and tells when a lower epoch is withdrawn everywhere. It decides
 * nothing and stores nothing: the control row does. docs/decisions/0005-route-and-lease.md.
 */
export function createRouteAuthority(options: AuthorityOptions = {}): LeasingAuthority {
  return new Authority(
    options.clock ?? systemClock,
    options.leaseMs ?? LEASE_TTL_MS,
    options.renewMs ?? LEASE_RENEW_MS,
    options.onReport ?? (() => undefined),
  );
}

class Authority implements LeasingAuthority {
  readonly #clock: Clock;
  readonly #leaseMs: number;
  readonly #renewMs: number;
  readonly #onReport: (request: LeaseRequest) => void;
  readonly #ledger = new RouterLedger();
  readonly #listeners = new Set<(route: Route) => void>();
  /** Looked at again at every report and every publication. */
  readonly #waiters = new Set<() => void>();
  #route: Route | null = null;
  #grantUntilMs = 0;

  constructor(clock: Clock, leaseMs: number, renewMs: number, onReport: (request: LeaseRequest) => void) {
    this.#clock = clock;
    this.#onReport = onReport;
    this.#leaseMs = leaseMs;
    this.#renewMs = renewMs;
  }

  get route(): Route | null {
    return this.#route;
  }

  publish(route: Route): void {
    if (this.#route !== null && route.epoch <= this.#route.epoch) {
      throw new RangeError(`Epoch ${route.epoch} is not higher than ${this.#route.epoch}, which is published.`);
    }
    this.#route = route;
    for (const listener of [...this.#listeners]) listener(route);
    this.#wake();
  }

  grantUntil(monotonicMs: number): void {
    this.#grantUntilMs = monotonicMs;
  }

  lease(request: LeaseRequest): LeaseAnswer | 'unknown' | 'full' {
    const route = this.#route;
    if (route === null) return 'unknown';
    const now = this.#clock.monotonic();
    const entry = this.#ledger.report(request, route.epoch, now, this.#clock.now());
    if (entry === null) return 'full';
    this.#onReport(request);
    const leaseMs = Math.max(0, Math.min(this.#leaseMs, Math.floor(this.#grantUntilMs - now)));
    if (leaseMs > 0) entry.leaseUntilMs = Math.max(entry.leaseUntilMs, now + leaseMs);
    this.#wake();
    return { route, leaseMs, renewMs: this.#renewMs };
  }

  subscribe(listener: (route: Route) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  routers(): readonly RouterView[] {
    return this.#ledger.views(this.#clock.monotonic());
  }

  withdrawn(epoch: number, signal: AbortSignal): Promise<Withdrawal> {
    const begun = this.#clock.monotonic();
    // Those that held a lease at some time of the wait; a router that was silent before is no news.
    const held = new Set<string>();
    return new Promise((resolve, reject) => {
      let timer = this.#clock.setTimer(0, () => undefined);
      const leave = () => {
        timer.cancel();
        this.#waiters.delete(look);
        signal.removeEventListener('abort', onAbort);
      };
      const onAbort = () => {
        leave();
        reject(signal.reason);
      };
      const look = () => {
        timer.cancel();
        const now = this.#clock.monotonic();
        // Before its publication, every answer would still carry a lower epoch.
        if (this.#route === null || this.#route.epoch < epoch) return;
        const pending = this.#ledger.pending(epoch, now);
        for (const each of pending) held.add(each.router);
        if (pending.length === 0) {
          leave();
          const acknowledged = this.#ledger.acknowledged(epoch);
          const expired = [...held].filter((router) => !acknowledged.includes(router));
          resolve({ acknowledged, expired, tookMs: now - begun });
          return;
        }
        const next = Math.min(...pending.map((each) => each.leaseUntilMs));
        timer = this.#clock.setTimer(Math.ceil(next - now), look);
      };
      if (signal.aborted) {
        reject(signal.reason);
        return;
      }
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiters.add(look);
      look();
    });
  }

  #wake(): void {
    for (const look of [...this.#waiters]) look();
  }
}
