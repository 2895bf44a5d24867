/**
 * One snapshot of each side that show the same state: the primary's is taken, its place in the stream is marked, and
 * when the apply loop comes by that mark the secondary's is taken, unless a transaction lies between the two.
 * What is read in them afterwards may take its time: the stream goes on.
 */
import type { PoolClient } from 'pg';
import type { TargetSession } from '../apply/target-session.js';
import { parseSnapshot } from '../source/pg-snapshot.js';
import type { SourcePool } from '../source/sql-pool.js';
import type { WatermarkBoard } from './watermarks.js';

export interface PairedParts {
  readonly board: WatermarkBoard;
  readonly source: SourcePool;
  readonly connectTarget: () => Promise<TargetSession>;
  readonly signal: AbortSignal;
}

export async function inPairedSnapshots<T>(
  parts: PairedParts,
  work: (source: PoolClient, target: TargetSession) => Promise<T>,
): Promise<T> {
  const { board, connectTarget, signal, source } = parts;
  const target = await connectTarget();
  try {
    return await source.use((reader) =>
      source.use(async (marker) => {
        for (;;) {
          signal.throwIfAborted();
          const readSnapshot = async () => {
            await reader.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
            const { rows } = await reader.query<{ snapshot: string }>('SELECT pg_current_snapshot()::text AS snapshot');
            return parseSnapshot(rows[0]?.snapshot ?? '');
          };
          const level = await board.round(marker, 0, readSnapshot, async (snapshot, window, commits) => {
            if (commits.hasForgotten(window.openedAt)) return false;
            if (
              commits.anyBefore(snapshot.running, window.openedAt) ||
              commits.since(window.openedAt).some((xid) => !snapshot.isVisible(xid))
            )
              return false;
            await target.exec('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
            await target.exec('SELECT count(*) FROM db_redundancy.checkpoint');
            return true;
          });
          if (level) {
            const result = await work(reader, target);
            await Promise.all([reader.query('COMMIT'), target.exec('COMMIT')]);
            return result;
          }
          await reader.query('ROLLBACK');
        }
      }),
    );
  } finally {
    await target.close();
  }
}
