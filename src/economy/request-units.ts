/**
 * Request units of CockroachDB Basic, by estimate from its published rates: 1 unit is 3 ms of CPU, 1 KiB of egress, 2 read
 * batches, 64 KiB read, 1 write batch or 1 KiB written, the last two for each of three replicas. Where there is a doubt
 * the estimate is high. Pure.
 */
import type { UnitClass } from '../core/economy.js';

interface Work {
  readonly cpuMs: number;
  readonly egressBytes?: number;
  readonly readBatches?: number;
  readonly readBytes?: number;
  readonly writeBatches?: number;
  readonly writtenBytes?: number;
}

const REPLICAS = 3;

export function unitsOf(work: Work): number {
  const { cpuMs, egressBytes = 0, readBatches = 0, readBytes = 0, writeBatches = 0, writtenBytes = 0 } = work;
  const reading = cpuMs / 3 + egressBytes / 1024 + readBatches / 2 + readBytes / 65_536;
  return reading + REPLICAS * (writeBatches + writtenBytes / 1024);
}

/** As published for an insert of 1 KiB into a table with one index; a smaller row is reckoned as that one. */
const UNITS_PER_KIB_CHANGED = 18.55;

/** A statement of each class, or a row of it. */
export const UNITS: Readonly<Record<Exclude<UnitClass, 'change' | 'load'>, number>> = {
  'metadata-read': unitsOf({ cpuMs: 2, egressBytes: 512, readBatches: 1, readBytes: 1024 }),
  'metadata-write': unitsOf({
    cpuMs: 3,
    egressBytes: 256,
    readBatches: 1,
    readBytes: 1024,
    writeBatches: 1,
    writtenBytes: 512,
  }),
  statement: unitsOf({ cpuMs: 1, egressBytes: 128 }),
  // Key and time of a row, read and sent.
  sweep: unitsOf({ cpuMs: 0.05, egressBytes: 64, readBytes: 1024 }),
  // A row of a KiB, read and hashed where it is.
  verify: unitsOf({ cpuMs: 0.05, readBytes: 1024 }),
};

export function unitsOfRows(rows: number, bytes: number): number {
  return UNITS_PER_KIB_CHANGED * Math.max(rows, bytes / 1024);
}

/** By the text alone: what it does to rows of the application is counted as rows. */
export function classOf(text: string): Extract<UnitClass, 'metadata-read' | 'metadata-write' | 'statement'> {
  if (!text.includes('db_redundancy.')) return 'statement';
  return /\b(INSERT|UPDATE|UPSERT|DELETE)\b/.test(text) ? 'metadata-write' : 'metadata-read';
}
