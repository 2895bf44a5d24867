/** Waits for the moment in which a commit that the stream has seen becomes visible to queries as well. */
import type { ClientBase } from 'pg';
import type { Clock } from '../core/clock.js';
import { parseSnapshot } from '../source/pg-snapshot.js';
import type { RecentCommits } from './recent-commits.js';

/** Commits wait for one another: what is not visible yet is among the last few. */
const LOOK_BACK = 1000;
const POLL_MS = 2;

/** @param commits null: nothing was streamed yet */
export async function untilVisible(
  client: ClientBase,
  commits: RecentCommits | null,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  if (commits === null) return;
  const xids = commits.since(commits.position - LOOK_BACK);
  for (;;) {
    const { rows } = await client.query<{ snapshot: string }>('SELECT pg_current_snapshot()::text AS snapshot');
    const snapshot = parseSnapshot(rows[0]?.snapshot ?? '');
    if (xids.every((xid) => snapshot.isVisible(xid))) return;
    await clock.sleep(POLL_MS, signal);
  }
}

const SETTLE_MS = 3000;

/**
 * Before the first chunk of a session: transactions that were running when it began may have committed before the
 * stream's memory did, and still be invisible. Waits until they have ended; a commit does not take that long, so what
 * runs longer has not committed.
 */
export async function untilSettled(client: ClientBase, clock: Clock, signal: AbortSignal): Promise<void> {
  const current = async () => {
    const { rows } = await client.query<{ snapshot: string }>('SELECT pg_current_snapshot()::text AS snapshot');
    return parseSnapshot(rows[0]?.snapshot ?? '');
  };
  const { running } = await current();
  const deadline = clock.monotonic() + SETTLE_MS;
  while (running.length > 0 && clock.monotonic() < deadline) {
    const now = new Set((await current()).running);
    if (!running.some((xid) => now.has(xid))) return;
    await clock.sleep(50, signal);
  }
}
