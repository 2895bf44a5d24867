/** Row counts of both sides: at the same position of the stream, exact under load, or, from outside, until they agree. */
import type { Clock } from '../core/clock.js';
import { displayName, quoteTable, type TableName } from '../core/ident.js';
import type { TargetLink } from '../meta/target-link.js';
import { inPairedSnapshots, type PairedParts } from '../snapshot/paired.js';
import type { SourcePool } from '../source/sql-pool.js';

export interface CountResult extends TableName {
  readonly primary: number;
  readonly secondary: number;
}

export async function compareCounts(parts: PairedParts, tables: readonly TableName[]): Promise<CountResult[]> {
  return inPairedSnapshots(parts, async (source, target) => {
    const results: CountResult[] = [];
    for (const table of tables) {
      const text = `SELECT count(*)::text AS n FROM ${quoteTable(table.schema, table.name)}`;
      const [primary, secondary] = await Promise.all([
        source.query<{ n: string }>(text),
        target.run({ text, values: [] }),
      ]);
      results.push({
        schema: table.schema,
        name: table.name,
        primary: Number(primary.rows[0]?.n),
        secondary: Number(secondary.rows[0]?.n),
      });
    }
    return results;
  });
}

export interface LooseParts {
  readonly source: SourcePool;
  readonly link: TargetLink;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const LOOSE_ATTEMPTS = 30;
const LOOSE_POLL_MS = 1000;

/** Counts of both sides where another process leads: repeated until they agree, or for half a minute. */
export async function compareCountsLoosely(
  { clock, link, signal, source }: LooseParts,
  tables: readonly TableName[],
): Promise<CountResult[]> {
  for (let attempt = 0; ; attempt++) {
    const results: CountResult[] = [];
    for (const { schema, name } of tables) {
      const text = `SELECT count(*)::text AS n FROM ${quoteTable(schema, name)}`;
      const primary = await source.use(async (client) => Number((await client.query<{ n: string }>(text)).rows[0]?.n));
      const secondary = Number((await link.run(text)).rows[0]?.n);
      results.push({ schema, name, primary, secondary });
    }
    if (attempt >= LOOSE_ATTEMPTS || results.every((result) => result.primary === result.secondary)) return results;
    await clock.sleep(LOOSE_POLL_MS, signal);
  }
}

/** One sentence per table that differs. */
export function describeDifferences(results: readonly CountResult[]): string[] {
  return results
    .filter((result) => result.primary !== result.secondary)
    .map(
      (result) => `${displayName(result)}: ${result.primary} rows on the primary, ${result.secondary} on the secondary`,
    );
}
