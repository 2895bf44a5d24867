/**
 * How far the stream was behind when the primary was last seen: pure. Each good probe notes where the primary's WAL was
 * at that time; what the checkpoint has reached then tells of which time the secondary is.
 */
import type { Lsn } from '../core/lsn.js';

export interface WalSample {
  readonly atMs: number;
  readonly lsn: Lsn;
}

const KEPT_MS = 3_600_000;

/** Newest last; older than an hour is forgotten, but for the oldest needed. Where the clock has gone back, so have they. */
export function noteSample(before: readonly WalSample[], sample: WalSample): WalSample[] {
  const back = Math.max(0, (before.at(-1)?.atMs ?? sample.atMs) - sample.atMs);
  const samples = afterRest(before, -back);
  return [...samples.filter((each) => each.atMs > sample.atMs - KEPT_MS), sample];
}

/** Nobody used the primary for `ms`: what was true of it before was true all the time. */
export function afterRest(samples: readonly WalSample[], ms: number): WalSample[] {
  return samples.map((sample) => ({ ...sample, atMs: sample.atMs + ms }));
}

export interface StoredPosition {
  readonly lsn: Lsn;
  readonly commitAtMs: number | null;
}

/** Milliseconds; null when the primary was never seen. Never less than the truth by more than a probe's distance. */
export function lagWhenLastSeen(samples: readonly WalSample[], stored: StoredPosition): number | null {
  const last = samples.at(-1);
  if (!last) return null;
  const reached = samples.findLast((sample) => sample.lsn <= stored.lsn)?.atMs ?? Number.NEGATIVE_INFINITY;
  const current = Math.max(reached, stored.commitAtMs ?? Number.NEGATIVE_INFINITY);
  return current === Number.NEGATIVE_INFINITY ? null : Math.max(0, last.atMs - current);
}
