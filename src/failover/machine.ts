/**
 * The failover machine: `(state, event) -> (state, effects)`, pure. It decides what is to be done next; the controller
 * does it and reports back with another event. The table is total: a state without an answer to an event does not
 * compile. What each state means is in SPEC section 7, what is done in which order in docs/decisions/0006-failover.md.
 */
import type { Event, Handler, MachineState, Outcome, Thresholds } from './machine-types.js';
import { TRANSITIONS } from './transitions.js';

export function initialState(): MachineState {
  return {
    state: 'PRIMARY_ACTIVE',
    durable: 'PRIMARY_ACTIVE',
    active: 'primary',
    primaryFailures: 0,
    primarySuccesses: 0,
    secondaryFailures: 0,
    firstFailureAtMs: null,
  };
}

export function step(state: MachineState, event: Event, thresholds: Thresholds): Outcome {
  const counted = event.kind === 'probed' ? count(state, event, thresholds) : state;
  // The row's type ties each handler to its event; indexing by a union loses that.
  const handler = TRANSITIONS[state.state][event.kind] as Handler;
  return handler(counted, event, thresholds);
}

/** Why an order would be refused whatever the guards say; null when it would not. */
export function refusalOf(
  state: MachineState,
  ordered: Omit<Extract<Event, { kind: 'ordered' }>, 'kind'>,
  thresholds: Thresholds,
): string | null {
  const { effects } = step(state, { kind: 'ordered', ...ordered }, thresholds);
  return effects.find((effect) => effect.kind === 'refuse')?.text ?? null;
}

function count(state: MachineState, probe: Extract<Event, { kind: 'probed' }>, { failover }: Thresholds): MachineState {
  const failures = state.primaryFailures + 1;
  return {
    ...state,
    primaryFailures: probe.primary ? 0 : probe.quota ? Math.max(failures, failover) : failures,
    primarySuccesses: probe.primary ? state.primarySuccesses + 1 : 0,
    secondaryFailures: probe.secondary ? 0 : state.secondaryFailures + 1,
    firstFailureAtMs: probe.primary ? null : (state.firstFailureAtMs ?? probe.atMs),
  };
}
