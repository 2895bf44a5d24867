/** Row counts of both sides, at the same position of the stream: exact, also under load. */
import { displayName, quoteTable, type TableName } from '../core/ident.js';
import { inPairedSnapshots, type PairedParts } from '../snapshot/paired.js';

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

/** One sentence per table that differs. */
export function describeDifferences(results: readonly CountResult[]): string[] {
  return results
    .filter((result) => result.primary !== result.secondary)
    .map(
      (result) => `${displayName(result)}: ${result.primary} rows on the primary, ${result.secondary} on the secondary`,
    );
}
