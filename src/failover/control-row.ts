/** The control row as a value, and the route that routers make of it. */
import { DURABLE_STATES, type DurableState } from '../core/failover.js';
import type { Route, RoutePhase, Side } from '../core/route.js';
import type { TextRow } from './database.js';

/** What the row carries beside the columns; kept as text in `detail`. */
export interface ControlDetail {
  /** Of the deployment: a file or mirror of another one is not news about this one. */
  readonly id: string;
  /** When the active side last changed, or a change was undone: the cool-down counts from here. Null: never. */
  readonly cooldownFrom: string | null;
  /** Epoch of the flip to the secondary, while that is active. */
  readonly failoverEpoch: number | null;
  readonly how: 'crash' | 'switchover' | null;
  /** Of the change itself: tells whether one whose answer was lost has been made. */
  readonly nonce: string;
}

export interface ControlRow {
  readonly epoch: number;
  readonly state: DurableState;
  readonly active: Side;
  readonly phase: RoutePhase;
  readonly graceMs: number;
  readonly paused: boolean;
  readonly since: string;
  readonly actor: string;
  readonly reason: string;
  readonly detail: ControlDetail;
}

export const CONTROL_COLUMNS =
  'epoch::text, state, active, phase, grace_ms::text, paused::text, since::text, actor, reason, detail';

/** Null when the row is not one of ours in its present form: a state of a later version. */
export function parseControlRow(row: TextRow | undefined): ControlRow | null {
  const { epoch, state, active, phase, since, detail } = row ?? {};
  if (!row || !epoch || !since || !isState(state) || !isSide(active)) return null;
  return {
    epoch: Number(epoch),
    state,
    active,
    phase: phase === 'open' ? 'open' : 'hold',
    graceMs: Number(row.grace_ms ?? 0),
    paused: row.paused === 'true',
    since: isoTime(since),
    actor: row.actor ?? '',
    reason: row.reason ?? '',
    detail: parseDetail(detail),
  };
}

export function routeOf(row: ControlRow): Route {
  const { epoch, active, phase, graceMs, since, state } = row;
  return { epoch, active, phase, graceMs: phase === 'open' ? 0 : graceMs, since, state };
}

export function isoTime(text: string): string {
  return new Date(text).toISOString();
}

function parseDetail(text: string | null | undefined): ControlDetail {
  let value: Partial<ControlDetail> = {};
  try {
    value = JSON.parse(text ?? '{}') as Partial<ControlDetail>;
  } catch {
    // Somebody wrote the row by hand: the columns count, the rest begins anew.
  }
  const how = value.how === 'crash' || value.how === 'switchover' ? value.how : null;
  return {
    id: typeof value.id === 'string' ? value.id : '',
    cooldownFrom: typeof value.cooldownFrom === 'string' ? value.cooldownFrom : null,
    failoverEpoch: typeof value.failoverEpoch === 'number' ? value.failoverEpoch : null,
    how,
    nonce: typeof value.nonce === 'string' ? value.nonce : '',
  };
}

function isState(text: string | null | undefined): text is DurableState {
  return DURABLE_STATES.includes(text as DurableState);
}

function isSide(text: string | null | undefined): text is Side {
  return text === 'primary' || text === 'secondary';
}
