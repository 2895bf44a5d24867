/** The rows of db_redundancy.tables for one stream: per-table state that outlives the process. */
import type { TableName } from '../core/ident.js';
import { tableKey } from '../core/ident.js';
import type { TableState } from '../core/status.js';
import type { Link } from '../meta/target-link.js';
import type { VerifyOrder } from '../reconcile/state.js';

/** A column of the primary as it was when the secondary's table was last made to fit. */
export interface KnownColumn {
  readonly attnum: number;
  readonly name: string;
  readonly nullable: boolean;
  readonly type: string;
  readonly typeOid: number;
  readonly typmod: number;
  /** Names that it had before: replayed WAL may still use them. */
  readonly formerly: readonly string[];
  /** Numbers of dropped columns of the same name, of which replayed WAL may still speak; absent: none. */
  readonly replaces?: readonly number[];
}

export interface StoredTable extends TableName {
  readonly state: TableState;
  readonly purge: boolean;
  readonly reason: string | null;
  readonly columns: readonly KnownColumn[] | null;
  /** Fingerprint, of its partitions among others: see unannounced.ts; null before the first look. */
  readonly partitions: string | null;
  readonly rowsLoaded: number;
  /** A verify that was ordered and not carried out yet. */
  readonly verifyOrder: VerifyOrder | null;
}

export class TablesStore {
  readonly #link: Link;
  readonly #stream: string;

  constructor(link: Link, stream: string) {
    this.#link = link;
    this.#stream = stream;
  }

  async list(): Promise<StoredTable[]> {
    const { rows } = await this.#link.run(
      `SELECT schema_name, table_name, state, purge::text, reason, columns, partitions, rows_loaded::text, verify_order FROM db_redundancy.tables WHERE stream = $1 ORDER BY 1, 2`,
      [this.#stream],
    );
    return rows.map((row) => ({
      schema: row.schema_name ?? '',
      name: row.table_name ?? '',
      state: row.state as TableState,
      purge: row.purge === 'true',
      reason: row.reason ?? null,
      columns: row.columns ? (JSON.parse(row.columns) as KnownColumn[]) : null,
      partitions: row.partitions ?? null,
      rowsLoaded: Number(row.rows_loaded),
      verifyOrder: row.verify_order ? (JSON.parse(row.verify_order) as VerifyOrder) : null,
    }));
  }

  /** Adds a table that waits for its load. One that is known already is left alone. */
  async add(table: TableName): Promise<void> {
    await this.#link.run(
      `INSERT INTO db_redundancy.tables (stream, schema_name, table_name, state) VALUES ($1, $2, $3, 'pending')
       ON CONFLICT (stream, schema_name, table_name) DO NOTHING`,
      [this.#stream, table.schema, table.name],
    );
  }

  async remove(table: TableName): Promise<void> {
    await this.#link.run(
      'DELETE FROM db_redundancy.tables WHERE stream = $1 AND schema_name = $2 AND table_name = $3',
      this.#at(table),
    );
  }

  async setColumns(table: TableName, columns: readonly KnownColumn[]): Promise<void> {
    await this.#link.run(
      'UPDATE db_redundancy.tables SET columns = $4, updated_at = now() WHERE stream = $1 AND schema_name = $2 AND table_name = $3',
      [...this.#at(table), JSON.stringify(columns)],
    );
  }

  async setPartitions(table: TableName, fingerprint: string): Promise<void> {
    await this.#link.run(
      'UPDATE db_redundancy.tables SET partitions = $4 WHERE stream = $1 AND schema_name = $2 AND table_name = $3',
      [...this.#at(table), fingerprint],
    );
  }

  async pause(table: TableName, reason: string): Promise<void> {
    await this.#link.run(
      `UPDATE db_redundancy.tables SET state = 'paused', reason = $4, updated_at = now() WHERE stream = $1 AND schema_name = $2 AND table_name = $3`,
      [...this.#at(table), reason],
    );
  }

  /**
   * Orders a reload that also removes what the primary does not have. `only` null: every table that is not paused.
   * @param goOn one that was ordered before and has not ended goes on where it is. Not where changes may have been missed
   *   since: what it has done already would not be looked at again.
   * @param leavePaused not a person's order: a table that was paused at the same moment stays so
   */
  async orderResync(only: TableName | null, { goOn = false, leavePaused = false } = {}): Promise<void> {
    const tables = (await this.list()).filter((table) =>
      only ? tableKey(table) === tableKey(only) : table.state !== 'paused',
    );
    for (const table of tables) {
      if (goOn && table.purge && (table.state === 'pending' || table.state === 'loading')) continue;
      await this.#link.run(
        'DELETE FROM db_redundancy.load_progress WHERE stream = $1 AND schema_name = $2 AND table_name = $3',
        this.#at(table),
      );
      await this.#link.run(
        `UPDATE db_redundancy.tables SET state = 'pending', purge = true, reason = NULL, updated_at = now()
         WHERE stream = $1 AND schema_name = $2 AND table_name = $3${leavePaused ? ` AND state <> 'paused'` : ''}`,
        this.#at(table),
      );
    }
  }

  /** `only` null: every table. An order that stands is replaced. */
  async orderVerify(only: TableName | null, order: VerifyOrder): Promise<void> {
    const one = only ? ' AND schema_name = $3 AND table_name = $4' : '';
    await this.#link.run(`UPDATE db_redundancy.tables SET verify_order = $2 WHERE stream = $1${one}`, [
      ...[this.#stream, orderText(order)],
      ...(only ? [only.schema, only.name] : []),
    ]);
  }

  /** The order was carried out; another that has come since stays. */
  async verifyDone(table: TableName, order: VerifyOrder): Promise<void> {
    await this.#link.run(
      `UPDATE db_redundancy.tables SET verify_order = NULL WHERE stream = $1 AND schema_name = $2 AND table_name = $3 AND verify_order = $4`,
      [...this.#at(table), orderText(order)],
    );
  }

  /** Whether a load or a verify waits for whoever leads the stream. */
  async hasOrders(): Promise<boolean> {
    const { rows } = await this.#link.run(
      `SELECT 1 AS there FROM db_redundancy.tables WHERE stream = $1 AND (verify_order IS NOT NULL OR state IN ('pending', 'loading')) LIMIT 1`,
      [this.#stream],
    );
    return rows.length > 0;
  }

  async deadLetters(): Promise<number> {
    const { rows } = await this.#link.run(
      'SELECT count(*)::text AS n FROM db_redundancy.dead_letters WHERE stream = $1',
      [this.#stream],
    );
    return Number(rows[0]?.n ?? 0);
  }

  #at(table: TableName): [string, string, string] {
    return [this.#stream, table.schema, table.name];
  }
}

function orderText({ id, repair }: VerifyOrder): string {
  return JSON.stringify({ id, repair });
}
