/** Pages over the keys that the secondary has, in its own order, whatever its collation. */
import { quoteIdent, quoteTable } from '../core/ident.js';
import type { TargetLink } from '../meta/target-link.js';
import { keyIndexes, pick } from '../pipeline/compile.js';
import type { Key } from './chunk-reader.js';
import type { LoadTable } from './load-table.js';

const PAGE = 2000;

/** The next keys after `after`; empty at the end. */
export async function nextPurgePage(link: TargetLink, table: LoadTable, after: Key | null): Promise<Key[]> {
  const { binding } = table;
  const columns = pick(binding, keyIndexes(binding));
  const names = columns.map((column) => quoteIdent(column.name)).join(', ');
  const bound = columns.map((column, i) => `$${i + 1}::text::${column.sqlType}`).join(', ');
  const where = after ? ` WHERE (${names}) > (${bound})` : '';
  const { schema, name } = binding.target;
  const { rows } = await link.run(
    `SELECT ${names} FROM ${quoteTable(schema, name)}${where} ORDER BY ${names} LIMIT ${PAGE}`,
    after ? [...after] : [],
  );
  return rows.map((row) => columns.map((column) => row[column.name] ?? ''));
}
