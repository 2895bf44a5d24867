/** Words that the failover controller shares with the surfaces that show it and command it. */
import type { Route, Side } from './route.js';

/** States of the control row (SPEC section 7). Each change of the row has an epoch of its own. */
export const DURABLE_STATES = [
  'PRIMARY_ACTIVE',
  'FENCING_PRIMARY',
  'SECONDARY_ACTIVE',
  'RECOVERING',
  'READY',
  'FENCING_SECONDARY',
  'DRAINING',
] as const;
export type DurableState = (typeof DURABLE_STATES)[number];

/**
 * What only the leading controller knows: nothing changes for routers in these, so they are no epochs. After a restart
 * they are found again by probing, which is what they came from.
 */
const OBSERVED_STATES = ['SUSPECT', 'GUARD', 'PRIMARY_DOWN_HELD', 'MANUAL_REQUIRED'] as const;
export type ObservedState = (typeof OBSERVED_STATES)[number];
export type FailoverState = DurableState | ObservedState;
export const FAILOVER_STATES: readonly FailoverState[] = [...DURABLE_STATES, ...OBSERVED_STATES];

export type OverrideFlag = 'force' | 'allow-data-loss';

/** One condition of a failover or failback, with what was found. */
export interface Guard {
  readonly name: string;
  readonly ok: boolean;
  readonly value: string;
  readonly limit: string;
  /** What a person may say to go past it; null: nothing. */
  readonly override: OverrideFlag | null;
}

export type Verb = 'failover' | 'failback' | 'pause' | 'resume';

export interface Order {
  readonly verb: Verb;
  readonly actor: string;
  readonly reason: string;
  readonly dryRun: boolean;
  readonly force: boolean;
  readonly allowDataLoss: boolean;
}

export interface OrderResult {
  readonly done: boolean;
  /** Refused by a guard, or by the state: nothing was changed. */
  readonly refused: boolean;
  readonly message: string;
  readonly state: FailoverState;
  readonly epoch: number;
  /** `crash` or `switchover` for a failover; null for the rest. */
  readonly how: 'crash' | 'switchover' | null;
  readonly guards: readonly Guard[];
  readonly tookMs: number;
}

export interface SideHealth {
  readonly connected: boolean;
  readonly latencyMs: number | null;
  /** ISO 8601; null before the first probe. */
  readonly lastCheck: string | null;
  readonly error: string | null;
  readonly failures: number;
  readonly successes: number;
  readonly probes: number;
  readonly failedProbes: number;
}

export type RecoveryPhase =
  /** The primary is away: changes of the secondary are followed, and their keys stored. */
  | 'following'
  /** The primary is back and fenced: what it committed and the secondary never got is merged (G8). */
  | 'merging-tail'
  /** The change source could not continue, or the tail could not be read: the two sides are compared as a whole. */
  | 'comparing'
  /** Keys written on the secondary are copied to the primary, continuously. */
  | 'copying';

export interface RecoveryProgress {
  readonly phase: RecoveryPhase;
  readonly tailMerged: boolean;
  /** Age of the oldest change of the secondary that is not on the primary yet, milliseconds; null before copying. */
  readonly lagMs: number | null;
  readonly touchedKeys: number;
  readonly copiedKeys: number;
  readonly conflicts: number;
  /** What keeps it from going on, one sentence; null when nothing does. */
  readonly trouble: string | null;
}

/** What the controller tells the world about itself. */
export interface ControllerSnapshot {
  readonly leads: boolean;
  readonly state: FailoverState;
  readonly epoch: number;
  readonly route: Route | null;
  readonly active: Side;
  readonly paused: boolean;
  readonly primary: SideHealth;
  readonly secondary: SideHealth;
  /** What a person has to know or do; empty when nothing. */
  readonly alerts: readonly string[];
  readonly failovers: number;
  readonly failbacks: number;
  /** How far the primary is with what was written on the secondary; null while the primary is active. */
  readonly recovery: RecoveryProgress | null;
}

export interface HistoryEntry {
  readonly epoch: number;
  readonly from: string;
  readonly to: string;
  readonly active: string;
  readonly at: string;
  readonly durationMs: number | null;
  readonly actor: string;
  readonly reason: string;
  readonly guards: readonly Guard[];
}

export interface ConflictEntry {
  readonly failoverEpoch: number;
  readonly table: string;
  readonly key: string;
  readonly winner: string;
  readonly rule: string;
  readonly primaryVersion: string | null;
  readonly secondaryVersion: string | null;
  readonly primaryAt: string | null;
  readonly secondaryAt: string | null;
  readonly createdAt: string;
}

export interface DeadLetterEntry {
  readonly commitLsn: string;
  readonly table: string;
  readonly operation: string;
  readonly change: string;
  readonly sqlstate: string | null;
  readonly error: string;
  readonly createdAt: string;
}

export interface ReplicationGap {
  readonly lagSeconds: number;
  readonly lagBytes: number;
}

/** What HTTP and the command line may ask of a controller. */
export interface ControllerSurface {
  snapshot(): ControllerSnapshot;
  /** As the control plane sees it, where no stream runs in this process; null when unknown. */
  replication(): Promise<ReplicationGap | null>;
  order(order: Order): Promise<OrderResult>;
  history(limit: number): Promise<HistoryEntry[]>;
  conflicts(limit: number): Promise<ConflictEntry[]>;
  deadLetters(limit: number): Promise<DeadLetterEntry[]>;
}
