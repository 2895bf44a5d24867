/** Tables of `type-values.ts`, and rows for them. */
import fc from 'fast-check';
import type { Client } from 'pg';
import type { TypeGroup } from './type-values.js';

export function createTypeTable({ table, columns, filled }: TypeGroup): string {
  const list = columns.map(({ name, type }) => `${name} ${type}`);
  return `CREATE TABLE ${table} (id int PRIMARY KEY, ${[...list, ...(filled ? [filled] : [])].join(', ')});`;
}

/** Row by row and column by column: the edges first, then generated values, one in eight NULL. */
export function generateTypeRows(group: TypeGroup, seed: number, rows: number): (string | null)[][] {
  const columns = group.columns.map(({ edges, values }, i) => {
    const more = fc.sample(fc.option(values, { freq: 8 }), { seed: seed + i, numRuns: rows });
    return [...edges, ...more].slice(0, rows);
  });
  return Array.from({ length: rows }, (_, row) => columns.map((column) => column[row] ?? null));
}

/** @param first the id of the first row */
export async function insertTypeRows(
  client: Client,
  { table, columns }: TypeGroup,
  rows: readonly (readonly (string | null)[])[],
  first = 0,
): Promise<void> {
  const list = columns.map(({ name }) => name).join(', ');
  const casts = columns.map(({ name, type }) => `u.${name}::${type}`).join(', ');
  const parameters = columns.map((_, i) => `$${i + 2}::text[]`).join(', ');
  const text = `INSERT INTO ${table} (id, ${list}) SELECT u.id, ${casts} FROM unnest($1::int[], ${parameters}) AS u(id, ${list})`;
  await client.query(text, [
    rows.map((_, i) => first + i),
    ...columns.map((_, i) => rows.map((row) => row[i] ?? null)),
  ]);
}
