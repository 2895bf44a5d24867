/**
 * Closing a database to the application, and opening it again exactly as it was (docs/decisions/0006-failover.md,
 * FACTS of what each measure does: REVOKE and NOLOGIN leave open transactions alone, so sessions are ended as well, and
 * whether none is left is looked at again and again). What was changed is stored on the database itself, each measure
 * with the statement that undoes it, before or together with the change: a crash in between loses nothing.
 */
import type { Clock } from '../core/clock.js';
import { RedundancyError } from '../core/errors.js';
import type { TableName } from '../core/ident.js';
import type { Log } from '../core/log.js';
import type { Side } from '../core/route.js';
import type { Database, Session } from './database.js';

export interface FenceReport {
  /** Roles that were kept from writing. */
  readonly roles: readonly string[];
  /** Sessions that were ended. */
  readonly ended: number;
  /** Who could still write, and what to do about it: one sentence each. Empty: the fence is complete. */
  readonly gaps: readonly string[];
}

export interface Fence {
  /**
   * Nobody but our own sessions can write the replicated tables when it resolves, and nothing uncommitted of others is
   * left there. May be called again at any time. @throws FenceError when the deadline passes first
   */
  close(tables: readonly TableName[], signal: AbortSignal): Promise<FenceReport>;
  /** Restores what `close` changed. Takes no lock that a reader or writer would wait for. */
  open(): Promise<void>;
  /** Takes away what an open fence leaves in place. For the primary, which is the application's; best effort. */
  remove(tables: readonly TableName[]): Promise<void>;
  /** Whether the fence stands, by its own record. */
  isClosed(): Promise<boolean>;
}

export interface FenceParts {
  readonly stream: string;
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  /** For one statement or a short transaction. */
  readonly deadlineMs: number;
}

export class FenceError extends RedundancyError {
  constructor(side: Side, why: string, cause?: unknown) {
    super(`The ${side} could not be closed to the application: ${why}`, {
      code: 'fence',
      remedy: 'Look at the sessions on that database; end those that hold locks on replicated tables.',
      cause,
    });
  }
}

/** One change with the statement that takes it back. */
export interface Measure {
  readonly what: string;
  readonly sql: string;
  readonly undo: string;
}

const MARK = 'fence';

/** For a transaction: record and change are one. CockroachDB wants the change first. */
export async function applyMeasure(session: Session, stream: string, measure: Measure): Promise<void> {
  await session.run(measure.sql);
  await recordMeasure(session, stream, measure);
}

export async function recordMeasure(session: Session, stream: string, measure: Measure): Promise<void> {
  await session.run(
    `INSERT INTO db_redundancy.fence (stream, no, what, undo)
     SELECT $1, coalesce(max(no), 0) + 1, $2, $3 FROM db_redundancy.fence WHERE stream = $1`,
    [stream, measure.what, measure.undo],
  );
}

export async function markClosed(session: Session, stream: string): Promise<void> {
  await session.run(
    `INSERT INTO db_redundancy.fence (stream, no, what, undo) VALUES ($1, 0, '${MARK}', '') ON CONFLICT (stream, no) DO NOTHING`,
    [stream],
  );
}

export async function readMeasures(
  session: Session,
  stream: string,
): Promise<{ no: string; what: string; undo: string }[]> {
  const rows = await session.run(
    'SELECT no::text, what, undo FROM db_redundancy.fence WHERE stream = $1 ORDER BY fence.no DESC',
    [stream],
  );
  return rows.map((row) => ({ no: row.no ?? '0', what: row.what ?? '', undo: row.undo ?? '' }));
}

export async function forgetMeasure(session: Session, stream: string, no: string): Promise<void> {
  await session.run('DELETE FROM db_redundancy.fence WHERE stream = $1 AND no = $2::int8', [stream, no]);
}

export async function readClosed({ database, deadlineMs, stream }: FenceParts): Promise<boolean> {
  const rows = await database.run(
    'SELECT 1 AS there FROM db_redundancy.fence WHERE stream = $1 AND no = 0',
    [stream],
    deadlineMs,
  );
  return rows.length > 0;
}

/** Objects that were dropped while the fence stood need nothing restored. */
export const GONE = new Set(['42P01', '42704', '3F000', '42703', '3D000', '42883']);
