/** What the guards need to know from the secondary. */
import { displayName, type TableName } from '../core/ident.js';
import type { FailoverFacts } from './guards.js';
import { lagWhenLastSeen, type StoredPosition, type WalSample } from './lag.js';
import type { ListSource } from './lists.js';

export interface StaleTable extends TableName {
  /** By the stream; else its load has not ended. */
  readonly paused: boolean;
}

export interface FactReader {
  position(): Promise<StoredPosition | null>;
  /** Tables that are not kept up to date. */
  staleTables(): Promise<StaleTable[]>;
}

export async function readFailoverFacts(
  reader: FactReader,
  samples: readonly WalSample[],
): Promise<Pick<FailoverFacts, 'lagMs' | 'incompleteTables' | 'pausedTables'>> {
  try {
    const position = await reader.position();
    const stale = await reader.staleTables();
    const names = (paused: boolean) => stale.filter((table) => table.paused === paused).map(displayName);
    return {
      lagMs: position === null ? null : lagWhenLastSeen(samples, position),
      incompleteTables: position === null ? ['none was loaded yet'] : names(false),
      pausedTables: names(true),
    };
  } catch (error) {
    // The secondary does not answer: the guard on its probe says so; nothing else is known.
    const why = error instanceof Error ? error.message : String(error);
    return { lagMs: null, incompleteTables: [`unknown (${why})`], pausedTables: [] };
  }
}

/** One that is loaded anew was complete before, and is followed meanwhile. */
export async function readStaleTables(source: ListSource, stream: string): Promise<StaleTable[]> {
  const rows = await source.run(
    `SELECT schema_name, table_name, state FROM db_redundancy.tables
     WHERE stream = $1 AND (state = 'paused' OR (state IN ('pending', 'loading') AND NOT purge)) ORDER BY 1, 2`,
    [stream],
  );
  return rows.map((row) => ({
    schema: row.schema_name ?? '',
    name: row.table_name ?? '',
    paused: row.state === 'paused',
  }));
}
