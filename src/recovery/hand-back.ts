/**
 * The forward stream goes on behind the tail and behind everything that was copied. The slot comes first: it may be
 * behind the checkpoint, which the stream then skips to, but never past it, which the stream would take for a gap.
 */
import { readCheckpoint } from '../apply/checkpoint.js';
import type { TargetSession } from '../apply/target-session.js';
import { formatLsn, type Lsn, maxLsn, parseLsn } from '../core/lsn.js';
import type { TargetLink } from '../meta/target-link.js';
import { createSlot, dropSlot, readSlot, readSourceState } from '../source/slot.js';
import type { CatchupStore } from './catchup-store.js';
import { inTransaction } from './connections.js';
import type { RecoveryOptions } from './options.js';

export async function handBackStream(
  options: RecoveryOptions,
  primary: TargetSession,
  link: TargetLink,
  store: CatchupStore,
): Promise<Lsn> {
  const { slot, stream } = options;
  const found = await readSlot(primary.client, slot);
  const usable =
    found !== null && found.walStatus !== 'lost' && found.confirmedFlushLsn !== null && found.restartLsn !== null;
  let from: Lsn = found?.confirmedFlushLsn ?? 0n;
  if (!usable) {
    if (found) await dropSlot(primary.client, slot);
    from = await createSlot(primary.client, slot);
  }
  await options.at?.('slot-aligned');
  // A record of its own: everything that committed on the fenced primary ends before it, and what follows begins behind.
  const { rows } = await primary.run({
    text: `SELECT pg_logical_emit_message(false, 'db_redundancy.position', $1)::text AS lsn`,
    values: [stream],
  });
  const position = maxLsn(from, parseLsn(rows[0]?.lsn ?? '0/0'));
  const { systemId } = await readSourceState(primary.client);
  await inTransaction(link, async (session) => {
    await store.lock(session);
    // The epoch of every former leader of the stream is void with the position that it knew.
    await session.run({
      text: `UPDATE db_redundancy.checkpoint SET lsn = $2, slot = $3, system_id = $4, commit_at = now(), partial_lsn = NULL, partial_changes = 0, epoch = epoch + 1, renewed_at = now() WHERE stream = $1`,
      values: [stream, formatLsn(position), slot, systemId],
    });
    await store.setPhase(session, 'handed-back');
  });
  await options.at?.('checkpoint-moved');
  const checkpoint = await link.with((session) => readCheckpoint(session, stream));
  return checkpoint?.lsn ?? position;
}
