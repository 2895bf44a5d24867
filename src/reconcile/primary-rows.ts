/** Statement on the primary for rows of given keys: what each key is in the primary's own form, and expressions over its row. */
import type { ClientBase } from 'pg';
import { arrayLiteral } from '../apply/array-literal.js';
import { quoteIdent, quoteTable } from '../core/ident.js';
import type { ChunkTable, Key } from '../snapshot/chunk-reader.js';
import { ROW_ALIAS } from './canonical.js';

export interface PrimaryRow {
  readonly id: number;
  readonly own: Key;
  /** Null when there is no such row. */
  readonly values: readonly (string | null)[] | null;
}

/** @param extra texts for each key, which the expressions use as s.x0, s.x1 and so on */
export async function readPrimaryRows(
  client: ClientBase,
  table: ChunkTable,
  keys: readonly Key[],
  expressions: readonly string[],
  extra: readonly (readonly (string | null)[])[] = [],
): Promise<PrimaryRow[]> {
  const width = table.key.length;
  const more = extra[0]?.length ?? 0;
  const count = width + more;
  const parameters = Array.from({ length: count }, (_, i) => `$${i + 2}::text[]`).join(', ');
  const fields = [...table.key.map((_, i) => `c${i}`), ...Array.from({ length: more }, (_, i) => `x${i}`)].join(', ');
  const casts = table.key.map((column, i) => `u.c${i}::${column.type} AS k${i}`);
  const passed = Array.from({ length: more }, (_, i) => `u.x${i}`);
  const match = table.key.map((column, i) => `${ROW_ALIAS}.${quoteIdent(column.name)} = s.k${i}`).join(' AND ');
  const own = table.key.map((_, i) => `, s.k${i}`).join('');
  const there = `${ROW_ALIAS}.${quoteIdent(table.key[0]?.name ?? '')} IS NOT NULL`;
  const values = expressions.map((expression) => `, ${expression}`).join('');
  const text =
    `SELECT s.i, ${there}${own}${values} ` +
    `FROM (SELECT u.i, ${[...casts, ...passed].join(', ')} FROM unnest($1::int8[], ${parameters}) AS u(i, ${fields})) AS s ` +
    `LEFT JOIN ${quoteTable(table.schema, table.name)} AS ${ROW_ALIAS} ON ${match}`;
  const lists = [
    ...table.key.map((_, i) => arrayLiteral(keys, i, 'quoted')),
    ...Array.from({ length: more }, (_, i) => arrayLiteral(extra, i, 'quoted')),
  ];
  const ids = `{${keys.map((_, i) => i).join(',')}}`;
  const { rows } = await client.query<(string | null)[]>({ text, values: [ids, ...lists], rowMode: 'array' });
  return rows.map(([id, isThere, ...rest]) => ({
    id: Number(id),
    own: rest.slice(0, width) as Key,
    values: isThere === 't' ? rest.slice(width) : null,
  }));
}
