/**
 * The checkpoint row of a stream: position and epoch, on the secondary, moved in the same transaction as the data (G2,
 * G3). Whoever takes the stream over raises the epoch; a transaction of the former leader then fails on its last
 * statement and rolls back.
 */
import { FencedError } from '../core/errors.js';
import { formatLsn, type Lsn, parseLsn } from '../core/lsn.js';
import type { SqlStatement, TargetSession } from './target-session.js';

export interface Checkpoint {
  /** Everything that committed before this is on the secondary. */
  readonly lsn: Lsn;
  readonly commitAtMs: number | null;
  /** Of the transaction that starts at `partialLsn`, so many changes are applied already (chunked mode only). */
  readonly partialLsn: Lsn | null;
  readonly partialChanges: number;
}

export interface CheckpointRow extends Checkpoint {
  readonly epoch: number;
  readonly leader: string | null;
  readonly slot: string;
  readonly publication: string;
  readonly systemId: string;
  /** Why the stream must not run: the controller holds it while the secondary is active; null: it may. */
  readonly held: string | null;
}

/**
 * Moves the checkpoint, or fails with 22012 (division by zero) when the epoch is not ours any more, or when the position
 * is not the one that we left: a transaction of ours whose COMMIT seemed lost may still have committed, and then this
 * one would take effect twice. An error is the one answer that keeps a pipelined COMMIT behind it from committing.
 */
const CHECKPOINT_SQL = `
WITH moved AS (
  UPDATE db_redundancy.checkpoint
  SET lsn = $3, commit_at = coalesce($4::timestamptz, commit_at), partial_lsn = $5, partial_changes = $6::int8, renewed_at = now()
  WHERE stream = $1 AND epoch = $2::int8 AND lsn = $7 AND partial_changes = $8::int8 RETURNING 1)
SELECT 1 / count(*) FROM moved`;

/** @param previous where the checkpoint stands now, as far as we know */
export function checkpointStatement(
  stream: string,
  epoch: number,
  checkpoint: Checkpoint,
  previous: Checkpoint,
): SqlStatement {
  const at = checkpoint.commitAtMs === null ? null : new Date(checkpoint.commitAtMs).toISOString();
  const partial = checkpoint.partialLsn === null ? null : formatLsn(checkpoint.partialLsn);
  return {
    text: CHECKPOINT_SQL,
    values: [
      stream,
      String(epoch),
      formatLsn(checkpoint.lsn),
      at,
      partial,
      String(checkpoint.partialChanges),
      formatLsn(previous.lsn),
      String(previous.partialChanges),
    ],
  };
}

const READ_SQL = `
SELECT lsn, extract(epoch FROM commit_at)::float8::text AS commit_at, partial_lsn, partial_changes::text, epoch::text, leader, slot, publication, system_id, held
FROM db_redundancy.checkpoint WHERE stream = $1`;

/** Null when the stream has never been set up on this secondary. */
export async function readCheckpoint(session: TargetSession, stream: string): Promise<CheckpointRow | null> {
  const row = (await session.run({ text: READ_SQL, values: [stream] })).rows[0];
  if (!row) return null;
  return {
    lsn: parseLsn(row.lsn ?? '0/0'),
    commitAtMs: row.commit_at == null ? null : Math.round(Number(row.commit_at) * 1000),
    partialLsn: row.partial_lsn == null ? null : parseLsn(row.partial_lsn),
    partialChanges: Number(row.partial_changes ?? 0),
    epoch: Number(row.epoch ?? 0),
    leader: row.leader ?? null,
    slot: row.slot ?? '',
    publication: row.publication ?? '',
    systemId: row.system_id ?? '',
    held: row.held ?? null,
  };
}

/**
 * Takes the stream over: the epoch of every former leader is void from here on. Returns the new epoch. The controller
 * holds the stream by the same row, so that one of the two comes first, and whatever order that is, nothing is applied
 * after it held. @throws FencedError while the stream is held
 */
export async function takeLead(session: TargetSession, stream: string, leader: string): Promise<number> {
  const text = `UPDATE db_redundancy.checkpoint SET epoch = epoch + 1, leader = $2, renewed_at = now() WHERE stream = $1 AND held IS NULL RETURNING epoch::text`;
  const row = (await session.run({ text, values: [stream, leader] })).rows[0];
  if (!row) throw new FencedError('The stream is held: the secondary is active, or a failover is under way.');
  return Number(row.epoch);
}
