/**
 * A snapshot of each side that lie as close together as the stream allows: the primary's is taken between two watermarks,
 * the secondary's when the apply loop comes by the second. What commits in between is the only thing in which they may
 * differ, and every row found to differ is looked at once more; so for a table with a key a near pair is good enough. For
 * one without a key there is nothing to look at again, and the pair must be exact.
 */
import type { PoolClient } from 'pg';
import type { Clock } from '../core/clock.js';
import type { WatermarkBoard } from '../snapshot/watermarks.js';
import { parseSnapshot } from '../source/pg-snapshot.js';
import type { SourcePool } from '../source/sql-pool.js';
import { destroyConnection, type TargetReader } from './target-reader.js';

export interface AlignedParts {
  readonly board: WatermarkBoard;
  readonly source: SourcePool;
  readonly connectReader: () => Promise<TargetReader>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

export interface Aligned {
  readonly primary: PoolClient;
  readonly secondary: TargetReader;
}

/** Tries for a pair with nothing in between, before a near one is taken. */
const ATTEMPTS = 10;
/** A table without a key that is written all the time: given up after. */
const EXACT_MS = 30_000;

/** @returns null when there was no exact pair for a table that needs one */
export async function inAlignedSnapshots<T>(
  parts: AlignedParts,
  table: { readonly oid: number; readonly keyed: boolean },
  work: (aligned: Aligned) => Promise<T>,
): Promise<T | null> {
  const { board, clock, connectReader, signal, source } = parts;
  const secondary = await connectReader();
  const touched = new Set<number>();
  let scanning: PoolClient | null = null;
  const cut = () => {
    secondary.destroy();
    if (scanning) destroyConnection(scanning);
  };
  signal.addEventListener('abort', cut, { once: true });
  if (!table.keyed) board.watched.set(table.oid, touched);
  const watchedFrom = board.commits.position;
  const deadline = clock.monotonic() + EXACT_MS;
  try {
    return await source.use((primary) =>
      source.use(async (marker) => {
        for (let attempt = 1; ; attempt++) {
          signal.throwIfAborted();
          const readSnapshot = async () => {
            await primary.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
            const { rows } = await primary.query<{ snapshot: string }>(
              'SELECT pg_current_snapshot()::text AS snapshot',
            );
            return parseSnapshot(rows[0]?.snapshot ?? '');
          };
          const outcome = await board.round(marker, 0, readSnapshot, async (snapshot, window, commits) => {
            const unseen = (xid: number) => !snapshot.isVisible(xid);
            const exact = table.keyed
              ? !commits.hasForgotten(window.openedAt) && !commits.since(window.openedAt).some(unseen)
              : ![...touched].some(unseen) && !commits.anyBefore(snapshot.running, watchedFrom);
            if (!exact && (!table.keyed || attempt < ATTEMPTS)) return 'again' as const;
            // Thrown in here it would end the stream, whose affair it is not.
            return secondary.beginSnapshot().catch((error: unknown) => ({ error }));
          });
          if (outcome === 'again') {
            await primary.query('ROLLBACK');
            if (!table.keyed && clock.monotonic() > deadline) return null;
            continue;
          }
          if (outcome) throw outcome.error;
          signal.throwIfAborted();
          scanning = primary;
          const result = await work({ primary, secondary });
          await Promise.all([primary.query('COMMIT'), secondary.client.query('COMMIT')]);
          scanning = null;
          return result;
        }
      }),
    );
  } finally {
    signal.removeEventListener('abort', cut);
    // A load that has begun meanwhile watches with a set of its own.
    if (board.watched.get(table.oid) === touched) board.watched.delete(table.oid);
    await secondary.close();
  }
}
