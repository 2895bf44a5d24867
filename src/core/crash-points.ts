/**
 * Named places of stream, load and sweep at which tests end the process without a word (DB_CRASH_AT, only where NODE_ENV
 * is test): before and after everything that becomes durable or is promised. The controller's places are in
 * failover/crash-points, recovery's in recovery/options. In production nothing listens, and a point costs a comparison.
 */
export const STREAM_POINTS = [
  /** Decoded, folded and about to be sent. */
  'batch:ready',
  /** Data and checkpoint are durable; the slot has not been told. */
  'batch:durable',
  /** The slot may have been told. */
  'batch:acknowledged',
  /** Inside the target transaction that is sent statement by statement. */
  'careful:begun',
  'careful:before-commit',
  'careful:durable',
  /** A part of a large transaction has been sent, and others follow. */
  'large:part',
  'large:before-commit',
  'large:durable',
  /** The idle checkpoint is about to be moved; it has been. */
  'checkpoint:moving',
  'checkpoint:durable',
] as const;

export const CHUNK_POINTS = [
  /** The lower watermark is in the WAL. */
  'chunk:low',
  /** The rows are read; the upper watermark is not in the WAL. */
  'chunk:read',
  /** The upper watermark is in the WAL; the apply loop has not come by. */
  'chunk:high',
  /** The rows are about to be written; they are there, with the progress. */
  'chunk:writing',
  'chunk:durable',
  /** The table is about to be handed over to the stream; it was. */
  'load:finishing',
  'load:finished',
  /** Rows differ and are about to be repaired; they were. */
  'sweep:suspects',
  'sweep:mended',
  /** The cursors of a sweep are about to be stored; they are. */
  'sweep:storing',
  'sweep:stored',
] as const;

export type CrashPointName = (typeof STREAM_POINTS)[number] | (typeof CHUNK_POINTS)[number];

let listener: ((name: CrashPointName) => void) | null = null;

/** Marks a place. */
export function crashPoint(name: CrashPointName): void {
  listener?.(name);
}

/** One listener for the process; null for none. */
export function onCrashPoint(heard: ((name: CrashPointName) => void) | null): void {
  listener = heard;
}
