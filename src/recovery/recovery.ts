/**
 * The way back, as the controller sees it: everything between "the secondary was opened" and "the primary may be opened
 * again" (SPEC section 7: recovering, catch-up, failback). docs/decisions/0006-failover.md describes the order.
 * Every method may be called again after a crash of the controller; each finishes or repeats what was begun.
 */
import type { RecoveryProgress } from '../core/failover.js';
import type { Lsn } from '../core/lsn.js';

export type { RecoveryPhase, RecoveryProgress } from '../core/failover.js';

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
