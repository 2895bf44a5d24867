/** History, conflicts and dead letters, newest first, from the secondary: for people and programs. */
import type { ConflictEntry, DeadLetterEntry, Guard, HistoryEntry } from '../core/failover.js';
import { isoTime } from './control-row.js';
import type { TextRow } from './database.js';

export interface ListSource {
  run(text: string, values: readonly (string | null)[]): Promise<TextRow[]>;
}

export async function readHistory(source: ListSource, stream: string, limit: number): Promise<HistoryEntry[]> {
  const rows = await source.run(
    `SELECT epoch::text, from_state, to_state, active, at::text, duration_ms::text, actor, reason, guards
     FROM db_redundancy.history WHERE stream = $1 ORDER BY history.epoch DESC LIMIT $2::int8`,
    [stream, String(limit)],
  );
  return rows.map((row) => ({
    epoch: Number(row.epoch),
    from: row.from_state ?? '',
    to: row.to_state ?? '',
    active: row.active ?? '',
    at: time(row.at) ?? '',
    durationMs: row.duration_ms == null ? null : Number(row.duration_ms),
    actor: row.actor ?? '',
    reason: row.reason ?? '',
    guards: JSON.parse(row.guards ?? '[]') as Guard[],
  }));
}

export async function readConflicts(source: ListSource, stream: string, limit: number): Promise<ConflictEntry[]> {
  const rows = await source.run(
    `SELECT failover_epoch::text, schema_name, table_name, row_key, winner, rule, primary_version, secondary_version,
       primary_at::text, secondary_at::text, created_at::text
     FROM db_redundancy.conflicts WHERE stream = $1 ORDER BY conflicts.created_at DESC, schema_name, table_name, row_key LIMIT $2::int8`,
    [stream, String(limit)],
  );
  return rows.map((row) => ({
    failoverEpoch: Number(row.failover_epoch),
    table: `${row.schema_name}.${row.table_name}`,
    key: row.row_key ?? '',
    winner: row.winner ?? '',
    rule: row.rule ?? '',
    primaryVersion: row.primary_version ?? null,
    secondaryVersion: row.secondary_version ?? null,
    primaryAt: time(row.primary_at),
    secondaryAt: time(row.secondary_at),
    createdAt: time(row.created_at) ?? '',
  }));
}

export async function readDeadLetters(source: ListSource, stream: string, limit: number): Promise<DeadLetterEntry[]> {
  const rows = await source.run(
    `SELECT commit_lsn, schema_name, table_name, operation, change, sqlstate, error, created_at::text
     FROM db_redundancy.dead_letters WHERE stream = $1 ORDER BY dead_letters.created_at DESC, commit_lsn DESC, position LIMIT $2::int8`,
    [stream, String(limit)],
  );
  return rows.map((row) => ({
    commitLsn: row.commit_lsn ?? '',
    table: `${row.schema_name}.${row.table_name}`,
    operation: row.operation ?? '',
    change: row.change ?? '',
    sqlstate: row.sqlstate ?? null,
    error: row.error ?? '',
    createdAt: time(row.created_at) ?? '',
  }));
}

function time(text: string | null | undefined): string | null {
  return text == null ? null : isoTime(text);
}
