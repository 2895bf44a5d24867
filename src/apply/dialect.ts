/** What differs between the databases that can be a secondary, as traits and a few statements; no vendor's name elsewhere. */
import { quoteTable, type TableName } from '../core/ident.js';
import { WRITER_SQL } from '../core/writer.js';
import { BINARY_ELEMENTS } from './binary-array.js';
import type { StatementTraits } from './statements.js';
import type { TargetTraits } from './target-table.js';

export type DialectName = 'postgres' | 'cockroach';

export interface Dialect {
  readonly name: DialectName;
  readonly table: TargetTraits;
  readonly statements: StatementTraits;
  /** Rows that are new go in by COPY; where it does not pay, or is not to be pipelined, by the statement for upserts. */
  readonly copyInserts: boolean;
  /** Element types of which an array parameter may come in the binary form of PostgreSQL's own types. */
  readonly binaryElements: ReadonlySet<string>;
  /** The server is none of PostgreSQL's: a session asks it for these types (`binary-probe`). */
  readonly asksForBinary: boolean;
  /** A real is kept as a double: every digit of its text counts, and its four bytes have others. */
  readonly wideReals: boolean;
  /** More rows or bytes in one statement do not pay, or are refused. */
  readonly maxStatementRows: number;
  readonly maxStatementBytes: number;
  /** Run on every connection before anything else. */
  readonly sessionSql: string;
  /**
   * Begins a target transaction that is applied part by part: between two parts of a source transaction a deferrable
   * constraint may be broken, as it was on the source.
   */
  readonly beginPartsSql: string;
  /** What a schema change has done may be seen a moment after it has returned. */
  readonly schemaLags: boolean;
  /** Checks now what would be checked at COMMIT, and puts it off again; null where nothing can be put off. */
  readonly deferral: { readonly check: string; readonly defer: string } | null;
  /**
   * Opens a read-only transaction on one snapshot, which has everything that was committed with the checkpoint before.
   * `run` answers with the rows of a statement.
   */
  beginSnapshot(run: (sql: string) => Promise<readonly Record<string, string | null>[]>): Promise<void>;
  /** Empties tables in a way that concurrent snapshots of the secondary do not see early (G1). */
  emptyTablesSql(tables: readonly TableName[]): string[];
}

const TEXT_FORM = `SET datestyle = 'ISO, MDY'; SET intervalstyle = 'postgres'; SET timezone = 'UTC'; SET bytea_output = 'hex'`;

const postgres: Dialect = {
  name: 'postgres',
  table: { hiddenKey: 'ctid', jsonbArrays: true },
  statements: { overridingSystemValue: true, upsert: false },
  copyInserts: true,
  binaryElements: BINARY_ELEMENTS,
  asksForBinary: false,
  wideReals: false,
  maxStatementRows: 5000,
  maxStatementBytes: 64 << 20,
  // lock_timeout: a person's DDL on the standby must not stop the stream for ever; 55P03 is retried with back-off.
  // default_transaction_isolation: what a statement sees must be what is so when it runs, as its types are (SAME_TYPES_SQL).
  // tcp_keepalives: a session whose network is gone must let go of its locks within a minute, not after two hours.
  sessionSql: `${TEXT_FORM}; SET lc_monetary = 'C'; SET xmloption = 'content'; SET extra_float_digits = 1; SET default_transaction_isolation = 'read committed'; SET statement_timeout = 0; SET lock_timeout = '60s'; SET idle_in_transaction_session_timeout = 0; SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3; ${WRITER_SQL}`,
  beginPartsSql: 'BEGIN; SET CONSTRAINTS ALL DEFERRED',
  schemaLags: false,
  deferral: { check: 'SET CONSTRAINTS ALL IMMEDIATE', defer: 'SET CONSTRAINTS ALL DEFERRED' },
  async beginSnapshot(run) {
    await run('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    // The first statement takes the snapshot.
    await run('SELECT count(*) FROM db_redundancy.checkpoint');
  },
  // DELETE, not TRUNCATE: TRUNCATE is not MVCC-safe, a reader with an older snapshot would see the table empty.
  emptyTablesSql: (tables) => tables.map((table) => `DELETE FROM ${quoteTable(table.schema, table.name)}`),
};

const cockroach: Dialect = {
  name: 'cockroach',
  table: { hiddenKey: 'rowid', jsonbArrays: false },
  statements: { overridingSystemValue: false, upsert: true },
  copyInserts: false,
  binaryElements: new Set(),
  asksForBinary: true,
  wideReals: true,
  maxStatementRows: 5000,
  // The server's limit is 16 MiB a message; the rest is room for names and protocol.
  maxStatementBytes: 12 << 20,
  // Less than 3 extra digits round a float8 to 15 or 16 digits here, also in a cast to text.
  sessionSql: `${TEXT_FORM}; SET extra_float_digits = 3; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0`,
  // There are no deferrable constraints, see schema/translate-keys.
  beginPartsSql: 'BEGIN',
  schemaLags: true,
  deferral: null,
  // A read of the past neither waits for writers nor makes them wait. Which past: reading the checkpoint's rows first
  // moves the transaction behind their last change, also where the clocks of two nodes differ.
  async beginSnapshot(run) {
    await run('BEGIN');
    await run('SELECT count(*) FROM db_redundancy.checkpoint');
    const [row] = await run('SELECT cluster_logical_timestamp()::STRING AS at');
    await run('COMMIT');
    await run(`BEGIN AS OF SYSTEM TIME '${row?.at ?? ''}'`);
  },
  // DELETE as well: TRUNCATE ends the changefeeds on the table, on which a failback depends.
  emptyTablesSql: (tables) => tables.map((table) => `DELETE FROM ${quoteTable(table.schema, table.name)}`),
};

/** Recognised from `SELECT version()`. */
export function dialectOf(version: string): Dialect {
  return version.startsWith('CockroachDB') ? cockroach : postgres;
}
