import type { StatusSource, StreamSnapshot } from '../../src/core/status.js';

/** A snapshot in which every field has a value of its own, so that a test sees a field that is mixed up. */
export const SNAPSHOT: StreamSnapshot = {
  stream: 'db_redundancy',
  status: 'streaming',
  detail: null,
  epoch: 7,
  lagSeconds: 0.2,
  lagBytes: 512,
  sourceLsn: '0/1A2B3C8',
  receivedLsn: '0/1A2B3C7',
  appliedLsn: '0/1A2B1C8',
  lastAppliedCommitAt: '2026-01-24T20:00:00.123Z',
  slot: { name: 'my_slot', active: true, walStatus: 'reserved', retainedBytes: 4096, ageMs: 1500 },
  tables: [
    {
      schema: 'public',
      name: 'users',
      state: 'streaming',
      reason: null,
      rowsApplied: 11,
      rowsLoaded: 12,
      rowsExpected: 13,
      lastChangeAt: '2026-01-24T20:00:01Z',
    },
    {
      schema: 'public',
      name: 'leads',
      state: 'loading',
      reason: null,
      rowsApplied: 0,
      rowsLoaded: 21,
      rowsExpected: 22,
      lastChangeAt: null,
    },
    {
      schema: 'billing',
      name: 'invoices',
      state: 'paused',
      reason: 'db:sync -- --table billing.invoices',
      rowsApplied: 31,
      rowsLoaded: 32,
      rowsExpected: null,
      lastChangeAt: null,
    },
    {
      schema: 'public',
      name: 'app_config',
      state: 'pending',
      reason: null,
      rowsApplied: 0,
      rowsLoaded: 0,
      rowsExpected: null,
      lastChangeAt: null,
    },
  ],
  deadLetters: 3,
  dropped: 0,
  counters: {
    transactionsApplied: 101,
    changesReceived: 102,
    rowsApplied: 103,
    batchesApplied: 104,
    batchRetries: 105,
    batchesReordered: 106,
    bytesReceived: 107,
    chunksApplied: 108,
    changesSkippedPaused: 109,
    echoTransactionsSkipped: 110,
    missingRowsRepaired: 111,
    schemaChanges: 112,
    reconnects: 113,
    fullSyncs: 114,
    applySecondsTotal: 115.5,
    lastBatchSeconds: 0.75,
  },
};

/** A status source that a test sets by hand. */
export class FixedStatus implements StatusSource {
  current: StreamSnapshot = structuredClone(SNAPSHOT);
  readiness = { ready: true, reason: 'streaming' };
  failure: Error | null = null;

  snapshot(): StreamSnapshot {
    if (this.failure) throw this.failure;
    return this.current;
  }

  ready(): { ready: boolean; reason: string } {
    return this.readiness;
  }
}
