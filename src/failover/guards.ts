/** The conditions of a failover and of a failback, pure: facts in, guards with their values out (SPEC section 7). */
import type { Guard, Order, OverrideFlag } from '../core/failover.js';
import type { RecoveryProgress } from '../recovery/recovery.js';

export interface FailoverFacts {
  readonly nowMs: number;
  /** Null: the last probe of the secondary succeeded. */
  readonly secondaryError: string | null;
  readonly primaryReachable: boolean;
  readonly lagMs: number | null;
  readonly maxLagMs: number;
  /** Tables that are not, or not completely, on the secondary. */
  readonly incompleteTables: readonly string[];
  /** Tables that the stream has left behind because of an error. */
  readonly pausedTables: readonly string[];
  /** Routers that wrote to the primary after its first failed probe. */
  readonly routersStillWriting: readonly string[];
  readonly cooldownFromMs: number | null;
  readonly cooldownMs: number;
  readonly paused: boolean;
  readonly auto: boolean;
}

export interface FailbackFacts {
  readonly nowMs: number;
  readonly primarySuccesses: number;
  readonly threshold: number;
  readonly progress: RecoveryProgress | null;
  readonly maxLagMs: number;
  readonly cooldownFromMs: number | null;
  readonly cooldownMs: number;
  readonly paused: boolean;
  readonly auto: boolean;
}

/** @param manual a person asks: whether it is allowed to happen by itself does not matter then */
export function failoverGuards(facts: FailoverFacts, manual: boolean): Guard[] {
  const planned = manual && facts.primaryReachable;
  return [
    guard('secondary-writable', facts.secondaryError === null, facts.secondaryError ?? 'yes', 'yes', null),
    guard(
      'stream-lag',
      // A switchover waits for the stream: what matters is that it gets there, which the drain finds out.
      planned || (facts.lagMs !== null && facts.lagMs <= facts.maxLagMs),
      facts.lagMs === null ? 'unknown' : `${Math.round(facts.lagMs)} ms`,
      planned ? 'none, the stream is drained' : `at most ${facts.maxLagMs} ms`,
      'allow-data-loss',
    ),
    guard(
      'tables-complete',
      facts.incompleteTables.length === 0,
      facts.incompleteTables.length === 0 ? 'all' : `not complete: ${facts.incompleteTables.join(', ')}`,
      'all tables',
      'allow-data-loss',
    ),
    guard(
      'tables-current',
      // One table that the stream gave up is no reason to keep all the others down; while the primary works it is.
      !planned || facts.pausedTables.length === 0,
      facts.pausedTables.length === 0 ? 'all' : `paused, and old on the secondary: ${facts.pausedTables.join(', ')}`,
      planned ? 'no table is paused' : 'paused tables are named only',
      'allow-data-loss',
    ),
    guard(
      'routers-cut-off',
      planned || facts.routersStillWriting.length === 0,
      facts.routersStillWriting.length === 0 ? 'none' : facts.routersStillWriting.join(', '),
      'no router wrote to the primary since its first failed probe',
      'force',
    ),
    ...common(facts, manual),
  ];
}

export function failbackGuards(facts: FailbackFacts, manual: boolean): Guard[] {
  const { maxLagMs, primarySuccesses, progress, threshold } = facts;
  return [
    guard(
      'primary-steady',
      primarySuccesses >= (manual ? 1 : threshold),
      `${primarySuccesses} successful probes`,
      `at least ${manual ? 1 : threshold}`,
      null,
    ),
    guard('tail-merged', progress?.tailMerged === true, progress?.tailMerged ? 'yes' : 'no', 'yes', null),
    guard(
      'catch-up-lag',
      progress?.lagMs != null && progress.lagMs <= maxLagMs,
      progress?.lagMs == null ? (progress?.trouble ?? 'not copying yet') : `${Math.round(progress.lagMs)} ms`,
      `at most ${maxLagMs} ms`,
      null,
    ),
    ...common(facts, manual),
  ];
}

function common(facts: FailoverFacts | FailbackFacts, manual: boolean): Guard[] {
  const { auto, cooldownFromMs, cooldownMs, nowMs, paused } = facts;
  const since = cooldownFromMs === null ? null : nowMs - cooldownFromMs;
  const guards = [
    guard(
      'cool-down',
      since === null || since >= cooldownMs,
      since === null ? 'no change yet' : `${Math.round(since)} ms since the last change`,
      `at least ${cooldownMs} ms`,
      'force',
    ),
    guard('not-paused', !paused, paused ? 'paused' : 'not paused', 'not paused', 'force'),
  ];
  if (!manual) guards.push(guard('automatic', auto, auto ? 'on' : 'off', 'on', null));
  return guards;
}

export function refusals(guards: readonly Guard[], order: Pick<Order, 'force' | 'allowDataLoss'> | null): Guard[] {
  return guards.filter((each) => {
    if (each.ok) return false;
    if (each.override === 'force') return !order?.force;
    if (each.override === 'allow-data-loss') return !order?.allowDataLoss;
    return true;
  });
}

export function describeRefusals(refused: readonly Guard[]): string {
  return refused.map((each) => `${each.name} is ${each.value}, needs ${each.limit}`).join('; ');
}

function guard(name: string, ok: boolean, value: string, limit: string, override: OverrideFlag | null): Guard {
  return { name, ok, value, limit, override };
}
