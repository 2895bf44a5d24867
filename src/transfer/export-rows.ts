/** Rows as INSERT statements of many rows each, small enough for CockroachDB to take and for us to hold. */
import type { Row } from '../core/change.js';
import { quoteIdent, quoteTable, type TableName, tableKey } from '../core/ident.js';
import type { ExportedTable, WrittenColumn } from './export-plan.js';
import type { ExportSource } from './export-source.js';
import type { ExportTrailer } from './file-format.js';

const STATEMENT_ROWS = 1000;
/** CockroachDB refuses a statement of more than 16 MiB; more than this does not make it faster. */
const STATEMENT_CHARS = 512 * 1024;
/** One row alone beyond this is no statement for CockroachDB, whatever its characters take as UTF-8. */
const LARGEST_ROW_BYTES = 16 * 1024 * 1024 - 64 * 1024;
const TOO_LARGE = 'a row of more than 16 MiB';

/** Counts rows, and values that CockroachDB does not hold. */
export class RowLedger {
  readonly #counts = new Map<string, { table: TableName; rows: number }>();
  readonly #refused = new Map<string, ExportTrailer['notForCockroach'][number]>();

  counted(table: TableName, rows: number): void {
    const entry = this.#counts.get(tableKey(table)) ?? { table, rows: 0 };
    this.#counts.set(tableKey(table), { table, rows: entry.rows + rows });
  }

  refused({ schema, name }: TableName, column: string, reason: string): void {
    const key = JSON.stringify([schema, name, column, reason]);
    const values = (this.#refused.get(key)?.values ?? 0) + 1;
    this.#refused.set(key, { schema, name, column, values, reason });
  }

  rowsOf(table: TableName): number {
    return this.#counts.get(tableKey(table))?.rows ?? 0;
  }

  trailer(): ExportTrailer {
    const counts = [...this.#counts.values()].map(({ table: { schema, name }, rows }) => ({ schema, name, rows }));
    return { counts, notForCockroach: [...this.#refused.values()] };
  }
}

/** @param ledger null for the second form of rows that have been counted in the first */
export async function* insertStatements(
  source: ExportSource,
  table: ExportedTable,
  columns: readonly WrittenColumn[],
  ledger: RowLedger | null,
): AsyncGenerator<string, void, void> {
  ledger?.counted(table, 0);
  const list = columns.map((column) => quoteIdent(column.name)).join(', ');
  const into = `INSERT INTO ${quoteTable(table.schema, table.name)}`;
  const head = columns.length > 0 ? `${into} (${list}) VALUES\n` : '';
  const selected = columns.length > 0 ? columns.map((column) => column.select).join(', ') : '1';
  const refused = columns.map((column) => (reason: string) => ledger?.refused(table, column.name, reason));
  let statement = '';
  let rows = 0;
  for await (const page of source.rows(`SELECT ${selected} FROM ${table.from}`)) {
    ledger?.counted(table, page.length);
    for (const row of page) {
      if (columns.length === 0) {
        yield `${into} DEFAULT VALUES;\n`;
        continue;
      }
      const text = rowText(row, columns, refused);
      if (text.length * 3 > LARGEST_ROW_BYTES && Buffer.byteLength(text) > LARGEST_ROW_BYTES) {
        ledger?.refused(table, '*', TOO_LARGE);
      }
      if (rows > 0 && (rows >= STATEMENT_ROWS || statement.length + text.length > STATEMENT_CHARS)) {
        yield `${statement};\n`;
        rows = 0;
      }
      statement = rows === 0 ? `${head}${text}` : `${statement},\n${text}`;
      rows += 1;
    }
  }
  if (rows > 0) yield `${statement};\n`;
}

function rowText(row: Row, columns: readonly WrittenColumn[], refused: readonly ((reason: string) => void)[]): string {
  let text = '(';
  for (let i = 0; i < columns.length; i++) {
    const value = row[i] ?? null;
    if (i > 0) text += ',';
    text += value === null ? 'NULL' : (columns[i] as WrittenColumn).write(value, refused[i] as (r: string) => void);
  }
  return `${text})`;
}
