/** The streamer's snapshot for HTTP, metrics and the command line, and its readiness: pure. */
import { formatLsn } from '../core/lsn.js';
import type { StreamCounters, StreamRest, StreamSnapshot, StreamStatus } from '../core/status.js';
import type { Ledger } from '../pipeline/ledger.js';
import type { TableEntry } from '../pipeline/registry.js';
import type { ReconcileState } from '../reconcile/state.js';
import type { SlotInfo } from '../source/slot.js';

export interface SnapshotParts {
  readonly stream: string;
  readonly status: StreamStatus;
  readonly detail: string | null;
  readonly epoch: number | null;
  readonly ledger: Ledger | null;
  readonly connected: boolean;
  readonly slot: (SlotInfo & { readonly atMs: number }) | null;
  readonly tables: readonly TableEntry[];
  readonly deadLetters: number;
  readonly dropped: number;
  readonly counters: StreamCounters;
  /** What sweeps and verifies have found. */
  readonly reconcile: Pick<ReconcileState, 'lastSyncAt' | 'statusOf'>;
  readonly nowMs: number;
  readonly rest: StreamRest | null;
  /** Wall clock; the use of the primary that ended the rest, while the slot is not open yet; null: at rest. */
  readonly wokenAtMs: number | null;
}

export function composeSnapshot(parts: SnapshotParts): StreamSnapshot {
  const { ledger, nowMs, slot, tables } = parts;
  const loading = tables.some((table) => table.state === 'loading' || table.state === 'pending');
  const allPaused = tables.length > 0 && tables.every((table) => table.state === 'paused');
  const status =
    parts.status !== 'streaming' ? parts.status : loading ? 'snapshot' : allPaused ? 'paused' : 'streaming';
  return {
    stream: parts.stream,
    status,
    detail: parts.detail,
    epoch: parts.epoch,
    lagSeconds: status === 'detached' ? detachedLag(parts) : (ledger?.lagSeconds(nowMs, parts.connected) ?? 0),
    lagBytes: ledger?.lagBytes() ?? 0,
    sourceLsn: ledger ? formatLsn(ledger.source) : null,
    receivedLsn: ledger ? formatLsn(ledger.received) : null,
    appliedLsn: ledger ? formatLsn(ledger.applied) : null,
    lastAppliedCommitAt:
      ledger?.lastAppliedCommitAtMs == null ? null : new Date(ledger.lastAppliedCommitAtMs).toISOString(),
    slot: slot && {
      name: slot.name,
      active: slot.active,
      walStatus: slot.walStatus,
      retainedBytes: slot.retainedBytes,
      ageMs: Math.max(0, nowMs - slot.atMs),
    },
    tables: tables.map((table) => ({ ...table.status(), ...parts.reconcile.statusOf(table) })),
    deadLetters: parts.deadLetters,
    dropped: parts.dropped,
    counters: { ...parts.counters },
    lastSync: parts.reconcile.lastSyncAt,
    ...(parts.rest ? { rest: parts.rest } : {}),
  };
}

/** It let go when it was level with the primary, and nobody has used that since; once somebody has, that is how old it is. */
function detachedLag({ nowMs, wokenAtMs }: SnapshotParts): number {
  return wokenAtMs === null ? 0 : Math.max(0, nowMs - wokenAtMs) / 1000;
}

/** Ready: streams, or stands by, or loads; not ready while starting, failed, or when the secondary refuses its work. */
export function judgeReadiness(snapshot: StreamSnapshot, trouble: string | null): { ready: boolean; reason: string } {
  if (trouble !== null) return { ready: false, reason: `The secondary cannot be written: ${trouble}` };
  switch (snapshot.status) {
    case 'streaming':
    case 'snapshot':
    case 'detached':
      return { ready: true, reason: snapshot.status };
    // Held by the controller, or led by another process: nothing is wrong here.
    case 'fenced':
    case 'standby':
      return { ready: true, reason: snapshot.detail ?? snapshot.status };
    default:
      return { ready: false, reason: snapshot.detail ?? snapshot.status };
  }
}
