/** What loads of tables work with. */
import type { Clock } from '../core/clock.js';
import type { Log } from '../core/log.js';
import type { StreamCounters } from '../core/status.js';
import type { TargetLink } from '../meta/target-link.js';
import type { Applier } from '../pipeline/applier.js';
import type { TableEntry } from '../pipeline/registry.js';
import type { SourcePool } from '../source/sql-pool.js';
import type { LoadTable } from './load-table.js';
import type { ProgressStore } from './progress.js';
import type { WatermarkBoard } from './watermarks.js';

export interface LoaderOptions {
  readonly source: SourcePool;
  readonly publication: string;
  readonly link: TargetLink;
  readonly progress: ProgressStore;
  readonly applier: Applier;
  readonly board: WatermarkBoard;
  readonly log: Log;
  readonly clock: Clock;
  readonly counters: StreamCounters;
  readonly signal: AbortSignal;
  /** Ranges in progress at a time, over all tables. */
  readonly concurrency: number;
  /** Resolves when chunks may be read: see untilSettled. */
  readonly settled: Promise<void>;
  readonly describe: (entry: TableEntry) => Promise<LoadTable>;
  /** Labels of the table's enums were renamed; and what makes the table fit then. */
  readonly relabeled: (entry: TableEntry) => Promise<boolean>;
  readonly refresh: (entry: TableEntry) => Promise<boolean>;
  /** The secondary refuses a table's rows: it is paused with this error. */
  readonly onRefused: (entry: TableEntry, error: unknown) => Promise<void>;
  /** The table cannot be read on the primary: it is paused with this error. */
  readonly onUnreadable: (entry: TableEntry, error: unknown) => Promise<void>;
}
