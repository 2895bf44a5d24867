/** What sweeps and verifies work with. */
import type { Clock } from '../core/clock.js';
import type { TableName } from '../core/ident.js';
import type { Log } from '../core/log.js';
import type { TargetLink } from '../meta/target-link.js';
import type { TableEntry, TableRegistry } from '../pipeline/registry.js';
import type { Key } from '../snapshot/chunk-reader.js';
import type { WatermarkBoard } from '../snapshot/watermarks.js';
import type { SourcePool } from '../source/sql-pool.js';
import type { ComparedTable } from './compared-table.js';
import type { VerifyOrder } from './state.js';
import type { TargetReader } from './target-reader.js';

export interface ReconcileSchedule {
  readonly sweepIntervalMs: number;
  /** 0: only when ordered. */
  readonly verifyIntervalMs: number;
  /** How far a sweep looks back beyond the last one; five minutes by default. */
  readonly overlapMs?: number;
  /** How many times as seldom as configured; 1 by default, more where a budget is short. */
  readonly pace?: () => number;
}

export interface ReconcilerParts {
  readonly stream: string;
  readonly registry: TableRegistry;
  readonly source: SourcePool;
  readonly link: TargetLink;
  readonly clock: Clock;
  readonly log: Log;
  /** Null: only what is ordered. */
  readonly schedule: ReconcileSchedule | null;
  readonly connectReader: () => Promise<TargetReader>;
  readonly compared: (entry: TableEntry, fresh?: boolean) => Promise<ComparedTable>;
  /** Orders a table to be loaded anew. */
  readonly resync: (table: TableName) => Promise<void>;
  /** The order was carried out. */
  readonly orderDone: (table: TableName, order: VerifyOrder) => Promise<void>;
}

/** A stream that runs, as far as it is needed here. */
export interface ReconcileSession {
  readonly board: WatermarkBoard;
  /** Resolves when rows may be read between watermarks: see untilSettled. */
  readonly settled: Promise<void>;
  /** Not further behind than a moment. */
  caughtUp(): boolean;
  /** Makes the secondary equal for these keys, through the watermark path. */
  repair(entry: TableEntry, keys: readonly Key[]): Promise<void>;
}
