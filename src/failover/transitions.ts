/** The transition table. Every state answers every event; `stay` says that nothing follows from it. */
import type { DurableState, FailoverState, ObservedState } from '../core/failover.js';
import type { RoutePhase, Side } from '../core/route.js';
import type {
  Effect,
  Event,
  Handler,
  MachineState,
  Outcome,
  Row,
  Step,
  Thresholds,
  Transitions,
} from './machine-types.js';

type Probed = Extract<Event, { kind: 'probed' }>;
type Done = Extract<Event, { kind: 'done' }>;
type Failed = Extract<Event, { kind: 'failed' }>;

const stay: Handler = (state) => ({ state, effects: [] });

function observe(state: MachineState, to: ObservedState | DurableState, ...effects: Effect[]): Outcome {
  return { state: { ...state, state: to }, effects };
}

function enter(
  state: MachineState,
  to: DurableState,
  active: Side,
  phase: RoutePhase,
  ...effects: readonly Effect[]
): Outcome {
  return {
    state: { ...state, state: to, durable: to, active },
    effects: [{ kind: 'enter', state: to, active, phase }, ...effects],
  };
}

const run = (name: Step): Effect => ({ kind: 'step', step: name });
const CANCEL: Effect = { kind: 'cancel' };
const JUDGE_FAILOVER: Effect = { kind: 'judge', what: 'failover' };
const JUDGE_FAILBACK: Effect = { kind: 'judge', what: 'failback' };
const alert = (text: string): Effect => ({ kind: 'alert', text });

const BOTH_DOWN =
  'Neither database answers. Look at both dashboards; the controller goes on by itself when the active one is back.';
const ACTIVE_DOWN =
  'The secondary is active and does not answer, and the primary does not have what was written there. Bring the secondary back: the controller goes on by itself when it answers.';

/** What a controller does that finds the row in some state: goes on with what was begun, or undoes it. */
const adopted: Handler<Extract<Event, { kind: 'adopted' }>> = (state, { state: found, active }) => {
  const next = { ...state, state: found as FailoverState, durable: found, active };
  const settle = (name: Step): Outcome => ({ state: next, effects: [CANCEL, run(name)] });
  switch (found) {
    case 'PRIMARY_ACTIVE':
      return settle('settle-primary');
    case 'FENCING_PRIMARY':
      // Before the flip a switchover is undone, after it a failover is carried through.
      return settle(active === 'primary' ? 'reopen-primary' : 'promote');
    case 'SECONDARY_ACTIVE':
      return settle('settle-secondary');
    case 'RECOVERING':
    case 'READY':
      return {
        state: { ...next, state: 'RECOVERING' },
        effects: [CANCEL, run('settle-secondary'), run('recover')],
      };
    case 'FENCING_SECONDARY':
      return settle('reopen-secondary');
    case 'DRAINING':
      return settle(active === 'primary' ? 'open-primary' : 'reopen-secondary');
  }
};

const refuse =
  (text: string): Handler =>
  (state) => ({ state, effects: [{ kind: 'refuse', text }] });

function primaryFailing(state: MachineState, _probe: Probed, { failover }: Thresholds): Outcome {
  if (state.primaryFailures === 0) return observe(state, 'PRIMARY_ACTIVE');
  if (state.primaryFailures < failover) return observe(state, 'SUSPECT');
  if (state.secondaryFailures > 0) return observe(state, 'MANUAL_REQUIRED', alert(BOTH_DOWN));
  return observe(state, 'GUARD', JUDGE_FAILOVER);
}

const judgedFailover: Handler<Extract<Event, { kind: 'judged' }>> = (state, { ok, refusals }) =>
  ok
    ? enter(state, 'FENCING_PRIMARY', 'secondary', 'hold', CANCEL, run('promote'))
    : observe(state, 'PRIMARY_DOWN_HELD', alert(`The primary does not answer and no failover is made: ${refusals}`));

const orderedFailover: Handler<Extract<Event, { kind: 'ordered' }>> = (state, { verb, how }) => {
  if (verb === 'failback') return { state, effects: [{ kind: 'refuse', text: 'The primary is active already.' }] };
  return how === 'switchover'
    ? enter(state, 'FENCING_PRIMARY', 'primary', 'hold', CANCEL, run('close-primary'))
    : enter(state, 'FENCING_PRIMARY', 'secondary', 'hold', CANCEL, run('promote'));
};

/** While the secondary is active: its own loss is nobody's to decide, the primary's loss ends a recovery. */
function secondaryActive(state: MachineState, { failover }: Thresholds): Outcome | null {
  if (state.secondaryFailures < failover) return null;
  return observe(state, 'MANUAL_REQUIRED', alert(state.primaryFailures > 0 ? BOTH_DOWN : ACTIVE_DOWN));
}

function recovering(state: MachineState, thresholds: Thresholds): Outcome | null {
  const down = secondaryActive(state, thresholds);
  if (down) return down;
  if (state.primaryFailures < thresholds.failover) return null;
  return enter(state, 'SECONDARY_ACTIVE', 'secondary', 'open', CANCEL, { kind: 'primary-lost' });
}

/** Work that belongs to a state of the row; the failure of any other is of the past. */
const BELONGS: Readonly<Record<DurableState, readonly Step[]>> = {
  PRIMARY_ACTIVE: ['settle-primary'],
  FENCING_PRIMARY: ['close-primary', 'promote', 'reopen-primary'],
  SECONDARY_ACTIVE: ['settle-secondary'],
  RECOVERING: ['settle-secondary', 'recover'],
  READY: ['settle-secondary', 'recover'],
  FENCING_SECONDARY: ['close-secondary', 'reopen-secondary'],
  DRAINING: ['drain', 'open-primary', 'reopen-secondary'],
};
/** Nobody waits for these: they are tried again without a word. */
const QUIET: ReadonlySet<Step> = new Set(['settle-primary', 'settle-secondary', 'recover']);

/** Steps that must come to an end, whatever it takes: tried again, after a pause that the controller makes. */
const again: Handler<Failed> = (state, { step, reason }) => {
  if (!BELONGS[state.durable].includes(step)) return { state, effects: [] };
  const retry = run(step);
  return { state, effects: QUIET.has(step) ? [retry] : [alert(`${step} failed and is tried again: ${reason}`), retry] };
};

const primaryUp: Omit<Row, 'probed' | 'judged'> = {
  ordered: orderedFailover,
  done: stay,
  failed: again,
  progressed: stay,
  adopted,
};
const secondaryUp: Pick<Row, 'judged' | 'done' | 'failed' | 'adopted'> = {
  judged: stay,
  done: stay,
  failed: again,
  adopted,
};
const busy = refuse('A failover or failback is under way.');

const undoSwitchover: Handler<Failed> = (state, event, thresholds) =>
  event.step === 'close-primary' && state.active === 'primary'
    ? { state, effects: [alert(`The switchover is undone: ${event.reason}`), run('reopen-primary')] }
    : again(state, event, thresholds);

/** Before the flip and after it other work counts: what ends late, on the wrong side of it, opens nothing. */
const fencingPrimaryDone: Handler<Done> = (state, { step: done }) => {
  if (state.active === 'secondary') {
    return done === 'promote'
      ? enter(state, 'SECONDARY_ACTIVE', 'secondary', 'open', run('settle-secondary'))
      : { state, effects: [] };
  }
  if (done === 'close-primary') return enter(state, 'FENCING_PRIMARY', 'secondary', 'hold', run('promote'));
  if (done === 'reopen-primary') return enter(state, 'PRIMARY_ACTIVE', 'primary', 'open', run('settle-primary'));
  return { state, effects: [] };
};

function failedAgain(
  state: MachineState,
  { ok }: Extract<Event, { kind: 'judged' }>,
  _thresholds: Thresholds,
): Outcome {
  if (!ok || state.active !== 'primary') return { state, effects: [] };
  return enter(state, 'FENCING_PRIMARY', 'secondary', 'hold', CANCEL, run('promote'));
}

const undoFailback: Handler<Failed> = (state, event, thresholds) =>
  state.active === 'secondary' && (event.step === 'close-secondary' || event.step === 'drain')
    ? { state, effects: [alert(`The failback is undone: ${event.reason}`), run('reopen-secondary')] }
    : again(state, event, thresholds);

const reopened: Handler<Done> = (state, { step: done }) =>
  done === 'reopen-secondary'
    ? enter(state, 'SECONDARY_ACTIVE', 'secondary', 'open', run('settle-secondary'))
    : { state, effects: [] };

export const TRANSITIONS: Transitions = {
  PRIMARY_ACTIVE: { ...primaryUp, probed: primaryFailing, judged: stay },
  SUSPECT: { ...primaryUp, probed: primaryFailing, judged: stay },
  GUARD: {
    ...primaryUp,
    // The guards are being judged; a primary that answers meanwhile settles it.
    probed: (state) => (state.primaryFailures === 0 ? observe(state, 'PRIMARY_ACTIVE') : { state, effects: [] }),
    judged: judgedFailover,
  },
  PRIMARY_DOWN_HELD: {
    ...primaryUp,
    probed: primaryFailingHeld,
    judged: (state, event, thresholds) =>
      event.ok ? judgedFailover(state, event, thresholds) : { state, effects: [] },
  },
  FENCING_PRIMARY: {
    probed: (state, _probe, thresholds) =>
      // Nothing can be written, neither the row nor the data: a person has to know. The row says where to go on.
      state.active === 'secondary' && state.secondaryFailures >= thresholds.failover
        ? observe(state, 'MANUAL_REQUIRED', CANCEL, alert(BOTH_DOWN))
        : switchoverProbed(state, thresholds),
    judged: (state, { ok }) =>
      ok && state.active === 'primary'
        ? enter(state, 'FENCING_PRIMARY', 'secondary', 'hold', CANCEL, run('promote'))
        : { state, effects: [] },
    ordered: busy,
    done: fencingPrimaryDone,
    failed: undoSwitchover,
    progressed: stay,
    adopted,
  },
  SECONDARY_ACTIVE: {
    ...secondaryUp,
    probed: (state, _probe, thresholds) =>
      secondaryActive(state, thresholds) ??
      (state.primaryFailures === 0
        ? enter(state, 'RECOVERING', 'secondary', 'open', run('recover'))
        : { state, effects: [] }),
    ordered: (state, { verb }) => ({
      state,
      effects: [
        {
          kind: 'refuse',
          text: verb === 'failover' ? 'The secondary is active already.' : 'The primary does not answer.',
        },
      ],
    }),
    progressed: stay,
  },
  RECOVERING: {
    ...secondaryUp,
    probed: (state, _probe, thresholds) => recovering(state, thresholds) ?? { state, effects: [] },
    ordered: (state, { verb }) => ({
      state,
      effects: [
        {
          kind: 'refuse',
          text:
            verb === 'failover'
              ? 'The secondary is active already.'
              : 'The primary has not got everything yet that was written on the secondary.',
        },
      ],
    }),
    progressed: (state, { ready }) =>
      ready ? enter(state, 'READY', 'secondary', 'open', JUDGE_FAILBACK) : { state, effects: [] },
  },
  READY: {
    ...secondaryUp,
    probed: (state, _probe, thresholds) => recovering(state, thresholds) ?? { state, effects: [JUDGE_FAILBACK] },
    judged: (state, { ok }, { failback }) =>
      ok && state.primarySuccesses >= failback
        ? enter(state, 'FENCING_SECONDARY', 'secondary', 'hold', CANCEL, run('close-secondary'))
        : { state, effects: [] },
    ordered: (state, { verb }) =>
      verb === 'failback'
        ? enter(state, 'FENCING_SECONDARY', 'secondary', 'hold', CANCEL, run('close-secondary'))
        : { state, effects: [{ kind: 'refuse', text: 'The secondary is active already.' }] },
    progressed: (state, { ready }) =>
      ready ? { state, effects: [] } : enter(state, 'RECOVERING', 'secondary', 'open'),
  },
  FENCING_SECONDARY: {
    probed: failbackProbed,
    judged: stay,
    ordered: busy,
    done: (state, event, thresholds) =>
      event.step === 'close-secondary'
        ? enter(state, 'DRAINING', 'secondary', 'hold', run('drain'))
        : reopened(state, event, thresholds),
    failed: undoFailback,
    progressed: stay,
    adopted,
  },
  DRAINING: {
    probed: failbackProbed,
    judged: failedAgain,
    ordered: (state, event, thresholds) =>
      state.active === 'primary' && event.verb === 'failover'
        ? failedAgain(state, { kind: 'judged', ok: true, refusals: '' }, thresholds)
        : busy(state, event, thresholds),
    done: (state, event, thresholds) => {
      if (state.active === 'primary') {
        return event.step === 'open-primary'
          ? enter(state, 'PRIMARY_ACTIVE', 'primary', 'open', run('settle-primary'))
          : { state, effects: [] };
      }
      // The flip: from here on the secondary is not opened again, whatever happens to this process.
      if (event.step === 'drain') return enter(state, 'DRAINING', 'primary', 'hold', run('open-primary'));
      return reopened(state, event, thresholds);
    },
    failed: undoFailback,
    progressed: stay,
    adopted,
  },
  MANUAL_REQUIRED: {
    probed: (state, probe, thresholds) => {
      if (state.active === 'secondary' || state.durable !== 'PRIMARY_ACTIVE') {
        return probe.secondary ? { state, effects: [{ kind: 'readopt' }] } : { state, effects: [] };
      }
      return probe.primary || probe.secondary ? primaryFailing(state, probe, thresholds) : { state, effects: [] };
    },
    judged: stay,
    ordered: (state, event, thresholds) =>
      state.active === 'primary'
        ? orderedFailover(state, event, thresholds)
        : { state, effects: [{ kind: 'refuse', text: ACTIVE_DOWN }] },
    done: stay,
    failed: stay,
    progressed: stay,
    adopted,
  },
};

/** The primary died in the middle of a planned switchover: from here on it is an ordinary failover, or none. */
function switchoverProbed(state: MachineState, { failover }: Thresholds): Outcome {
  const died = state.active === 'primary' && state.primaryFailures >= failover && state.secondaryFailures === 0;
  return { state, effects: died ? [JUDGE_FAILOVER] : [] };
}

/** Held: looked at again at each probe, since a guard may hold by now. The alert was given once. */
function primaryFailingHeld(state: MachineState, probe: Probed, thresholds: Thresholds): Outcome {
  if (state.primaryFailures === 0 || state.secondaryFailures > 0) return primaryFailing(state, probe, thresholds);
  return { state, effects: [JUDGE_FAILOVER] };
}

/** A failback before its flip is given up at once when the primary goes away: the hold must not last. */
function failbackProbed(state: MachineState, _probe: Probed, thresholds: Thresholds): Outcome {
  if (state.active !== 'secondary') {
    // The flip is done, the primary has everything, and is gone before it was opened: the secondary has everything too.
    const died = state.primaryFailures >= thresholds.failover && state.secondaryFailures === 0;
    return { state, effects: died ? [JUDGE_FAILOVER] : [] };
  }
  if (state.secondaryFailures >= thresholds.failover) {
    return observe(state, 'MANUAL_REQUIRED', CANCEL, alert(state.primaryFailures > 0 ? BOTH_DOWN : ACTIVE_DOWN));
  }
  if (state.primaryFailures > 0 && state.secondaryFailures === 0) {
    return {
      state,
      effects: [CANCEL, alert('The failback is undone: the primary does not answer any more'), run('reopen-secondary')],
    };
  }
  return { state, effects: [] };
}
