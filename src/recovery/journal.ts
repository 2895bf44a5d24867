/**
 * `db_redundancy.touched_keys`: every key that was written on the secondary since it was opened, one row a key. Times are
 * the secondary's, milliseconds.
 */
import { arrayLiteral } from '../apply/array-literal.js';
import type { SqlStatement, TargetSession } from '../apply/target-session.js';
import { type TableName, tableKey } from '../core/ident.js';

export type TableMark = '*changed' | '*columns' | '*truncated' | '*tail';

/** What `settled` says of a row of a stale table that differs and shall: it is neither copied nor compared. */
export const KEPT = 'kept';

export interface TouchedKey {
  readonly table: TableName;
  /** JSON array of texts, or a TableMark. */
  readonly rowKey: string;
  readonly at: string;
  readonly atMs: number;
}

export interface JournalRow extends TouchedKey {
  readonly written: boolean;
  readonly settled: string | null;
  readonly copied: boolean;
}

export interface JournalCounts {
  readonly keys: number;
  readonly copied: number;
  /** Time of the oldest change that is not copied; null when all are. */
  readonly oldestMs: number | null;
}

const FIELDS = `schema_name, table_name, row_key, "at", at_ms::text, written::text, settled, copied::text`;
const UNNEST = 'unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::int8[]) AS u(s, t, k, a, ms)';

export class Journal {
  readonly #stream: string;

  constructor(stream: string) {
    this.#stream = stream;
  }

  /**
   * Written on the secondary: to be copied (again).
   * @param exact `at` names the version, which can be seen by now: one that was copied is not copied again
   */
  touched(keys: readonly TouchedKey[], exact: boolean): SqlStatement {
    const copied = exact ? `touched_keys.copied AND touched_keys."at" = excluded."at"` : 'false';
    return {
      text: `INSERT INTO db_redundancy.touched_keys (stream, schema_name, table_name, row_key, "at", at_ms)
        SELECT $1, u.s, u.t, u.k, u.a, u.ms FROM ${UNNEST}
        ON CONFLICT (stream, schema_name, table_name, row_key) DO UPDATE SET "at" = excluded."at", at_ms = excluded.at_ms, written = true, copied = ${copied}`,
      values: this.#keys(keys),
    };
  }

  /** To be copied, although no change of it was seen: what was seen stays as evidence. */
  toBeCopied(keys: readonly TouchedKey[]): SqlStatement {
    return {
      text: `INSERT INTO db_redundancy.touched_keys (stream, schema_name, table_name, row_key, "at", at_ms, written)
        SELECT $1, u.s, u.t, u.k, u.a, u.ms, false FROM ${UNNEST}
        ON CONFLICT (stream, schema_name, table_name, row_key) DO UPDATE SET copied = false`,
      values: this.#keys(keys),
    };
  }

  /**
   * Decided upon up to the fence (its LSN), or put off until everything else is ('late'). What nobody wrote on the
   * secondary is equal on both sides then.
   */
  settled(keys: readonly TouchedKey[], fence: string): SqlStatement {
    return {
      text: `INSERT INTO db_redundancy.touched_keys (stream, schema_name, table_name, row_key, "at", at_ms, written, settled, copied)
        SELECT $1, u.s, u.t, u.k, u.a, u.ms, false, $7, true FROM ${UNNEST}
        ON CONFLICT (stream, schema_name, table_name, row_key) DO UPDATE SET settled = excluded.settled`,
      values: [...this.#keys(keys), fence],
    };
  }

  /** Is on the primary, unless it was written again meanwhile. */
  copied(keys: readonly TouchedKey[]): SqlStatement {
    return {
      text: `UPDATE db_redundancy.touched_keys AS j SET copied = true FROM (SELECT u.s, u.t, u.k, u.a, u.ms FROM ${UNNEST}) AS x
        WHERE j.stream = $1 AND j.schema_name = x.s AND j.table_name = x.t AND j.row_key = x.k AND j."at" = x.a AND j.at_ms = x.ms`,
      values: this.#keys(keys),
    };
  }

  async find(session: TargetSession, table: TableName, rowKeys: readonly string[]): Promise<Map<string, JournalRow>> {
    const { rows } = await session.run({
      text: `SELECT ${FIELDS} FROM db_redundancy.touched_keys WHERE stream = $1 AND schema_name = $2 AND table_name = $3 AND row_key = ANY ($4::text[])`,
      values: [
        this.#stream,
        table.schema,
        table.name,
        arrayLiteral(
          rowKeys.map((key) => [key]),
          0,
          'quoted',
        ),
      ],
    });
    return new Map(rows.map((row) => [row.row_key ?? '', parse(row)]));
  }

  /** Keys that wait, the oldest change first, behind `after`. Whole tables are not among them. */
  async pending(session: TargetSession, after: TouchedKey | null, limit: number): Promise<JournalRow[]> {
    const behind = after ? `AND (at_ms, schema_name, table_name, row_key) > ($3::int8, $4, $5, $6)` : '';
    const { rows } = await session.run({
      text: `SELECT ${FIELDS} FROM db_redundancy.touched_keys WHERE stream = $1 AND NOT copied AND row_key LIKE '[%' ${behind}
        ORDER BY at_ms, schema_name, table_name, row_key LIMIT $2::int8`,
      values: [this.#stream, String(limit), ...(after ? at(after) : [])],
    });
    return rows.map(parse);
  }

  /** All keys of the journal, copied or not, in the order of their names. */
  async page(session: TargetSession, after: TouchedKey | null, limit: number): Promise<JournalRow[]> {
    const behind = after ? `AND (schema_name, table_name, row_key) > ($3, $4, $5)` : '';
    const { rows } = await session.run({
      text: `SELECT ${FIELDS} FROM db_redundancy.touched_keys WHERE stream = $1 AND row_key LIKE '[%' ${behind}
        ORDER BY schema_name, table_name, row_key LIMIT $2::int8`,
      values: [this.#stream, String(limit), ...(after ? at(after).slice(1) : [])],
    });
    return rows.map(parse);
  }

  /** Rows of the tail that were put off. */
  async late(session: TargetSession): Promise<JournalRow[]> {
    const { rows } = await session.run({
      text: `SELECT ${FIELDS} FROM db_redundancy.touched_keys WHERE stream = $1 AND settled = 'late'`,
      values: [this.#stream],
    });
    return rows.map(parse);
  }

  /** Whole tables that wait for a comparison. */
  async marks(session: TargetSession): Promise<JournalRow[]> {
    const { rows } = await session.run({
      text: `SELECT ${FIELDS} FROM db_redundancy.touched_keys WHERE stream = $1 AND row_key LIKE '*%' AND NOT copied`,
      values: [this.#stream],
    });
    return rows.map(parse);
  }

  async counts(session: TargetSession): Promise<JournalCounts> {
    const { rows } = await session.run({
      text: `SELECT count(*)::text AS keys, count(CASE WHEN copied THEN 1 END)::text AS copied, min(CASE WHEN NOT copied THEN at_ms END)::text AS oldest
        FROM db_redundancy.touched_keys WHERE stream = $1`,
      values: [this.#stream],
    });
    const row = rows[0];
    return {
      keys: Number(row?.keys ?? 0),
      copied: Number(row?.copied ?? 0),
      oldestMs: row?.oldest == null ? null : Number(row.oldest),
    };
  }

  clear(): SqlStatement {
    return { text: 'DELETE FROM db_redundancy.touched_keys WHERE stream = $1', values: [this.#stream] };
  }

  #keys(keys: readonly TouchedKey[]): string[] {
    const rows = keys.map(({ table, rowKey, at, atMs }) => [table.schema, table.name, rowKey, at, String(atMs)]);
    return [this.#stream, ...[0, 1, 2, 3].map((i) => arrayLiteral(rows, i, 'quoted')), arrayLiteral(rows, 4, 'raw')];
  }
}

/** A string that two touched keys share exactly when they name the same row. */
export function touchedId({ table, rowKey }: Pick<TouchedKey, 'table' | 'rowKey'>): string {
  return `${tableKey(table)} ${rowKey}`;
}

function at({ table, rowKey, atMs }: TouchedKey): string[] {
  return [String(atMs), table.schema, table.name, rowKey];
}

function parse(row: Record<string, string | null>): JournalRow {
  return {
    table: { schema: row.schema_name ?? '', name: row.table_name ?? '' },
    rowKey: row.row_key ?? '',
    at: row.at ?? '',
    atMs: Number(row.at_ms),
    written: row.written === 'true',
    settled: row.settled ?? null,
    copied: row.copied === 'true',
  };
}
