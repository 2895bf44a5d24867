/** load_progress and tables on the secondary: what survives a restart of a load. */
import { arrayLiteral } from '../apply/array-literal.js';
import type { SqlStatement } from '../apply/target-session.js';
import type { TableName } from '../core/ident.js';
import type { TableState } from '../core/status.js';
import type { TargetLink } from '../meta/target-link.js';
import type { Key } from './chunk-reader.js';

export interface RangeProgress {
  readonly rangeNo: number;
  /** Upper bound of the range, null for the last one. */
  readonly upper: Key | null;
  /** Last key loaded; null before the first chunk. */
  readonly cursor: Key | null;
  readonly rows: number;
  readonly done: boolean;
}

/** Range number of the pass over the secondary's own keys that removes what the primary does not have. */
export const PURGE_RANGE = -1;

export class ProgressStore {
  readonly #link: TargetLink;
  readonly #stream: string;

  constructor(link: TargetLink, stream: string) {
    this.#link = link;
    this.#stream = stream;
  }

  async ranges(table: TableName): Promise<RangeProgress[]> {
    const { rows } = await this.#link.run(
      `SELECT range_no::text, upper_key, cursor_key, rows::text, done::text FROM db_redundancy.load_progress
       WHERE stream = $1 AND schema_name = $2 AND table_name = $3 ORDER BY range_no`,
      [this.#stream, table.schema, table.name],
    );
    return rows.map((row) => ({
      rangeNo: Number(row.range_no),
      upper: parseKey(row.upper_key ?? null),
      cursor: parseKey(row.cursor_key ?? null),
      rows: Number(row.rows),
      done: row.done === 'true',
    }));
  }

  /** Stores the plan of a load and sets the table to loading. Repeating it changes nothing. */
  async begin(
    table: TableName,
    ranges: readonly { rangeNo: number; upper: Key | null }[],
    rowsExpected: number | null,
  ): Promise<void> {
    await this.#link.run(
      `INSERT INTO db_redundancy.load_progress (stream, schema_name, table_name, range_no, upper_key)
       SELECT $1, $2, $3, u.n, u.k FROM unnest($4::int8[], $5::text[]) AS u(n, k)
       ON CONFLICT (stream, schema_name, table_name, range_no) DO NOTHING`,
      [
        this.#stream,
        table.schema,
        table.name,
        `{${ranges.map((range) => range.rangeNo).join(',')}}`,
        `{${ranges.map((range) => (range.upper ? JSON.stringify(JSON.stringify(range.upper)) : 'NULL')).join(',')}}`,
      ],
    );
    await this.#link.run(
      `UPDATE db_redundancy.tables SET state = 'loading', rows_expected = $4::int8, updated_at = now()
       WHERE stream = $1 AND schema_name = $2 AND table_name = $3 AND state <> 'paused'`,
      [this.#stream, table.schema, table.name, rowsExpected === null ? null : String(Math.round(rowsExpected))],
    );
  }

  /** Keys that moved while the table was loading, to be read again; at most `most`. */
  async rereads(table: TableName, most: number): Promise<Key[]> {
    const { rows } = await this.#link.run(
      `SELECT row_key FROM db_redundancy.load_rereads WHERE stream = $1 AND schema_name = $2 AND table_name = $3 ORDER BY row_key LIMIT ${most}`,
      [this.#stream, table.schema, table.name],
    );
    return rows.map((row) => JSON.parse(row.row_key ?? '[]') as Key);
  }

  /** To be run in the transaction that has written the keys. */
  rereadDone(table: TableName, keys: readonly Key[]): SqlStatement {
    return {
      text: `DELETE FROM db_redundancy.load_rereads WHERE stream = $1 AND schema_name = $2 AND table_name = $3 AND row_key = ANY ($4::text[])`,
      values: [
        this.#stream,
        table.schema,
        table.name,
        arrayLiteral(
          keys.map((key) => [JSON.stringify(key)]),
          0,
          'quoted',
        ),
      ],
    };
  }

  /** To be run in the chunk's own transaction. */
  chunkDone(table: TableName, rangeNo: number, cursor: Key | null, rows: number, done: boolean): SqlStatement {
    return {
      text: `UPDATE db_redundancy.load_progress SET cursor_key = coalesce($5, cursor_key), rows = rows + $6::int8, done = $7::bool, updated_at = now()
        WHERE stream = $1 AND schema_name = $2 AND table_name = $3 AND range_no = $4::int8`,
      values: [
        this.#stream,
        table.schema,
        table.name,
        String(rangeNo),
        cursor ? JSON.stringify(cursor) : null,
        String(rows),
        String(done),
      ],
    };
  }

  /** The table's new state, and the plan of its load forgotten: run in one transaction. A load that follows purges, too. */
  finished(table: TableName, state: TableState, rowsLoaded: number): SqlStatement[] {
    const at = [this.#stream, table.schema, table.name];
    return [
      {
        text: `UPDATE db_redundancy.tables SET state = $4, purge = ${state === 'pending'}, reason = NULL, rows_loaded = $5::int8, updated_at = now()
          WHERE stream = $1 AND schema_name = $2 AND table_name = $3`,
        values: [...at, state, String(rowsLoaded)],
      },
      {
        text: `DELETE FROM db_redundancy.load_progress WHERE stream = $1 AND schema_name = $2 AND table_name = $3`,
        values: at,
      },
    ];
  }
}

function parseKey(text: string | null): Key | null {
  return text === null ? null : (JSON.parse(text) as Key);
}
