/**
 * The source's state at every commit, found without any of our code: triggers write each transaction's effects into a
 * table beside its data (the executor's rows, not decoded ones), and PostgreSQL's own test_decoding says in which order
 * and up to which position the transactions committed.
 */
import { randomBytes } from 'node:crypto';
import { parseLsn } from '../../../src/core/lsn.js';
import { query } from '../../harness/sql.js';

/** Rows as JSON arrays of texts, sorted. */
export type TableState = Readonly<Record<string, readonly string[]>>;

interface Effect {
  readonly table: string;
  readonly op: string;
  readonly old: string | null;
  readonly new: string | null;
}

/** To be run before there are rows: the first rows are effects like any other. */
export function oracleDdl(tables: Readonly<Record<string, readonly string[]>>): string {
  const row = (alias: string, columns: readonly string[]) =>
    `json_build_array(${columns.map((column) => column.replace(/^(md5\()?/, `$1${alias}.`)).join(', ')})::text`;
  const one = ([name, columns]: [string, readonly string[]]) => `
    CREATE FUNCTION oracle.log_${name}() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE before text; after text;
    BEGIN
      IF TG_OP IN ('UPDATE', 'DELETE') THEN before := ${row('OLD', columns)}; END IF;
      IF TG_OP IN ('UPDATE', 'INSERT') THEN after := ${row('NEW', columns)}; END IF;
      INSERT INTO oracle.log (xid, tbl, op, old, new) VALUES (pg_current_xact_id()::text::bigint, '${name}', TG_OP, before, after);
      RETURN NULL;
    END $$;
    CREATE TRIGGER oracle_rows AFTER INSERT OR UPDATE OR DELETE ON ${name} FOR EACH ROW EXECUTE FUNCTION oracle.log_${name}();
    CREATE TRIGGER oracle_truncate AFTER TRUNCATE ON ${name} FOR EACH STATEMENT EXECUTE FUNCTION oracle.log_${name}();`;
  return `CREATE SCHEMA oracle;
    CREATE TABLE oracle.log (no bigserial PRIMARY KEY, xid bigint, tbl text, op text, old text, new text);
    ${Object.entries(tables).map(one).join('\n')}`;
}

export class SourceOracle {
  readonly #url: string;
  readonly #slot = `oracle_${randomBytes(5).toString('hex')}`;
  readonly #tables: readonly string[];

  private constructor(url: string, tables: readonly string[]) {
    this.#url = url;
    this.#tables = tables;
  }

  /** Opens its slot: transactions from here on have a position, earlier ones are the state at the beginning. */
  static async start(url: string, tables: readonly string[]): Promise<SourceOracle> {
    const oracle = new SourceOracle(url, tables);
    await query(url, `SELECT pg_create_logical_replication_slot($1, 'test_decoding')`, [oracle.#slot]);
    return oracle;
  }

  /** The history so far, in commit order; to be called once, when the writers have stopped. */
  async history(): Promise<SourceHistory> {
    const commits = await query<{ lsn: string; data: string }>(
      this.#url,
      `SELECT lsn::text, data FROM pg_logical_slot_get_changes($1, NULL, NULL, 'include-xids', '1') WHERE data LIKE 'COMMIT %'`,
      [this.#slot],
    );
    const log = await query<Effect & { xid: string }>(
      this.#url,
      'SELECT xid::text, tbl AS table, op, old, new FROM oracle.log ORDER BY no',
    );
    const byXid = new Map<number, Effect[]>();
    for (const effect of log) {
      const xid = Number(BigInt.asUintN(32, BigInt(effect.xid)));
      const effects = byXid.get(xid);
      if (effects) effects.push(effect);
      else byXid.set(xid, [effect]);
    }
    const transactions = commits.map(({ lsn, data }) => {
      const xid = Number(data.split(' ')[1]);
      const effects = byXid.get(xid) ?? [];
      byXid.delete(xid);
      // test_decoding reports a commit at the end of its record.
      return { endLsn: parseLsn(lsn), effects };
    });
    return new SourceHistory(this.#tables, [...byXid.values()].flat(), transactions);
  }
}

export class SourceHistory {
  readonly transactions: readonly { readonly endLsn: bigint; readonly effects: readonly Effect[] }[];
  readonly #state = new Map<string, Map<string, number>>();
  #applied = 0;

  constructor(tables: readonly string[], initial: readonly Effect[], transactions: SourceHistory['transactions']) {
    this.transactions = transactions;
    for (const table of tables) this.#state.set(table, new Map());
    for (const effect of initial) this.#apply(effect);
  }

  /** The state after every transaction whose commit ends at or before `lsn`. Only ever forward. */
  stateAt(lsn: bigint): TableState {
    for (let next = this.transactions[this.#applied]; next && next.endLsn <= lsn; ) {
      for (const effect of next.effects) this.#apply(effect);
      this.#applied += 1;
      next = this.transactions[this.#applied];
    }
    const state: Record<string, string[]> = {};
    for (const [table, rows] of this.#state) {
      state[table] = [...rows].flatMap(([row, copies]) => Array<string>(copies).fill(row)).sort();
    }
    return state;
  }

  #apply({ table, op, old, new: after }: Effect): void {
    const rows = this.#state.get(table) as Map<string, number>;
    if (op === 'TRUNCATE') rows.clear();
    if (old !== null) {
      const row = JSON.stringify(JSON.parse(old));
      const copies = rows.get(row) ?? 0;
      // Otherwise the oracle is wrong, and would prove nothing.
      if (copies === 0) throw new Error(`The oracle does not know the row ${row} of ${table} that a ${op} replaced.`);
      if (copies === 1) rows.delete(row);
      else rows.set(row, copies - 1);
    }
    if (after !== null) {
      const row = JSON.stringify(JSON.parse(after));
      rows.set(row, (rows.get(row) ?? 0) + 1);
    }
  }
}
