/**
 * One process as its dashboard and `status --watch` show it: what `GET /api/system/events` sends, and what the page's
 * scripts are typed with. Everything is JSON.
 */
import type { EconomyView } from './economy.js';
import type { FailoverState, SideHealth } from './failover.js';
import type { Side } from './route.js';
import type { StreamStatus, TableStatus } from './status.js';

export type Tone = 'good' | 'busy' | 'warning' | 'bad';

/** The situation in words, for somebody who does not know the names of the states. */
export interface SystemWords {
  readonly tone: Tone;
  readonly title: string;
  readonly meaning: string;
  /** What happens next, by itself or by whom. */
  readonly next: string;
}

/** What decides when something happens by itself. */
export interface SystemSettings {
  readonly checkIntervalMs: number;
  readonly failoverThreshold: number;
  readonly failbackThreshold: number;
  readonly cooldownMs: number;
  readonly autoFailover: boolean;
  readonly autoFailback: boolean;
}

export interface ControllerView {
  readonly leads: boolean;
  /** `STARTING`: the control row was not read yet, and the epoch is 0. */
  readonly state: FailoverState | 'STARTING';
  /** 0: the control row was not read yet. */
  readonly epoch: number;
  readonly active: Side;
  readonly paused: boolean;
  /** ISO 8601; when this epoch began. */
  readonly since: string | null;
  readonly primary: SideHealth;
  readonly secondary: SideHealth;
  readonly alerts: readonly string[];
  /** Routers of applications that report here. */
  readonly routers: number;
}

export interface StreamView {
  readonly status: StreamStatus;
  readonly detail: string | null;
  readonly lagSeconds: number;
  readonly lagBytes: number;
  readonly appliedLsn: string | null;
  readonly lastAppliedCommitAt: string | null;
  readonly rowsApplied: number;
  readonly transactionsApplied: number;
  readonly slot: {
    readonly name: string;
    readonly active: boolean;
    readonly walStatus: string | null;
    readonly retainedBytes: number | null;
  } | null;
  readonly deadLetters: number;
  /** G9: always 0. */
  readonly dropped: number;
  readonly lastSync: string | null;
}

/** The event `system`. */
export interface SystemView {
  /** Name of the stream. */
  readonly name: string;
  readonly words: SystemWords;
  /** Null where the failover controller is another process. */
  readonly controller: ControllerView | null;
  /** Null where the stream runs in another process. */
  readonly stream: StreamView | null;
  /** Of the stream, wherever it runs; null when unknown. */
  readonly lag: { readonly seconds: number; readonly bytes: number } | null;
  readonly tables: { readonly total: number; readonly streaming: number; readonly paused: number };
  readonly settings: SystemSettings;
  /** Economy mode and budgets, with their words, and those of economy mode alone; null where neither is known. */
  readonly economy: (EconomyView & { readonly words: readonly string[]; readonly rested: readonly string[] }) | null;
  readonly can: {
    /** Control verbs are taken, with the token. */
    readonly control: boolean;
    readonly failover: boolean;
    readonly reconcile: boolean;
  };
}

/** The event `tables`: the first has all of them, later ones those that have changed. */
export interface TablesEvent {
  /** True: these are all; forget the others. */
  readonly all: boolean;
  readonly tables: readonly TableStatus[];
}

/** Milliseconds since the Unix epoch; null while nothing is streamed. */
export type LagSample = readonly [at: number, seconds: number | null, bytes: number | null];

/** `GET /api/system/lag-history`, oldest first. */
export interface LagHistory {
  readonly stepMs: number;
  readonly samples: readonly LagSample[];
}
