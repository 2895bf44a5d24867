/** The control row's next version, and why it is entered: pure. */
import type { Guard } from '../core/failover.js';
import type { ControlRow } from './control-row.js';
import type { Change } from './control-store.js';
import type { Effect } from './machine-types.js';

type Entering = Extract<Effect, { kind: 'enter' }>;

/** Why the next epochs are entered: for row, history and webhook. */
export interface Intent {
  readonly actor: string;
  readonly reason: string;
  readonly guards: readonly Guard[];
  readonly how: 'crash' | 'switchover' | null;
  /** Monotonic; null: it has no beginning that says anything. */
  readonly begunMs: number | null;
}

/** Nobody ordered it: what follows by itself, or what a restarted controller brings to an end. */
export function automatic(from: ControlRow, to: Entering): Intent {
  const reason =
    from.phase === 'hold'
      ? `carried on after a restart: ${from.reason}`
      : to.state === 'RECOVERING'
        ? from.state === 'READY'
          ? 'the primary is behind again'
          : 'the primary answers again'
        : to.state === 'READY'
          ? 'the primary has everything that was written on the secondary'
          : 'the primary does not answer any more';
  return { actor: 'controller', reason, guards: [], how: null, begunMs: null };
}

/** A failover or failback is given up before its flip. */
export function undoes(from: ControlRow, to: Entering): boolean {
  if (from.phase !== 'hold' || to.phase !== 'open') return false;
  return from.active === 'primary' ? from.state === 'FENCING_PRIMARY' : from.state !== 'FENCING_PRIMARY';
}

const ENDS_A_CHANGE: ReadonlySet<string> = new Set(['PRIMARY_ACTIVE', 'SECONDARY_ACTIVE']);

/** The row's next version. The cool-down begins when a failover, a failback or the undoing of one has ended. */
export function changeOf(
  from: ControlRow,
  to: Entering,
  intent: Intent,
  at: { readonly nowMs: number; readonly monotonic: number },
  graceMs: number,
): Change {
  const ends = from.phase === 'hold' && to.phase === 'open' && ENDS_A_CHANGE.has(to.state);
  const flips = from.active === 'primary' && to.active === 'secondary';
  const { detail } = from;
  return {
    state: to.state,
    active: to.active,
    phase: to.phase,
    graceMs: to.phase === 'hold' && to.active === from.active ? graceMs : 0,
    paused: from.paused,
    actor: intent.actor,
    reason: intent.reason,
    durationMs: intent.begunMs === null ? null : at.monotonic - intent.begunMs,
    guards: intent.guards,
    detail: {
      cooldownFrom: ends ? new Date(at.nowMs).toISOString() : detail.cooldownFrom,
      failoverEpoch: flips ? from.epoch + 1 : to.state === 'PRIMARY_ACTIVE' ? null : detail.failoverEpoch,
      how: intent.how ?? detail.how,
    },
  };
}
