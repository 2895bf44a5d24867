/**
 * The contract between controller and routers: which database is active, and the lease that lets a router use it.
 * docs/decisions/0005-route-and-lease.md says why it is sound. Durations are milliseconds.
 */
export type Side = 'primary' | 'secondary';

/**
 * - open: routers run queries on `active`;
 * - hold: nothing new is begun on either side. Where `active` is still the router's own side, open transactions may
 *   finish within `graceMs`; on the other side they end at once with the error of the contract.
 */
export type RoutePhase = 'open' | 'hold';

/** One state of the control row, as routers see it. Every change of the row has an epoch of its own, one higher. */
export interface Route {
  readonly epoch: number;
  readonly active: Side;
  readonly phase: RoutePhase;
  /** How long transactions that are open at the beginning of a hold may go on; 0 when `phase` is open. */
  readonly graceMs: number;
  /** ISO 8601; when this epoch began. */
  readonly since: string;
  /** The controller's state, for people: `PRIMARY_ACTIVE`. */
  readonly state: string;
}

/** A lease is valid for so long, reckoned by the router from the moment at which it sent the request (monotonic). */
export const LEASE_TTL_MS = 10_000;
export const LEASE_RENEW_MS = 3_000;

/** What a router saw of one database since its former report; ages count back from the sending of the report. */
export interface SideReport {
  /** Age of the last query that succeeded, of the last write that succeeded, of the last failure to reach it; null: never. */
  readonly okAgoMs: number | null;
  readonly writeOkAgoMs: number | null;
  readonly failedAgoMs: number | null;
  /** Connections that are checked out now. */
  readonly busy: number;
  /** Writes that succeeded, since the router began; absent: none. */
  readonly writes?: number | undefined;
  /** Queries and connections that failed since the last success; absent: none. */
  readonly failures?: number | undefined;
  /** The last failure was the answer that the compute time of the database is used up. */
  readonly quota?: boolean | undefined;
}

/** `POST /api/system/route/lease`. Renews the lease, acknowledges an epoch, and reports. */
export interface LeaseRequest {
  /** Unique per RouterPool: a UUID. */
  readonly router: string;
  /** `application_name` or the like, for people. */
  readonly name: string | null;
  /** The highest epoch that the router acts on; 0 before it knows any. */
  readonly epoch: number;
  /** True when nothing is under way that was begun under a lower epoch. This is the acknowledgement of `epoch`. */
  readonly idle: boolean;
  /** Queries that wait for the end of a hold. */
  readonly waiting: number;
  readonly primary: SideReport;
  readonly secondary: SideReport;
}

/** Its answer. `leaseMs` 0: the route is known, but no lease is granted (the controller has lost its own authority). */
export interface LeaseAnswer {
  readonly route: Route;
  readonly leaseMs: number;
  readonly renewMs: number;
}

/** Only a higher epoch is news: a stale controller, or a mirror that was cut off, is ignored. */
export function isNewer(known: Route | null, candidate: Route): boolean {
  return known === null || candidate.epoch > known.epoch;
}

/** A router as its last report shows it, with times on the authority's clock. */
export interface RouterView {
  readonly router: string;
  readonly name: string | null;
  readonly epoch: number;
  readonly idle: boolean;
  readonly waiting: number;
  /** Monotonic time until which it may believe in a lease. */
  readonly leaseUntilMs: number;
  /** Wall-clock time of the last report, milliseconds since the Unix epoch. */
  readonly seenAtMs: number;
  readonly primary: SideReport;
  readonly secondary: SideReport;
}

/** What the controller holds in its hand; `src/authority` implements it, HTTP serves it. */
export interface RouteAuthority {
  /** Null before the control row was read. */
  readonly route: Route | null;
  /** Published to all routers at once. An epoch that is not higher than the published one is refused with a RangeError. */
  publish(route: Route): void;
  /**
   * Leases are granted only before this monotonic time, and end with it: the controller's own authority (its lease in
   * the control row) may end then. 0 grants none.
   */
  grantUntil(monotonicMs: number): void;
  /**
   * Resolves when no router can act on an epoch below `epoch` any more: each has acknowledged it as idle, or its lease
   * has run out. Rejects with the signal's reason.
   */
  withdrawn(epoch: number, signal: AbortSignal): Promise<Withdrawal>;
  /** Routers seen in the last minutes. */
  routers(): readonly RouterView[];
}

export interface Withdrawal {
  readonly acknowledged: readonly string[];
  /** Silent ones, whose lease has run out. */
  readonly expired: readonly string[];
  readonly tookMs: number;
}
