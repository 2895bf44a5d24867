/** What the failover machine is made of: states, events, effects, and the shape of its table. */
import type { DurableState, FailoverState } from '../core/failover.js';
import type { RoutePhase, Side } from '../core/route.js';

export interface MachineState {
  readonly state: FailoverState;
  /** The state of the control row: what a restart would find. */
  readonly durable: DurableState;
  /** The control row's active side: in FENCING_PRIMARY and DRAINING it tells before from after the point of no return. */
  readonly active: Side;
  readonly primaryFailures: number;
  readonly primarySuccesses: number;
  readonly secondaryFailures: number;
  /** Wall clock of the first of the present failures of the primary: later writes there speak against a failover. */
  readonly firstFailureAtMs: number | null;
}

export interface Thresholds {
  readonly failover: number;
  readonly failback: number;
}

export type Event =
  | {
      readonly kind: 'probed';
      readonly primary: boolean;
      readonly secondary: boolean;
      readonly atMs: number;
      /** The primary answers that its compute time is used up: as good as every failure that is still missing. */
      readonly quota?: boolean;
    }
  /** Guards of an automatic failover (GUARD, PRIMARY_DOWN_HELD) or failback (READY). */
  | { readonly kind: 'judged'; readonly ok: boolean; readonly refusals: string }
  | { readonly kind: 'ordered'; readonly verb: 'failover' | 'failback'; readonly how: 'crash' | 'switchover' }
  /** The step that an effect began has ended. */
  | { readonly kind: 'done'; readonly step: Step }
  | { readonly kind: 'failed'; readonly step: Step; readonly reason: string }
  | { readonly kind: 'progressed'; readonly ready: boolean }
  /** The control row as it was read: at the start, at a change of leadership, when somebody else moved it. */
  | { readonly kind: 'adopted'; readonly state: DurableState; readonly active: Side };

/**
 * Work between two epochs; each may be begun again at any time.
 * - close-primary: withdraw, fence the primary, drain the stream (switchover, before the flip)
 * - promote: everything from the flip to the opening of the secondary
 * - reopen-primary: undo close-primary
 * - settle-primary, settle-secondary: what must hold while that side is active
 * - recover: fence the returned primary, merge the tail, copy
 * - close-secondary, drain, reopen-secondary: failback up to its flip, and its undo
 * - open-primary: the failback's flip is done: lift the primary's fence
 */
export type Step =
  | 'close-primary'
  | 'promote'
  | 'reopen-primary'
  | 'settle-primary'
  | 'settle-secondary'
  | 'recover'
  | 'close-secondary'
  | 'drain'
  | 'reopen-secondary'
  | 'open-primary';

export type Effect =
  /** Compare-and-set of the control row to its next epoch, with history and publication. Always first. */
  | { readonly kind: 'enter'; readonly state: DurableState; readonly active: Side; readonly phase: RoutePhase }
  | { readonly kind: 'step'; readonly step: Step }
  /** Ends the step that is under way. */
  | { readonly kind: 'cancel' }
  | { readonly kind: 'judge'; readonly what: 'failover' | 'failback' }
  /** The primary went away during recovery. */
  | { readonly kind: 'primary-lost' }
  /** Reads the control row again: the side that holds it answers again. */
  | { readonly kind: 'readopt' }
  | { readonly kind: 'alert'; readonly text: string }
  | { readonly kind: 'refuse'; readonly text: string };

export interface Outcome {
  readonly state: MachineState;
  readonly effects: readonly Effect[];
}

export type Handler<E extends Event = Event> = (state: MachineState, event: E, thresholds: Thresholds) => Outcome;

export type Row = { readonly [K in Event['kind']]: Handler<Extract<Event, { kind: K }>> };
export type Transitions = { readonly [S in FailoverState]: Row };
