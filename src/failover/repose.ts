/**
 * The controller's part in economy mode: when the primary may be left alone, what is done when it is and when it is not
 * any more, and what routers say of it meanwhile.
 */
import type { Clock } from '../core/clock.js';
import type { PrimaryRest } from '../core/economy.js';
import type { Log } from '../core/log.js';
import type { Changes } from './changes.js';
import type { ControlRow } from './control-row.js';
import type { Event, MachineState } from './machine-types.js';
import type { Observation } from './observation.js';

export interface ControllerRest extends PrimaryRest {
  /** Told whether this controller leads. */
  lead(leads: boolean): void;
}

export interface ReposeParts {
  readonly clock: Clock;
  readonly log: Log;
  /** Whether the primary may be contacted. */
  readonly rest: ControllerRest;
  /** That the primary is used, said to another controller, which leads. */
  readonly tellLeader: () => Promise<void>;
  /** Closes every connection to the primary; the next use opens new ones. */
  readonly letGoOfPrimary: () => Promise<void>;
}

export interface ReposeSituation {
  readonly observation: Observation;
  readonly changes: Changes;
  readonly leads: () => boolean;
  readonly row: () => ControlRow | null;
  readonly machine: () => MachineState;
  /** There is work to do on the primary, or there will be. */
  readonly busy: () => boolean;
  /** The next round of probes is due at once. */
  readonly askNow: () => void;
  readonly post: (event: Event) => Promise<unknown>;
}

const TELL_INTERVAL_MS = 20_000;

export class Repose {
  readonly #parts: ReposeParts;
  readonly #situation: ReposeSituation;
  #beganMs = 0;
  #toldMs = Number.NEGATIVE_INFINITY;
  /** How often others have told of use; null before the first look. */
  #stirred: number | null = null;

  constructor(parts: ReposeParts, situation: ReposeSituation) {
    this.#parts = parts;
    this.#situation = situation;
    parts.rest.addObjection(() => this.#objection());
  }

  /** @returns ends it */
  begin(): () => void {
    return this.#parts.rest.onChange((mode) => this.#onChange(mode));
  }

  get resting(): boolean {
    return this.#parts.rest.mode === 'resting';
  }

  /** What the secondary says: how often others have told of use. */
  told(stirred: number): void {
    if (this.#stirred !== null && stirred > this.#stirred) this.#parts.rest.stir('application');
    this.#stirred = stirred;
  }

  /** Somebody wants something: resolves when both sides have been asked. */
  async wake(): Promise<void> {
    const { changes, leads, observation } = this.#situation;
    const { rest } = this.#parts;
    const { resting } = this;
    const before = observation.asks;
    rest.stir('order');
    if (resting) await changes.until(() => observation.asks > before || !leads());
  }

  heardFailure({ quota, router }: { readonly router: string; readonly quota: boolean }): void {
    const { clock, rest } = this.#parts;
    const { askNow, leads, machine, observation, post } = this.#situation;
    if (!leads() || machine().active !== 'primary') return;
    // While the primary is asked directly, its own answers count; what decides at once is asked for at once.
    if (rest.awake) {
      if (quota && !observation.outOfQuota) askNow();
      return;
    }
    observation.heardFailure(router, quota);
    const secondary = observation.secondary.connected;
    void post({ kind: 'probed', primary: false, secondary, atMs: clock.now() });
  }

  heardOfUse(): void {
    const { clock, log, tellLeader } = this.#parts;
    if (this.#situation.leads() || clock.monotonic() - this.#toldMs < TELL_INTERVAL_MS) return;
    this.#toldMs = clock.monotonic();
    tellLeader().catch((error: unknown) =>
      log.debug({ err: error }, 'The leading controller could not be told of use'),
    );
  }

  /** Why the primary must not be left alone now. */
  #objection(): string | null {
    const { busy, leads, machine, observation, row } = this.#situation;
    const { durable, primaryFailures, state } = machine();
    if (!leads()) return 'no controller leads yet';
    if (state !== 'PRIMARY_ACTIVE' || durable !== 'PRIMARY_ACTIVE' || row()?.phase !== 'open')
      return `the state is ${state}`;
    if (busy()) return 'the controller has work to do there';
    return primaryFailures > 0 || !observation.primary.connected ? 'the last health check failed' : null;
  }

  #onChange(mode: PrimaryRest['mode']): void {
    const { clock, letGoOfPrimary, log } = this.#parts;
    if (mode === 'awake') {
      this.#situation.observation.rested(clock.monotonic() - this.#beganMs);
      this.#situation.askNow();
      return;
    }
    this.#beganMs = clock.monotonic();
    letGoOfPrimary().catch((error: unknown) => log.debug({ err: error }, 'Connections to the primary were cut'));
  }
}
