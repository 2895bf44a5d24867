/**
 * The way back, as the controller sees it: everything between "the secondary was opened" and "the primary may be opened
 * again" (SPEC section 7: recovering, catch-up, failback). docs/decisions/0006-failover.md describes the order.
 * Every method may be called again after a crash of the controller; each finishes or repeats what was begun.
 */
import type { Lsn } from '../core/lsn.js';

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

export interface DrainResult {
  /** Keys compared on both sides after the drain, and those that were copied once more because they differed. */
  readonly compared: number;
  readonly mended: number;
  readonly tookMs: number;
}

export interface Recovery extends AsyncDisposable {
  /**
   * Called at a failover while nothing writes to the secondary: where its changes are to be read from later. Creates
   * the slot on a PostgreSQL secondary. Stored in `db_redundancy.catchup` with the failover's epoch.
   */
  notePosition(failoverEpoch: number): Promise<string>;
  /** Follows the secondary's changes from the noted position until `stop`; idempotent. */
  follow(): void;
  /**
   * The primary is reachable and fenced, and `fenceLsn` lies behind its last commit: merges the tail, then copies
   * continuously. Idempotent; progress says how far it is.
   */
  recoverPrimary(fenceLsn: Lsn): void;
  /** The primary is away again: back to following. */
  primaryLost(): void;
  progress(): RecoveryProgress;
  /**
   * The secondary is fenced: copies everything up to its present position, compares all touched keys, raises the
   * primary's sequences. Resolves when the primary may be opened. Rejects with the signal's reason at a timeout;
   * nothing has to be undone then.
   */
  drain(signal: AbortSignal): Promise<DrainResult>;
  /**
   * After the drain, before the primary opens: makes the forward stream continue behind the tail (checkpoint and slot),
   * so that neither the tail nor what was copied comes again. Returns its position.
   */
  handBack(): Promise<Lsn>;
  /** After the primary is open: drops the catch-up slot and the journal. */
  finish(): Promise<void>;
  stop(): Promise<void>;
}
