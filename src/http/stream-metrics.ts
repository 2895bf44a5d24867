import { Counter, Gauge, type Registry } from 'prom-client';
import { parseLsn } from '../core/lsn.js';
import type { StreamCounters, StreamSnapshot, StreamStatus, TableState } from '../core/status.js';
import { type AddGauge, reconcileMetrics, type Sample } from './reconcile-metrics.js';

/** Every number of a StreamSnapshot as a metric. What is unknown (null) is left out of the scrape, not sent as 0. */
export const METRIC_PREFIX = 'db_redundancy_';

interface CounterText {
  readonly name: string;
  readonly help: string;
}

/** Typed by the interface: a counter that is added there and forgotten here does not compile. */
const COUNTERS: Readonly<Record<Exclude<keyof StreamCounters, 'lastBatchSeconds'>, CounterText>> = {
  transactionsApplied: { name: 'transactions_applied_total', help: 'Source transactions applied to the secondary.' },
  changesReceived: { name: 'changes_received_total', help: 'Row changes received from the replication slot.' },
  rowsApplied: { name: 'rows_applied_total', help: 'Rows inserted, updated or deleted on the secondary.' },
  batchesApplied: { name: 'batches_applied_total', help: 'Target transactions committed on the secondary.' },
  batchRetries: { name: 'batch_retries_total', help: 'Target transactions that were repeated after an error.' },
  batchesReordered: {
    name: 'batches_reordered_total',
    help: 'Batches replayed statement by statement because folding would have broken a constraint.',
  },
  bytesReceived: { name: 'received_bytes_total', help: 'Bytes received from the replication slot.' },
  chunksApplied: { name: 'chunks_applied_total', help: 'Chunks of loads, sweeps and repairs applied.' },
  changesSkippedPaused: {
    name: 'changes_skipped_paused_total',
    help: 'Changes not applied because their table is paused.',
  },
  echoTransactionsSkipped: {
    name: 'echo_transactions_skipped_total',
    help: 'Transactions skipped because the catch-up wrote them to the primary.',
  },
  missingRowsRepaired: {
    name: 'missing_rows_repaired_total',
    help: 'Rows fetched anew because they were missing on the secondary.',
  },
  schemaChanges: { name: 'schema_changes_total', help: 'Changes of table definitions followed.' },
  reconnects: { name: 'reconnects_total', help: 'Replication connections opened after the first.' },
  fullSyncs: { name: 'full_syncs_total', help: 'Full synchronisations started.' },
  applySecondsTotal: { name: 'apply_seconds_total', help: 'Time spent in target transactions, seconds.' },
};

const STATUSES: Readonly<Record<StreamStatus, true>> = {
  starting: true,
  standby: true,
  snapshot: true,
  streaming: true,
  detached: true,
  paused: true,
  fenced: true,
  error: true,
};
const TABLE_STATES: Readonly<Record<TableState, true>> = {
  pending: true,
  loading: true,
  streaming: true,
  paused: true,
};
const WAL_STATUSES = ['reserved', 'extended', 'unreserved', 'lost', 'missing'];

/** Registers the metrics and gives the function that fills them from a snapshot. */
export function streamMetrics(registry: Registry): (snapshot: StreamSnapshot, ready: boolean) => void {
  const registers = [registry];
  const updates: ((snapshot: StreamSnapshot, ready: boolean) => void)[] = [];

  const gauge: AddGauge = (name, help, labelNames, read) => {
    const metric = new Gauge({ name: METRIC_PREFIX + name, help, labelNames: ['stream', ...labelNames], registers });
    updates.push((snapshot, ready) => {
      metric.reset();
      for (const [labels, value] of read(snapshot, ready)) {
        if (value !== null) metric.set({ stream: snapshot.stream, ...labels }, value);
      }
    });
  };
  const counter = (name: string, help: string, labelNames: string[], read: (s: StreamSnapshot) => Sample[]) => {
    const metric = new Counter({ name: METRIC_PREFIX + name, help, labelNames: ['stream', ...labelNames], registers });
    updates.push((snapshot) => {
      metric.reset();
      for (const [labels, value] of read(snapshot)) {
        if (value !== null) metric.inc({ stream: snapshot.stream, ...labels }, value);
      }
    });
  };

  gauge('ready', '1 when the process is able to do its work, else 0.', [], (_, ready) => [[{}, ready ? 1 : 0]]);
  gauge('stream_status', '1 for the status that the stream has, 0 for the others.', ['status'], (s) =>
    Object.keys(STATUSES).map((status) => [{ status }, status === s.status ? 1 : 0]),
  );
  gauge('stream_epoch', 'Epoch under which this process writes to the secondary.', [], (s) => [[{}, s.epoch]]);
  gauge(
    'replication_lag_seconds',
    'Age of the oldest transaction that is committed but not applied, seconds.',
    [],
    (s) => [[{}, s.lagSeconds]],
  );
  gauge(
    'replication_lag_bytes',
    'WAL between the newest known position of the source and the applied one, bytes.',
    [],
    (s) => [[{}, s.lagBytes]],
  );
  gauge('source_lsn_bytes', 'Newest known WAL position of the source, bytes since 0/0.', [], (s) => [
    [{}, lsn(s.sourceLsn)],
  ]);
  gauge('received_lsn_bytes', 'WAL position received, bytes since 0/0.', [], (s) => [[{}, lsn(s.receivedLsn)]]);
  gauge('applied_lsn_bytes', 'WAL position applied and durable, bytes since 0/0.', [], (s) => [
    [{}, lsn(s.appliedLsn)],
  ]);
  gauge(
    'last_applied_commit_timestamp_seconds',
    'Commit time of the last transaction applied, Unix seconds.',
    [],
    (s) => [[{}, unixSeconds(s.lastAppliedCommitAt)]],
  );
  gauge('last_batch_duration_seconds', 'Duration of the last target transaction, seconds.', [], (s) => [
    [{}, s.counters.lastBatchSeconds],
  ]);
  gauge('dead_letters', 'Changes kept as dead letters.', [], (s) => [[{}, s.deadLetters]]);
  counter('dropped_changes_total', 'Changes lost without a record; anything but 0 is a defect.', [], (s) => [
    [{}, s.dropped],
  ]);
  for (const [field, { name, help }] of Object.entries(COUNTERS)) {
    counter(name, help, [], (s) => [[{}, s.counters[field as keyof typeof COUNTERS]]]);
  }

  gauge('slot_active', '1 when a process is connected to the replication slot.', ['slot'], ({ slot }) =>
    slot ? [[{ slot: slot.name }, slot.active ? 1 : 0]] : [],
  );
  gauge('slot_retained_bytes', 'WAL that the slot keeps on the primary, bytes.', ['slot'], ({ slot }) =>
    slot ? [[{ slot: slot.name }, slot.retainedBytes]] : [],
  );
  gauge('slot_reading_age_seconds', 'Time since the slot was looked at, seconds.', ['slot'], ({ slot }) =>
    slot ? [[{ slot: slot.name }, slot.ageMs / 1000]] : [],
  );
  gauge(
    'slot_wal_status',
    '1 for the wal_status that the slot has, 0 for the others.',
    ['slot', 'wal_status'],
    ({ slot }) =>
      slot
        ? WAL_STATUSES.map((each) => [
            { slot: slot.name, wal_status: each },
            each === (slot.walStatus ?? 'missing') ? 1 : 0,
          ])
        : [],
  );

  const table = ({ schema, name }: { schema: string; name: string }) => ({ schema, table: name });
  gauge('tables', 'Tables of the stream by state.', ['state'], (s) =>
    Object.keys(TABLE_STATES).map((state) => [{ state }, s.tables.filter((each) => each.state === state).length]),
  );
  gauge('table_paused', '1 when the table is paused.', ['schema', 'table'], (s) =>
    s.tables.map((each) => [table(each), each.state === 'paused' ? 1 : 0]),
  );
  counter('table_rows_applied_total', 'Rows of the table applied by the stream.', ['schema', 'table'], (s) =>
    s.tables.map((each) => [table(each), each.rowsApplied]),
  );
  counter('table_rows_loaded_total', 'Rows of the table written by loads.', ['schema', 'table'], (s) =>
    s.tables.map((each) => [table(each), each.rowsLoaded]),
  );
  gauge('table_rows_expected', 'Estimated rows of the table when its load began.', ['schema', 'table'], (s) =>
    s.tables.map((each) => [table(each), each.rowsExpected]),
  );
  gauge(
    'table_last_change_timestamp_seconds',
    'Commit time of the last change applied, Unix seconds.',
    ['schema', 'table'],
    (s) => s.tables.map((each) => [table(each), unixSeconds(each.lastChangeAt)]),
  );

  reconcileMetrics(gauge);

  return (snapshot, ready) => {
    for (const update of updates) update(snapshot, ready);
  };
}

/** Exact below 2^53 bytes, which is nine petabytes of WAL. */
function lsn(text: string | null): number | null {
  return text === null ? null : Number(parseLsn(text));
}

function unixSeconds(iso: string | null): number | null {
  const ms = iso === null ? Number.NaN : Date.parse(iso);
  return Number.isNaN(ms) ? null : ms / 1000;
}
