/** What every workload is given. */
import type { CockroachPlace } from './cockroach-place.js';
import type { BenchDatabase } from './database.js';
import type { Figure, Skipped } from './figures.js';

export interface BenchContext {
  readonly primary: BenchDatabase;
  readonly secondary: BenchDatabase;
  /** The secondary itself, or one of this run; null where none was found. */
  readonly cockroach: CockroachPlace | null;
  /** Servers of this run on this machine: nobody else's sessions, and their processes can be looked at. */
  readonly embedded: boolean;
  /** Why the two servers cannot have a native subscription; null: they can. */
  readonly nativeRefused: string | null;
  readonly turns: number;
  /** Share of the full data: 1 for figures, a little to see that it works. */
  readonly size: number;
  readonly idleMinutes: number;
  /** The compiled command line: what is measured runs as users run it. */
  readonly program: string;
  /** For programs of the system: PATH. */
  readonly path: string;
  readonly signal: AbortSignal;
  /** Name of the workload that runs. */
  readonly workload: string;
  /** Peak memory of every streamer so far. */
  readonly peaks: Peak[];
  say(line: string): void;
}

export interface Peak {
  readonly workload: string;
  readonly bytes: number;
}

export interface Workload {
  /** Of the figures that it gives: P1, P11. */
  readonly ids: readonly string[];
  readonly name: string;
  /** Why it cannot run here; null: it can. */
  refused(context: BenchContext): string | null;
  run(context: BenchContext): Promise<readonly (Figure | Skipped)[]>;
}

/** A replication that is running, ours or the database's own. */
export interface Replication {
  /** Processor seconds so far of what applies; null where they cannot be seen from here. */
  cpu(): Promise<number | null>;
  /** Ends it, and takes away what it needed on both sides. */
  stop(): Promise<void>;
}

/** A number of rows of the full workload, as many as this run has of it; a multiple of 1,000. */
export function sized({ size }: Pick<BenchContext, 'size'>, full: number): number {
  return Math.max(1000, Math.round((full * size) / 1000) * 1000);
}

/** Length of a live workload: half a minute says no more than 20 seconds, and less than 3 says nothing. */
export function liveSeconds({ size }: Pick<BenchContext, 'size'>): number {
  return Math.min(20, Math.max(3, Math.round(20 * size)));
}

export function nativeOnly(context: BenchContext): string | null {
  return context.nativeRefused;
}
