/** The month's usage on the secondary: sums of all processes, moved by additions only. */
import type { TargetLink } from '../meta/target-link.js';
import type { StoredUsage, UsageStore } from './usage.js';

const COLUMNS = `what, amount::text AS amount, (extract(epoch FROM since) * 1000)::int8::text AS since_ms`;

const ADD_SQL = `
INSERT INTO db_redundancy.usage AS u (stream, month, what, amount, since)
SELECT $1, $2, w, a, $5::timestamptz FROM unnest($3::text[], $4::float8[]) AS n (w, a)
ON CONFLICT (stream, month, what) DO UPDATE SET amount = u.amount + excluded.amount, since = least(u.since, excluded.since)
RETURNING u.what, u.amount::text AS amount, (extract(epoch FROM u.since) * 1000)::int8::text AS since_ms`;

export class LinkUsageStore implements UsageStore {
  readonly #link: Pick<TargetLink, 'run'>;
  readonly #stream: string;

  constructor(link: Pick<TargetLink, 'run'>, stream: string) {
    this.#link = link;
    this.#stream = stream;
  }

  async read(month: string): Promise<StoredUsage | null> {
    const { rows } = await this.#link.run(
      `SELECT ${COLUMNS} FROM db_redundancy.usage WHERE stream = $1 AND month = $2`,
      [this.#stream, month],
    );
    return rows.length === 0 ? null : usageOf(rows);
  }

  async add(month: string, amounts: ReadonlyMap<string, number>, sinceMs: number): Promise<StoredUsage> {
    const [what, amount] = [[...amounts.keys()], [...amounts.values()]];
    const since = new Date(sinceMs).toISOString();
    const values = [this.#stream, month, `{${what.join(',')}}`, `{${amount.join(',')}}`, since];
    return usageOf((await this.#link.run(ADD_SQL, values)).rows);
  }
}

function usageOf(rows: readonly Record<string, string | null>[]): StoredUsage {
  return {
    amounts: new Map(rows.map((row) => [row.what ?? '', Number(row.amount)])),
    sinceMs: Math.min(...rows.map((row) => Number(row.since_ms))),
  };
}
