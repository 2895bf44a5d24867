import { Backoff } from '../core/backoff.js';
import type { Clock, Timer } from '../core/clock.js';
import { LEASE_RENEW_MS, LEASE_TTL_MS, type LeaseRequest, type Route } from '../core/route.js';
import type { ControlRow } from './control-row.js';
import type { ControllerLink } from './controller-link.js';
import type { Moment, Vouched } from './gate.js';

/** The follower's view of the router. */
export interface Followed {
  /** What is to be said to the controller now. */
  report(): LeaseRequest;
  readonly epoch: number;
  readonly remainingMs: number;
  /** Whether anybody needs the route now; an idle router reads no control row. */
  readonly inUse: boolean;
  moment(): Moment;
  /** A route that somebody told; the router decides whether it is news. */
  heard(route: Route): void;
  /** The present epoch is vouched for during `ms` from `asked`. */
  vouch(by: Vouched, asked: Moment, ms: number): void;
  /** No authority could be reached by an attempt that began at `asked`. */
  unreachable(asked: Moment): void;
  /** The lease request with this content was answered. */
  delivered(request: LeaseRequest): void;
}

export interface FollowerOptions {
  readonly clock: Clock;
  readonly link: ControllerLink;
  /** On the secondary: an authority. */
  readonly controlRow: ControlRow;
  /** On the primary: news only. */
  readonly mirror: ControlRow;
}

const REQUEST_TIMEOUT_MS = 2_000;
/** A lease with less than this left is worth a reading of the control row. */
const SHORT_MS = LEASE_TTL_MS - LEASE_RENEW_MS - 1_000;

export interface FollowerCounters {
  renewals: number;
  renewFailures: number;
  controlRowReads: number;
  mirrorReads: number;
  streamConnections: number;
}

/** Keeps route and lease fresh: the event stream, the lease every few seconds, and the control row in its absence. */
export class Follower {
  readonly counters: FollowerCounters = {
    renewals: 0,
    renewFailures: 0,
    controlRowReads: 0,
    mirrorReads: 0,
    streamConnections: 0,
  };
  readonly #options: FollowerOptions;
  readonly #router: Followed;
  readonly #stopping = new AbortController();
  #running: Promise<void> | null = null;
  #next: Promise<void> | null = null;
  #timer: Timer | null = null;
  #renewMs = LEASE_RENEW_MS;
  #forced = false;
  #started = false;

  constructor(options: FollowerOptions, router: Followed) {
    this.#options = options;
    this.#router = router;
  }

  /** Opens the event stream; the first lease is the caller's to ask for. */
  start(): void {
    if (this.#started || this.#stopping.signal.aborted) return;
    this.#started = true;
    void this.#listen();
  }

  /**
   * Asks the authorities; `forced`: all of them, until one answers. Resolves when an attempt that began after the call
   * is over, with or without success. Never rejects.
   */
  renew(forced = false): Promise<void> {
    this.#forced ||= forced;
    if (this.#running === null) return this.#run();
    this.#next ??= this.#running.then(() => {
      this.#next = null;
      return this.#run();
    });
    return this.#next;
  }

  stop(): void {
    this.#stopping.abort();
    this.#timer?.cancel();
    this.#options.link.close();
    this.#options.controlRow.close();
    this.#options.mirror.close();
  }

  #run(): Promise<void> {
    const forced = this.#forced;
    this.#forced = false;
    this.#timer?.cancel();
    this.#running = this.#attempt(forced).finally(() => {
      this.#running = null;
      if (this.#stopping.signal.aborted) return;
      this.#timer = this.#options.clock.setTimer(this.#renewMs, () => void this.renew());
    });
    return this.#running;
  }

  async #attempt(forced: boolean): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    const begun = this.#router.moment();
    if (await this.#askController()) {
      this.#options.controlRow.close();
      this.#options.mirror.close();
      return;
    }
    const worthIt = forced || (this.#router.inUse && this.#router.remainingMs < SHORT_MS);
    if (!worthIt || this.#stopping.signal.aborted) return;
    if (await this.#readControlRow()) return;
    await this.#readMirror();
    this.#router.unreachable(begun);
  }

  async #askController(): Promise<boolean> {
    const request = this.#router.report();
    const asked = this.#router.moment();
    try {
      const answer = await this.#options.link.lease(request, REQUEST_TIMEOUT_MS);
      this.counters.renewals += 1;
      this.#renewMs = Math.max(20, Math.min(answer.renewMs || LEASE_RENEW_MS, LEASE_RENEW_MS));
      this.#router.heard(answer.route);
      // A stale controller grants leases on a route that is not ours; it counts as silent.
      if (answer.route.epoch !== this.#router.epoch || answer.leaseMs === 0) return false;
      this.#router.delivered(request);
      this.#router.vouch('controller', asked, Math.min(answer.leaseMs, LEASE_TTL_MS));
      return true;
    } catch {
      this.counters.renewFailures += 1;
      return false;
    }
  }

  async #readControlRow(): Promise<boolean> {
    const asked = this.#router.moment();
    try {
      const route = await this.#options.controlRow.read(REQUEST_TIMEOUT_MS);
      this.counters.controlRowReads += 1;
      this.#router.heard(route);
      if (route.epoch !== this.#router.epoch) return false;
      this.#router.vouch('control-row', asked, LEASE_TTL_MS);
      return true;
    } catch {
      return false;
    }
  }

  async #readMirror(): Promise<void> {
    try {
      const route = await this.#options.mirror.read(REQUEST_TIMEOUT_MS);
      this.counters.mirrorReads += 1;
      this.#router.heard(route);
    } catch {
      // It was the last to ask.
    }
  }

  /** The event stream, opened again whenever it ends. The lease request works as polling in the meantime. */
  async #listen(): Promise<void> {
    const { signal } = this.#stopping;
    const backoff = new Backoff({ initialMs: 200, maxMs: 5_000 });
    while (!signal.aborted) {
      this.counters.streamConnections += 1;
      await this.#options.link
        .events((route) => {
          backoff.reset();
          this.#router.heard(route);
        }, signal)
        .catch(() => undefined);
      await this.#options.clock.sleep(backoff.next() + 50, signal).catch(() => undefined);
    }
  }
}
