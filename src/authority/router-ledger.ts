import type { LeaseRequest, RouterView } from '../core/route.js';

/** What the authority knows of one router; times are monotonic. */
export interface RouterEntry {
  readonly router: string;
  /** The highest epoch that it has acknowledged as idle: nothing below it is under way there, nor ever again. */
  acknowledged: number;
  /** End of the longest lease that was granted to it. */
  leaseUntilMs: number;
  seenMs: number;
  seenAtMs: number;
  report: LeaseRequest;
}

/** Routers beyond this are refused: a real installation has some dozen, a flood must not fill the memory. */
export const MOST_ROUTERS = 10_000;
/** A silent router is kept for people to see, well beyond the end of its lease. */
const FORGET_MS = 300_000;

/**
 * Routers by their identifier. Reports of one router may arrive in another order than they were sent; so an
 * acknowledgement is never taken back, and a lease is never shortened.
 */
export class RouterLedger {
  readonly #entries = new Map<string, RouterEntry>();

  /** Null when there is no room for a new router. `epoch`: of the route that the answer carries. */
  report(request: LeaseRequest, epoch: number, nowMs: number, wallMs: number): RouterEntry | null {
    let entry = this.#entries.get(request.router);
    if (entry === undefined) {
      this.#forget(nowMs);
      if (this.#entries.size >= MOST_ROUTERS) return null;
      // A router that knows no route yet has begun nothing, and what it begins it begins under this answer's epoch.
      const fresh = request.epoch === 0 && request.idle;
      entry = {
        router: request.router,
        acknowledged: fresh ? epoch : 0,
        leaseUntilMs: Number.NEGATIVE_INFINITY,
        seenMs: nowMs,
        seenAtMs: wallMs,
        report: request,
      };
      this.#entries.set(request.router, entry);
    }
    if (request.idle) entry.acknowledged = Math.max(entry.acknowledged, request.epoch);
    // A report that was overtaken by a later one says nothing new about the epoch.
    if (request.epoch >= entry.report.epoch) entry.report = request;
    entry.seenMs = nowMs;
    entry.seenAtMs = wallMs;
    return entry;
  }

  /** Those that may still act on an epoch below `epoch`. */
  pending(epoch: number, nowMs: number): RouterEntry[] {
    return [...this.#entries.values()].filter((each) => each.acknowledged < epoch && each.leaseUntilMs > nowMs);
  }

  acknowledged(epoch: number): string[] {
    return [...this.#entries.values()].filter((each) => each.acknowledged >= epoch).map((each) => each.router);
  }

  views(nowMs: number): RouterView[] {
    this.#forget(nowMs);
    return [...this.#entries.values()].map(({ router, report, leaseUntilMs, seenAtMs }) => ({
      router,
      name: report.name,
      epoch: report.epoch,
      idle: report.idle,
      waiting: report.waiting,
      leaseUntilMs,
      seenAtMs,
      primary: report.primary,
      secondary: report.secondary,
    }));
  }

  #forget(nowMs: number): void {
    for (const [router, entry] of this.#entries) {
      if (nowMs - entry.seenMs > FORGET_MS && entry.leaseUntilMs <= nowMs) this.#entries.delete(router);
    }
  }
}
