/** Pages over the keys that the secondary has, in its own order, whatever its collation. */
import { quoteIdent, quoteTable } from '../core/ident.js';
import type { TargetLink } from '../meta/target-link.js';
import { keyIndexes, pick } from '../pipeline/compile.js';
import type { Key } from './chunk-reader.js';
import type { LoadTable } from './load-table.js';

const PAGE = 2000;

export interface PurgePage {
  readonly keys: readonly Key[];
  /** No more up to the end that was asked for. */
  readonly last: boolean;
}

/**
 * The last key that the secondary has now; null when it has none. What the stream brings later need not be looked at, and
 * would be without end where an application appends rows faster than a page takes.
 */
export async function lastPurgeKey(link: TargetLink, table: LoadTable): Promise<Key | null> {
  const { descending, from, names } = shapeOf(table);
  const { rows } = await link.run(`SELECT ${names} ${from} ORDER BY ${descending} LIMIT 1`);
  return keysOf(table, rows)[0] ?? null;
}

/** The next keys after `after`, up to `end`. */
export async function nextPurgePage(
  link: TargetLink,
  table: LoadTable,
  after: Key | null,
  end: Key,
): Promise<PurgePage> {
  const { from, names, tuple } = shapeOf(table);
  const where = after
    ? `WHERE (${names}) > (${tuple(1)}) AND (${names}) <= (${tuple(1 + end.length)})`
    : `WHERE (${names}) <= (${tuple(1)})`;
  const { rows } = await link.run(`SELECT ${names} ${from} ${where} ORDER BY ${names} LIMIT ${PAGE}`, [
    ...(after ?? []),
    ...end,
  ]);
  return { keys: keysOf(table, rows), last: rows.length < PAGE };
}

function shapeOf({ binding }: LoadTable) {
  const columns = pick(binding, keyIndexes(binding));
  const quoted = columns.map((column) => quoteIdent(column.name));
  const { name, schema } = binding.target;
  return {
    names: quoted.join(', '),
    descending: quoted.map((column) => `${column} DESC`).join(', '),
    from: `FROM ${quoteTable(schema, name)}`,
    /** Parameters from `$n`, as a key of the table. */
    tuple: (n: number) => columns.map((column, i) => `$${i + n}::text::${column.sqlType}`).join(', '),
  };
}

function keysOf({ binding }: LoadTable, rows: readonly Readonly<Record<string, string | null>>[]): Key[] {
  const columns = pick(binding, keyIndexes(binding));
  return rows.map((row) => columns.map((column) => row[column.name] ?? ''));
}
