import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import type { PoolConfig } from 'pg';
import { type Clock, systemClock, type Timer } from '../core/clock.js';
import { LEASE_TTL_MS, type LeaseRequest, type Route, type Side } from '../core/route.js';
import { type Activities, SideActivity } from './activity.js';
import { backgroundClock } from './background-clock.js';
import type { RoutedClient } from './client.js';
import { Connections } from './connections.js';
import { ControlRow } from './control-row.js';
import { ControllerLink } from './controller-link.js';
import { AuthorityLostError, HoldTimeoutError, type RouterError } from './errors.js';
import { type Followed, Follower } from './follower.js';
import { Gate, type Moment, type Vouched } from './gate.js';
import { newCounters, type RouterCounters, type RouterMetrics } from './metrics.js';
import { type CheckedOptions, checkOptions, type RouterClocks, type RouterOptions } from './options.js';
import { warnOfSecondPg } from './pg-copies.js';
import { requireKnownPg } from './pg-internals.js';

/** A pool whose connections this router leads. */
export interface RoutedPool {
  /** From now on connections are made to `side`; idle ones to the other are closed. */
  enter(side: Side): void;
  /** A hold begins: from now on the time of those who wait is counted. */
  hold(): void;
  /** Those who wait may have a connection now. */
  resume(): void;
  readonly waitingCount: number;
}

export interface SwitchEvent {
  readonly from: Side;
  readonly to: Side;
  readonly route: Route;
}

interface RouterEvents {
  switch: [SwitchEvent];
  hold: [Route];
  release: [Route];
  /** Queries may run again: after a hold, or after an authority was found. */
  open: [];
}

/** An application that used the pool so recently counts as using it: it keeps reading the control row when it must. */
const IN_USE_MS = 2 * LEASE_TTL_MS;

/**
 * Joins the gate (what is known), the follower (how it is learned) and the connections (what it means for them). One
 * per pool, or one per `createPgModule`, shared by all of its pools and clients.
 */
export class Router extends EventEmitter<RouterEvents> implements Followed {
  readonly options: CheckedOptions;
  readonly gate: Gate;
  readonly activity: Activities;
  readonly counters: RouterCounters = newCounters();
  /** Whether the controller still waits to hear that nothing of a lower epoch is under way. Read per answer. */
  awaitsIdle = false;
  readonly #id = randomUUID();
  readonly #clock: Clock;
  readonly #background: Clock;
  readonly #connections: Connections;
  readonly #pools = new Set<RoutedPool>();
  readonly #follower: Follower | null;
  #graceTimer: Timer | null = null;
  #refreshing: Promise<void> | null = null;
  #lastOpen: Side | null = null;
  #acknowledged = 0;
  #usedMs = Number.NEGATIVE_INFINITY;

  constructor(options: RouterOptions, clocks: RouterClocks = { clock: systemClock, background: backgroundClock }) {
    super();
    requireKnownPg();
    this.options = checkOptions(options);
    this.#clock = clocks.clock;
    this.#background = clocks.background;
    this.gate = new Gate(this.#clock);
    // When what came with the news is read as well: the report should say that the connection is free again.
    const stirred = () => void setImmediate(() => this.#follower?.renew());
    this.activity = {
      primary: new SideActivity(this.#clock, stirred),
      secondary: new SideActivity(this.#clock, stirred),
    };
    this.#connections = new Connections(this.#clock, this.options.holdTimeoutMs, (waitedMs) => this.refusal(waitedMs));
    const { controllerUrl, token, stream, primary, secondary } = this.options;
    if (controllerUrl === null) {
      this.#follower = null;
      this.gate.openSide = 'primary';
      this.gate.extend('none', { monotonicMs: 0, wallMs: 0 }, Number.POSITIVE_INFINITY);
      return;
    }
    warnOfSecondPg();
    this.#follower = new Follower(
      {
        clock: this.#background,
        link: new ControllerLink(controllerUrl, token),
        controlRow: new ControlRow(secondary, stream),
        mirror: new ControlRow(primary, stream),
      },
      this,
    );
  }

  get follows(): boolean {
    return this.#follower !== null;
  }

  /** Where new connections go. */
  get side(): Side {
    return this.gate.route?.active ?? 'primary';
  }

  /** Whether a query may begin now; a router that was not asked before begins to follow the route. */
  get open(): boolean {
    if (this.gate.open) return true;
    this.lapsed();
    return false;
  }

  configOf(side: Side): PoolConfig {
    return this.options[side];
  }

  addPool(pool: RoutedPool): void {
    this.#pools.add(pool);
    if (this.gate.route !== null) pool.enter(this.side);
  }

  removePool(pool: RoutedPool): void {
    this.#pools.delete(pool);
  }

  add(client: RoutedClient): void {
    this.#connections.add(client);
  }

  remove(client: RoutedClient): void {
    this.#connections.remove(client);
  }

  /** A statement waits on its connection for the end of a hold, or for a lease. */
  hold(client: RoutedClient): void {
    this.#connections.hold(client);
    if (this.gate.remainingMs <= 0) this.lapsed();
  }

  /** A connection was lost; `error` where that ended something. */
  lost(client: RoutedClient, error: Error | null): void {
    this.#connections.unhold(client);
    const code = (error as Partial<RouterError> | null)?.code;
    if (code === '40001') this.counters.transactionsLost += 1;
    if (code === '40003') this.counters.outcomesUnknown += 1;
  }

  flipped(): Error {
    return new Error('The active database is being switched');
  }

  /** Why a query that has waited for so long is refused. */
  refusal(waitedMs: number): RouterError {
    this.counters.holdTimeouts += 1;
    const known = this.gate.route !== null && this.gate.remainingMs > 0;
    return known || this.gate.route?.phase === 'hold'
      ? new HoldTimeoutError(this.gate.route?.active ?? null, waitedMs)
      : new AuthorityLostError(this.gate.route?.active ?? null, waitedMs);
  }

  /** Nothing vouches for the route: ask, and let all who wait go on when an authority answers. */
  lapsed(): void {
    if (this.gate.remainingMs > 0) return;
    void this.refresh();
  }

  /** Asks all authorities. Resolves when an attempt that began after the call is over. */
  refresh(): Promise<void> {
    if (this.#follower === null) return Promise.resolve();
    this.#usedMs = this.#clock.monotonic();
    this.#follower.start();
    this.#refreshing ??= this.#follower.renew(true).finally(() => {
      this.#refreshing = null;
      // Held back by a lease that has ended meanwhile: those who still wait ask again, until their own time is over.
      if (this.#waiting > 0 && this.gate.remainingMs <= 0) {
        this.#background.setTimer(200, () => this.lapsed());
      }
    });
    return this.#refreshing;
  }

  /** A connection became idle while the controller waits for that. */
  settled(): void {
    if (this.awaitsIdle && this.#connections.idleBelow(this.epoch)) void this.#follower?.renew();
  }

  close(): void {
    this.#follower?.stop();
    this.#connections.close();
    this.#graceTimer?.cancel();
  }

  metrics(): RouterMetrics {
    const { route, vouched, remainingMs } = this.gate;
    const lease = Number.isFinite(remainingMs) ? Math.max(0, Math.round(remainingMs)) : null;
    return {
      route,
      vouched,
      leaseRemainingMs: lease,
      waiting: this.#waiting,
      busy: { primary: this.#connections.busyOn('primary'), secondary: this.#connections.busyOn('secondary') },
      connections: this.#connections.count,
      ...this.counters,
      ...(this.#follower?.counters ?? {}),
    };
  }

  // What the follower asks and tells.

  get epoch(): number {
    return this.gate.epoch;
  }

  get remainingMs(): number {
    return this.gate.remainingMs;
  }

  get inUse(): boolean {
    const last = Math.max(this.#usedMs, this.activity.primary.okMs, this.activity.secondary.okMs);
    return this.#waiting > 0 || this.#clock.monotonic() - last < IN_USE_MS || this.#connections.busy;
  }

  moment(): Moment {
    return this.gate.moment();
  }

  report(): LeaseRequest {
    return {
      router: this.#id,
      name: this.options.name,
      epoch: Math.max(0, this.gate.epoch),
      idle: this.#connections.idleBelow(this.epoch),
      waiting: this.#waiting,
      primary: this.activity.primary.report(this.#connections.busyOn('primary')),
      secondary: this.activity.secondary.report(this.#connections.busyOn('secondary')),
    };
  }

  delivered(request: LeaseRequest): void {
    if (request.idle) this.#acknowledged = Math.max(this.#acknowledged, request.epoch);
    this.awaitsIdle = this.#acknowledged < this.gate.epoch;
  }

  vouch(by: Vouched, asked: Moment, ms: number): void {
    this.gate.extend(by, asked, ms);
    this.#wake();
  }

  unreachable(asked: Moment): void {
    if (!this.options.trust) {
      if (this.gate.remainingMs <= 0) this.gate.vouched = 'none';
      return;
    }
    // Before any route is known, the primary is what an application without this package would use.
    if (this.gate.route === null) this.#enter(UNKNOWN_ROUTE);
    this.gate.extend('trust', asked, LEASE_TTL_MS);
    this.#wake();
  }

  heard(route: Route): void {
    const change = this.gate.apply(route);
    if (change === null) {
      if (route.epoch < this.gate.epoch) this.counters.staleRoutes += 1;
      return;
    }
    this.awaitsIdle = true;
    this.#enter(route);
    void this.#follower?.renew();
  }

  /** Connections follow the route: the pools first, so that what is idle closes quietly. */
  #enter(route: Route): void {
    if (this.gate.route === null) this.gate.apply(route);
    this.#graceTimer?.cancel();
    this.#graceTimer = null;
    for (const pool of this.#pools) pool.enter(route.active);
    this.#connections.cut(this.flipped(), (client) => client.side !== route.active);
    if (route.phase === 'hold') {
      this.counters.holds += 1;
      this.#graceTimer = this.#background.setTimer(route.graceMs, () => this.#endGrace(route));
      for (const pool of this.#pools) pool.hold();
      this.#tell('hold', route);
      return;
    }
    const from = this.#lastOpen;
    this.#lastOpen = route.active;
    if (from !== null && from !== route.active) {
      this.counters.switches += 1;
      this.#tell('switch', { from, to: route.active, route });
    }
    this.#tell('release', route);
    this.#wake();
  }

  /** Apart from the flip itself, which a listener that throws must not stop halfway. */
  #tell(event: keyof RouterEvents, detail: Route | SwitchEvent): void {
    process.nextTick(() => (this as EventEmitter).emit(event, detail));
  }

  #endGrace(route: Route): void {
    if (this.gate.route !== route) return;
    this.#connections.cut(this.flipped(), (client) => client.busy);
  }

  #wake(): void {
    this.#connections.wake((client) => this.gate.judge(client.side, client.inTransaction) !== 'wait');
    if (!this.gate.open) return;
    for (const pool of this.#pools) pool.resume();
    if (this.listenerCount('open') > 0) this.emit('open');
  }

  get #waiting(): number {
    let count = this.#connections.held;
    for (const pool of this.#pools) count += this.gate.open ? 0 : pool.waitingCount;
    return count;
  }
}

/** What a router goes by when it never reached an authority and trusts. Any real epoch is higher. */
const UNKNOWN_ROUTE: Route = {
  epoch: -1,
  active: 'primary',
  phase: 'open',
  graceMs: 0,
  since: new Date(0).toISOString(),
  state: 'UNKNOWN',
};
