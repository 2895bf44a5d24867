import type { StreamCounters } from '../core/status.js';

export function zeroCounters(): StreamCounters {
  return {
    transactionsApplied: 0,
    changesReceived: 0,
    rowsApplied: 0,
    batchesApplied: 0,
    batchRetries: 0,
    batchesReordered: 0,
    bytesReceived: 0,
    chunksApplied: 0,
    changesSkippedPaused: 0,
    echoTransactionsSkipped: 0,
    missingRowsRepaired: 0,
    schemaChanges: 0,
    reconnects: 0,
    fullSyncs: 0,
    applySecondsTotal: 0,
    lastBatchSeconds: 0,
  };
}
