/** What a recovery is made of. */
import type { ClientConfig } from 'pg';
import type { Clock } from '../core/clock.js';
import type { Log } from '../core/log.js';

/** Where a test may interrupt: the moments at which something is durable and what follows from it is not. */
export const RECOVERY_POINTS = [
  /** Touched keys and position are stored; the change source has not been told. */
  'journal-stored',
  /** Rows of the tail are decided upon; the tail's position has not moved. */
  'tail-settled',
  /** The tail's position has moved. */
  'tail-moved',
  /** Rows are on the primary; the journal does not know. */
  'rows-copied',
  /** One table was compared; it is not noted. */
  'table-compared',
  /** The primary's slot is in order; the checkpoint has not moved. */
  'slot-aligned',
  /** The checkpoint has moved. */
  'checkpoint-moved',
] as const;
export type CrashPoint = (typeof RECOVERY_POINTS)[number];

export interface RecoveryOptions {
  readonly stream: string;
  /** The forward stream's slot and publication on the primary. */
  readonly slot: string;
  readonly publication: string;
  /** Slot and publication on a PostgreSQL secondary, from which its changes are followed; not used on CockroachDB. */
  readonly catchUpSlot: string;
  readonly catchUpPublication: string;
  /** A role with REPLICATION that may write: the one of DATABASE_URL, not the application's. */
  readonly primary: ClientConfig;
  readonly secondary: ClientConfig;
  readonly clock: Clock;
  readonly log: Log;
  /** Waits between two rounds of copying while nothing is left to copy, milliseconds; 1,000 by default. */
  readonly pollMs?: number;
  /** First and longest wait after an error, milliseconds. */
  readonly backoffMs?: { readonly initial: number; readonly max: number };
  /** For tests: called at each point; a rejection ends the recovery as a crash would. */
  readonly at?: (point: CrashPoint) => Promise<void>;
}
