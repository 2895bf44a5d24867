/**
 * What the controller does to the stream, by its checkpoint row on the secondary: the only thing that both share, in
 * whatever processes they run. Holding raises the epoch, so that nothing in flight can still commit, and whoever takes
 * the lead looks at `held` in the same statement.
 */
import type { Clock } from '../core/clock.js';
import { formatLsn, type Lsn, parseLsn } from '../core/lsn.js';
import { WATERMARK_PREFIX } from '../pipeline/entries.js';
import { isoTime } from './control-row.js';
import type { Database } from './database.js';
import type { StoredPosition } from './lag.js';

const POLL_MS = 25;

export interface HoldParts {
  readonly stream: string;
  readonly primary: Database;
  readonly secondary: Database;
  readonly clock: Clock;
  readonly deadlineMs: number;
}

export async function holdStream(parts: HoldParts, why: string): Promise<void> {
  await parts.secondary.run(
    'UPDATE db_redundancy.checkpoint SET epoch = epoch + 1, leader = NULL, held = $2 WHERE stream = $1 AND held IS NULL',
    [parts.stream, why],
    parts.deadlineMs,
  );
}

export async function releaseStream(parts: HoldParts): Promise<void> {
  await parts.secondary.run(
    'UPDATE db_redundancy.checkpoint SET held = NULL WHERE stream = $1 AND held IS NOT NULL',
    [parts.stream],
    parts.deadlineMs,
  );
}

/** Null when the stream was never set up. */
export async function readPosition(parts: HoldParts): Promise<StoredPosition | null> {
  const [row] = await parts.secondary.run(
    'SELECT lsn, commit_at::text FROM db_redundancy.checkpoint WHERE stream = $1',
    [parts.stream],
    parts.deadlineMs,
  );
  if (!row?.lsn) return null;
  return { lsn: parseLsn(row.lsn), commitAtMs: row.commit_at ? Date.parse(isoTime(row.commit_at)) : null };
}

/**
 * Where the fenced primary's WAL ends. A message behind it makes the stream store its position when it comes by, also
 * when nothing else is left to apply; a commit of ours flushes both, since a walsender sends flushed WAL only.
 */
export async function markFence({ deadlineMs, primary, stream }: HoldParts): Promise<Lsn> {
  return primary.use(deadlineMs, async (session) => {
    const [end] = await session.run('SELECT pg_current_wal_insert_lsn()::text AS lsn');
    await session.run('SELECT pg_logical_emit_message(false, $1, $2), pg_current_xact_id()', [
      WATERMARK_PREFIX,
      JSON.stringify({ s: stream, id: 'fence', k: 'fence' }),
    ]);
    return parseLsn(end?.lsn ?? '0/0');
  });
}

/** Resolves when everything before `lsn` is durable on the secondary. Rejects with the signal's reason. */
export async function untilReached(parts: HoldParts, lsn: Lsn, signal: AbortSignal): Promise<void> {
  for (;;) {
    const position = await readPosition(parts);
    if (position && position.lsn >= lsn) return;
    if (signal.aborted) {
      const at = position ? formatLsn(position.lsn) : 'nowhere';
      throw new Error(`the stream has not reached ${formatLsn(lsn)} in time, it is at ${at}`, { cause: signal.reason });
    }
    await parts.clock.sleep(POLL_MS, signal).catch(() => undefined);
  }
}
