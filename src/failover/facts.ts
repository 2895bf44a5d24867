/** What the guards need to know from the secondary. */
import { displayName } from '../core/ident.js';
import type { FailoverFacts } from './guards.js';
import { lagWhenLastSeen, type StoredPosition, type WalSample } from './lag.js';

export interface FactReader {
  position(): Promise<StoredPosition | null>;
  /** Tables that were never loaded to the end. */
  incompleteTables(): Promise<{ readonly schema: string; readonly name: string }[]>;
}

export async function readFailoverFacts(
  reader: FactReader,
  samples: readonly WalSample[],
): Promise<Pick<FailoverFacts, 'lagMs' | 'incompleteTables'>> {
  try {
    const position = await reader.position();
    const incomplete = await reader.incompleteTables();
    return {
      lagMs: position === null ? null : lagWhenLastSeen(samples, position),
      incompleteTables: position === null ? ['none was loaded yet'] : incomplete.map(displayName),
    };
  } catch (error) {
    // The secondary does not answer: the guard on its probe says so; nothing else is known.
    const why = error instanceof Error ? error.message : String(error);
    return { lagMs: null, incompleteTables: [`unknown (${why})`] };
  }
}
