/**
 * What the streamer tells the world about itself. The HTTP surface, the metrics and the command line read this
 * interface and nothing else of the streamer. All counters are totals since the process started.
 */
import type { RestView } from './economy.js';

export type StreamStatus =
  | 'starting'
  | 'standby'
  | 'snapshot'
  | 'streaming'
  | 'detached'
  | 'paused'
  | 'fenced'
  | 'error';

export type TableState = 'pending' | 'loading' | 'streaming' | 'paused';

export interface TableStatus {
  schema: string;
  name: string;
  state: TableState;
  /** Why the table is paused and the command that mends it; null unless paused. */
  reason: string | null;
  /** Rows inserted, updated or deleted on the secondary by the stream. */
  rowsApplied: number;
  rowsLoaded: number;
  /** Estimated rows on the primary when the load began; null when unknown. */
  rowsExpected: number | null;
  /** ISO 8601, commit time of the last change applied; null before the first. */
  lastChangeAt: string | null;
  /** Rows that sweeps and verifies of this process found to differ from the primary. */
  drift?: number;
  /** The last sweep and verify of any process; absent before the first, or where nobody keeps them. */
  lastSweep?: SweepResult;
  lastVerify?: VerifyResult;
}

export interface SweepResult {
  /** ISO 8601 */
  at: string;
  /** `verify`: the table has no `updated_at`, so that verify alone covers it. */
  coveredBy: 'sweep' | 'verify';
  compared: number;
  repaired: number;
  /** Of the repaired, those that were newer on the secondary: that version is kept in db_redundancy.conflicts. */
  newerOnSecondary: number;
}

export interface VerifyResult {
  /** ISO 8601 */
  at: string;
  runId: string;
  seconds: number;
  /** Rows of the primary. */
  rows: number;
  missing: number;
  extra: number;
  different: number;
  /** Of these, mended by the same run. */
  repaired: number;
  /** Rows of which nothing could be said, because they changed at every look. */
  unsettled: number;
  /** Why the table was not compared; null when it was. */
  skipped: string | null;
}

export interface SlotStatus {
  name: string;
  active: boolean;
  /** pg_replication_slots.wal_status: reserved, extended, unreserved, lost; null when the slot is missing. */
  walStatus: string | null;
  /** WAL bytes that the slot keeps on the primary. */
  retainedBytes: number | null;
  /** Milliseconds since this reading was taken. */
  ageMs: number;
}

export interface StreamSnapshot {
  stream: string;
  status: StreamStatus;
  /** One sentence when status is error, fenced, paused or standby; else null. */
  detail: string | null;
  epoch: number | null;
  /** Seconds since the commit of the oldest transaction that is committed but not applied; 0 when there is none. */
  lagSeconds: number;
  /** WAL bytes between the newest known position of the source and the applied one. */
  lagBytes: number;
  sourceLsn: string | null;
  receivedLsn: string | null;
  appliedLsn: string | null;
  lastAppliedCommitAt: string | null;
  slot: SlotStatus | null;
  tables: TableStatus[];
  deadLetters: number;
  /** G9: always 0. Anything else is a defect. */
  dropped: number;
  counters: StreamCounters;
  /** Economy mode; absent where it is off. */
  rest?: StreamRest;
  /** ISO 8601, end of the last sweep over all tables; null before the first, absent where nobody sweeps. */
  lastSync?: string | null;
}

export interface StreamRest extends RestView {
  /** From the use of the primary that ended the last rest until the slot was open; null before the first. */
  lastWakeSeconds: number | null;
}

/** Changes that are copied as the bytes in which they came; others: values that are written anew, and all while tables are loaded. */
export type RowsKind = 'copied-bytes' | 'others';

export interface StreamCounters {
  transactionsApplied: number;
  changesReceived: number;
  rowsApplied: number;
  batchesApplied: number;
  batchRetries: number;
  batchesReordered: number;
  bytesReceived: number;
  chunksApplied: number;
  changesSkippedPaused: number;
  echoTransactionsSkipped: number;
  missingRowsRepaired: number;
  schemaChanges: number;
  reconnects: number;
  fullSyncs: number;
  applySecondsTotal: number;
  lastBatchSeconds: number;
}

export interface StatusSource {
  snapshot(): StreamSnapshot;
  /** True while the process is able to do its work, judged by progress: see SPEC section 9, /readyz. */
  ready(): { ready: boolean; reason: string };
}
