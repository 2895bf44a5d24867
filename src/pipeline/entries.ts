/** What flows from the assembler to the apply loop, in WAL order. */
import type { Change, CommitInfo } from '../core/change.js';
import type { Lsn } from '../core/lsn.js';

/**
 * A source transaction, or a part of a large one. `commit` is present in the last part only: before it, where the
 * transaction ends is not known.
 */
export interface TransactionPart {
  readonly kind: 'transaction';
  readonly xid: number;
  readonly commitLsn: Lsn;
  readonly commitAtMs: number;
  readonly first: boolean;
  readonly commit: CommitInfo | null;
  readonly changes: readonly Change[];
  /** Bytes on the wire, the measure of memory for limits. */
  readonly bytes: number;
  /** The catch-up's own transaction coming back: its changes were not kept. */
  readonly echo: boolean;
}

/** A non-transactional logical message of our own: a watermark. */
export interface WatermarkEntry {
  readonly kind: 'watermark';
  readonly lsn: Lsn;
  readonly content: string;
  readonly bytes: number;
}

export type Entry = TransactionPart | WatermarkEntry;

/**
 * Prefix of non-transactional watermark messages. One with `"k":"fence"` makes the stream store its position at once: a
 * switchover waits for that.
 */
export const WATERMARK_PREFIX = 'db_redundancy.watermark';
/** Prefix of the transactional message with which the catch-up's transactions on the primary begin. */
export const ECHO_PREFIX = 'db_redundancy';

export function isFenceMark(entry: WatermarkEntry): boolean {
  return /"k":\s*"fence"/.test(entry.content);
}
