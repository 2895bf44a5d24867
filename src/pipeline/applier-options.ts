/** What applying needs from those around it, and tells them. */
import type { Checkpoint } from '../apply/checkpoint.js';
import type { TargetSession } from '../apply/target-session.js';
import type { Backoff } from '../core/backoff.js';
import type { Row } from '../core/change.js';
import type { Clock } from '../core/clock.js';
import type { Log } from '../core/log.js';
import type { StreamCounters } from '../core/status.js';
import type { Binding } from './binding.js';
import type { TransactionPart } from './entries.js';
import type { Step } from './fold.js';
import type { TableEntry, TableRegistry } from './registry.js';

/** Where the stream stands on the secondary, and how it is reached. */
export interface DurableOptions {
  readonly stream: string;
  readonly epoch: number;
  readonly connect: () => Promise<TargetSession>;
  readonly log: Log;
  readonly clock: Clock;
  readonly backoff: Backoff;
  readonly counters: StreamCounters;
  readonly signal: AbortSignal;
  /** The secondary cannot be reached, or can be again (null). */
  readonly onTrouble: (reason: string | null) => void;
  /** The checkpoint as it was when the epoch was taken. */
  readonly start: Checkpoint;
}

export interface ApplierOptions extends DurableOptions {
  readonly registry: TableRegistry;
  readonly onError: 'pause-table' | 'halt';
  /** Rows that a patch did not find on the secondary: they are read again from the primary. */
  readonly onMissing: (binding: Binding, rows: readonly Row[]) => void;
  /** The secondary refused rows of this table: makes it fit the primary again; true when that may have helped. */
  readonly refresh: (entry: TableEntry) => Promise<boolean>;
  /** True when labels of the table's enums were renamed: a refresh will help. */
  readonly relabeled: (entry: TableEntry) => Promise<boolean>;
  readonly pauseTable: (entry: TableEntry, reason: string) => Promise<void>;
  /** Sees what a committed transaction changed, for the windows of running chunks. */
  readonly onApplied: (parts: readonly TransactionPart[], steps: readonly Step[]) => void;
}
