/** What every workload is given. */
import type { BenchDatabase } from './database.js';
import type { Figure, Skipped } from './figures.js';

export interface BenchContext {
  readonly primary: BenchDatabase;
  readonly secondary: BenchDatabase;
  /** The secondary itself, or one of this run; null where none was found. */
  readonly cockroach: BenchDatabase | null;
  /** Servers of this run on this machine: nobody else's sessions, and their processes can be looked at. */
  readonly embedded: boolean;
  /** Why the two servers cannot have a native subscription; null: they can. */
  readonly nativeRefused: string | null;
  readonly turns: number;
  readonly quick: boolean;
  readonly idleMinutes: number;
  /** The compiled command line: what is measured runs as users run it. */
  readonly program: string;
  /** For programs of the system: PATH. */
  readonly path: string;
  readonly signal: AbortSignal;
  /** Peak memory in bytes of every streamer so far. */
  readonly peaks: number[];
  say(line: string): void;
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

export function nativeOnly(context: BenchContext): string | null {
  return context.nativeRefused;
}
