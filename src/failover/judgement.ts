/** The guards of a failover and of a failback with what this process knows, and the automaton's word on them. */
import type { Clock } from '../core/clock.js';
import type { Guard } from '../core/failover.js';
import type { RouteAuthority } from '../core/route.js';
import type { Recovery } from '../recovery/recovery.js';
import type { ControlRow } from './control-row.js';
import { type FactReader, readFailoverFacts } from './facts.js';
import { describeRefusals, failbackGuards, failoverGuards, refusals } from './guards.js';
import type { Event, MachineState } from './machine-types.js';
import type { Intent } from './next-row.js';
import type { Observation } from './observation.js';

export interface JudgementSettings {
  readonly thresholds: { readonly failback: number };
  readonly autoFailover: boolean;
  readonly autoFailback: boolean;
  readonly maxLagMs: number;
  /** Catch-up lag below which the primary counts as ready for a failback. */
  readonly readyLagMs: number;
  readonly cooldownMs: number;
}

export interface JudgementParts {
  readonly settings: JudgementSettings;
  readonly clock: Clock;
  readonly authority: RouteAuthority;
  readonly recovery: Recovery;
  readonly facts: FactReader;
  readonly observation: Observation;
  readonly machine: () => MachineState;
  readonly row: () => ControlRow | null;
}

export class Judgement {
  readonly #parts: JudgementParts;

  constructor(parts: JudgementParts) {
    this.#parts = parts;
  }

  /** @param manual a person asks */
  guards(what: 'failover' | 'failback', manual: boolean): Promise<Guard[]> {
    return what === 'failover' ? this.#failover(manual) : this.#failback(manual);
  }

  /** For the automaton: the event, and why the next epoch would be entered; null when a guard refuses. Never rejects. */
  async judge(
    what: 'failover' | 'failback',
  ): Promise<{ readonly event: Extract<Event, { kind: 'judged' }>; readonly intent: Intent | null }> {
    const guards = await this.guards(what, false).catch((error: unknown) => [unreadable(error)]);
    const refused = refusals(guards, null);
    const event = { kind: 'judged', ok: refused.length === 0, refusals: describeRefusals(refused) } as const;
    if (refused.length > 0) return { event, intent: null };
    const { clock, machine, observation } = this.#parts;
    const { primaryFailures, primarySuccesses } = machine();
    const reason =
      what === 'failover'
        ? `${primaryFailures} probes of the primary failed: ${observation.primary.health().error ?? 'no answer'}`
        : `${primarySuccesses} probes of the primary succeeded`;
    const how = what === 'failover' ? 'crash' : null;
    return { event, intent: { actor: 'controller', reason, guards, how, begunMs: clock.monotonic() } };
  }

  async #failover(manual: boolean): Promise<Guard[]> {
    const { authority, clock, facts, machine, observation, settings } = this.#parts;
    const stored = await readFailoverFacts(facts, observation.samples);
    return failoverGuards(
      {
        ...stored,
        nowMs: clock.now(),
        secondaryError: observation.secondary.health().error,
        primaryReachable: observation.primary.connected,
        maxLagMs: settings.maxLagMs,
        routersStillWriting: stillWriting(authority, machine().firstFailureAtMs),
        ...this.#cooldown(),
        auto: settings.autoFailover,
      },
      manual,
    );
  }

  async #failback(manual: boolean): Promise<Guard[]> {
    const { clock, machine, recovery, settings } = this.#parts;
    return failbackGuards(
      {
        nowMs: clock.now(),
        primarySuccesses: machine().primarySuccesses,
        threshold: settings.thresholds.failback,
        progress: recovery.progress(),
        maxLagMs: settings.readyLagMs,
        ...this.#cooldown(),
        auto: settings.autoFailback,
      },
      manual,
    );
  }

  #cooldown(): { cooldownFromMs: number | null; cooldownMs: number; paused: boolean } {
    const row = this.#parts.row();
    const from = row?.detail.cooldownFrom ?? null;
    return {
      cooldownFromMs: from === null ? null : Date.parse(from),
      cooldownMs: this.#parts.settings.cooldownMs,
      paused: row?.paused ?? false,
    };
  }
}

function unreadable(error: unknown): Guard {
  const value = error instanceof Error ? error.message : String(error);
  return { name: 'guards-readable', ok: false, value, limit: 'the guards can be read', override: null };
}

function stillWriting(authority: RouteAuthority, sinceMs: number | null): string[] {
  if (sinceMs === null) return [];
  return authority
    .routers()
    .filter(({ primary, seenAtMs }) => primary.writeOkAgoMs !== null && seenAtMs - primary.writeOkAgoMs > sinceMs)
    .map(({ name, router }) => name ?? router);
}
