/**
 * The control row as this process knows it, and how it is moved. What was decided on an outdated row is void: then it is
 * to be read again, and says how to go on.
 */
import type { Clock } from '../core/clock.js';
import type { Order } from '../core/failover.js';
import type { Log } from '../core/log.js';
import type { RouteAuthority } from '../core/route.js';
import type { Announcements } from './announcements.js';
import type { Changes } from './changes.js';
import { type ControlRow, routeOf } from './control-row.js';
import { type ControlStore, OvertakenError } from './control-store.js';
import type { CrashPoint } from './crash-points.js';
import type { Effect } from './machine-types.js';
import { automatic, changeOf, type Intent, undoes } from './next-row.js';
import { notLeading } from './orders.js';

export interface KnownRowParts {
  readonly settings: { readonly graceMs: number };
  readonly clock: Clock;
  readonly log: Log;
  readonly store: ControlStore;
  readonly authority: RouteAuthority;
  readonly crash: CrashPoint;
  readonly said: Announcements;
  readonly changes: Changes;
}

export class KnownRow {
  readonly #parts: KnownRowParts;
  #row: ControlRow | null = null;
  #enteredAtMs = 0;
  /** Somebody else may have moved it. */
  outdated = false;

  constructor(parts: KnownRowParts) {
    this.#parts = parts;
  }

  /** Null before the first look. */
  get seen(): ControlRow | null {
    return this.#row;
  }

  /** @throws RedundancyError `not-leading` before the first look */
  get row(): ControlRow {
    if (!this.#row) throw notLeading();
    return this.#row;
  }

  get epoch(): number {
    return this.#row?.epoch ?? 0;
  }

  /** Monotonic time since which this process has known of the epoch: no lower one was granted by it since. */
  get enteredAtMs(): number {
    return this.#enteredAtMs;
  }

  learn(row: ControlRow): void {
    const { authority, changes, clock } = this.#parts;
    if (row.epoch > this.epoch) {
      this.#enteredAtMs = clock.monotonic();
      if (row.epoch > (authority.route?.epoch ?? 0)) authority.publish(routeOf(row));
    }
    this.#row = row;
    changes.happened();
  }

  /**
   * To the next epoch, as the machine wants it.
   * @param wanted null: it follows by itself
   * @returns false when the row could not be moved
   */
  async enter(effect: Extract<Effect, { kind: 'enter' }>, wanted: Intent | null): Promise<boolean> {
    const { clock, crash, log, said, settings, store } = this.#parts;
    const from = this.row;
    const intent = wanted ?? automatic(from, effect);
    const why = undoes(from, effect) && said.lastAlert ? { ...intent, reason: said.lastAlert } : intent;
    const at = { nowMs: clock.now(), monotonic: clock.monotonic() };
    const change = changeOf(from, effect, why, at, settings.graceMs);
    try {
      crash(`enter:${effect.state}/${effect.active}`);
      const row = await store.advance(from, change);
      crash(`entered:${effect.state}/${effect.active}`);
      this.learn(row);
      said.moved(from, row);
      return true;
    } catch (error) {
      if (!(error instanceof OvertakenError))
        log.error({ err: error, state: effect.state }, `State ${effect.state} could not be entered`);
      this.outdated = true;
      return false;
    }
  }

  async setPaused(paused: boolean, { actor, reason }: Order): Promise<void> {
    const from = this.row;
    const { state, active, phase, graceMs, detail } = from;
    const same = { state, active, phase, graceMs, detail, durationMs: null, guards: [] };
    const row = await this.#parts.store.advance(from, { ...same, paused, actor, reason });
    this.learn(row);
    this.#parts.said.moved(from, row);
  }
}
