/** Rows that both sides wrote: the loser stays in `db_redundancy.conflicts`, with both versions (G8). */
import { arrayLiteral } from '../apply/array-literal.js';
import type { SqlStatement } from '../apply/target-session.js';
import type { TableName } from '../core/ident.js';

export interface Conflict {
  readonly table: TableName;
  /** JSON array of the key's texts. */
  readonly rowKey: string;
  /** Tells several conflicts of one key apart: the fence up to which they were decided, or a number of the copy. */
  readonly position: bigint;
  readonly winner: 'primary' | 'secondary';
  readonly rule: string;
  /** JSON of column and text; null: the row was deleted. */
  readonly primary: string | null;
  readonly secondary: string | null;
  /** Microseconds. */
  readonly primaryAt: bigint | null;
  readonly secondaryAt: bigint | null;
}

/** Harmless when it runs again: the first record of a conflict stays. */
export function conflictsStatement(
  stream: string,
  failoverEpoch: number,
  conflicts: readonly Conflict[],
): SqlStatement {
  const rows = conflicts.map((each) => [
    each.table.schema,
    each.table.name,
    each.rowKey,
    String(each.position),
    each.winner,
    each.rule,
    each.primary,
    each.secondary,
    timeText(each.primaryAt),
    timeText(each.secondaryAt),
  ]);
  const arrays = (rows[0] ?? []).map((_, i) => arrayLiteral(rows, i, 'quoted'));
  return {
    text: `INSERT INTO db_redundancy.conflicts (stream, failover_epoch, schema_name, table_name, row_key, position, winner, rule, primary_version, secondary_version, primary_at, secondary_at)
      SELECT $1, $2::int8, u.s, u.t, u.k, u.pos::int8, u.w, u.r, u.p, u.v, u.pa::timestamptz, u.va::timestamptz
      FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[]) AS u(s, t, k, pos, w, r, p, v, pa, va)
      ON CONFLICT (stream, failover_epoch, schema_name, table_name, row_key, position) DO NOTHING`,
    values: [stream, String(failoverEpoch), ...arrays],
  };
}

/** What is no moment of the years 1 to 9999 (an infinite `updated_at`, a plain number) is left out. */
function timeText(micros: bigint | null): string | null {
  if (micros === null) return null;
  const ms = Number(micros / 1000n);
  if (!(ms > -62_000_000_000_000 && ms < 253_000_000_000_000)) return null;
  return `${new Date(ms).toISOString().slice(0, 19)}.${String(((micros % 1_000_000n) + 1_000_000n) % 1_000_000n).padStart(6, '0')}Z`;
}
