/**
 * Whether the slot still continues what the checkpoint says, a pure decision. A slot that was lost, replaced or moved,
 * and a primary or secondary that was restored from an older copy, leave a gap that the stream cannot see: then
 * everything is compared again through the watermark path, loudly, instead of going on as if nothing had happened.
 */
import type { Checkpoint } from '../apply/checkpoint.js';
import { formatLsn, type Lsn } from '../core/lsn.js';
import type { SlotInfo, SourceState } from '../source/slot.js';

export type StartDecision =
  | { readonly kind: 'stream' }
  /** `from` null: the slot must be created (after dropping what is left of it). */
  | { readonly kind: 'full-sync'; readonly reason: string; readonly from: Lsn | null };

export function decideStart(
  checkpoint: Pick<Checkpoint, 'lsn'> & { readonly systemId: string },
  slot: SlotInfo | null,
  source: Pick<SourceState, 'systemId' | 'insertLsn'>,
): StartDecision {
  if (slot === null) return { kind: 'full-sync', reason: 'the replication slot is missing', from: null };
  if (slot.walStatus === 'lost' || slot.confirmedFlushLsn === null || slot.restartLsn === null) {
    return {
      kind: 'full-sync',
      reason: 'the replication slot was invalidated: the primary has removed WAL that it needed',
      from: null,
    };
  }
  const from = slot.confirmedFlushLsn;
  const at = formatLsn(checkpoint.lsn);
  if (checkpoint.systemId !== '' && source.systemId !== '' && checkpoint.systemId !== source.systemId) {
    return {
      kind: 'full-sync',
      reason: 'the primary is another database cluster than the one that the checkpoint is of',
      from,
    };
  }
  if (source.insertLsn < checkpoint.lsn) {
    return {
      kind: 'full-sync',
      reason: `the primary's WAL ends at ${formatLsn(source.insertLsn)}, before the checkpoint ${at}: it was restored from an older copy`,
      from,
    };
  }
  if (from > checkpoint.lsn) {
    return {
      kind: 'full-sync',
      reason: `the slot is at ${formatLsn(from)}, past the checkpoint ${at}: it was replaced or moved, or the secondary was restored from an older copy`,
      from,
    };
  }
  return { kind: 'stream' };
}
