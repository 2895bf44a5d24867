/** An INSERT of an export, taken apart as far as a target needs it otherwise. */
import { quoteIdent, quoteTable, type TableName } from '../core/ident.js';

export interface InsertStatement {
  readonly table: TableName;
  readonly columns: readonly string[];
  /** What follows VALUES. */
  readonly values: string;
  readonly rows: number;
}

const NAME = '"(?:[^"]|"")+"';
const HEAD = new RegExp(`^INSERT INTO (${NAME})\\.(${NAME}) \\((${NAME}(?:, ${NAME})*)\\) VALUES\\n`, 's');
const DEFAULTS = new RegExp(`^INSERT INTO (${NAME})\\.(${NAME}) DEFAULT VALUES$`, 's');

/** Null for anything else. */
export function parseInsert(sql: string): InsertStatement | null {
  const head = HEAD.exec(sql);
  if (head) {
    const [all, schema = '', name = '', list = ''] = head;
    const values = sql.slice(all.length);
    const columns = [...list.matchAll(new RegExp(NAME, 'gs'))].map(([each]) => unquote(each));
    return { table: { schema: unquote(schema), name: unquote(name) }, columns, values, rows: countRows(values) };
  }
  const bare = DEFAULTS.exec(sql);
  if (!bare) return null;
  return { table: { schema: unquote(bare[1] ?? ''), name: unquote(bare[2] ?? '') }, columns: [], values: '', rows: 1 };
}

function unquote(name: string): string {
  return name.slice(1, -1).replaceAll('""', '"');
}

/** One row a line: literals hold no line ends. */
function countRows(values: string): number {
  let rows = 1;
  for (let at = values.indexOf('\n'); at >= 0; at = values.indexOf('\n', at + 1)) rows += 1;
  return rows;
}

export interface InsertRules {
  /** Identity columns that are GENERATED ALWAYS take values only so; CockroachDB has neither. */
  readonly overriding: boolean;
  /** Rows whose key is there already stay as they are. */
  readonly merge: boolean;
  /** Columns that the target works out itself, though the source wrote them; with the types of all columns. */
  readonly generated: ReadonlySet<string>;
  readonly types: ReadonlyMap<string, string>;
}

export function insertSql(insert: InsertStatement, rules: InsertRules): string {
  const into = `INSERT INTO ${quoteTable(insert.table.schema, insert.table.name)}`;
  const end = rules.merge ? '\nON CONFLICT DO NOTHING' : '';
  if (insert.columns.length === 0) return `${into} DEFAULT VALUES`;
  const overriding = rules.overriding ? ' OVERRIDING SYSTEM VALUE' : '';
  const list = (columns: readonly string[]): string => columns.map(quoteIdent).join(', ');
  const kept = insert.columns.filter((column) => !rules.generated.has(column));
  if (kept.length === insert.columns.length) {
    return `${into} (${list(kept)})${overriding} VALUES\n${insert.values}${end}`;
  }
  const casts = kept.map((column) => `v.${quoteIdent(column)}::text::${rules.types.get(column) ?? 'text'}`).join(', ');
  const rows = `(VALUES\n${insert.values}) AS v(${list(insert.columns)})`;
  return `${into} (${list(kept)})${overriding} SELECT ${casts} FROM ${rows}${end}`;
}
