/** Compares rows of the journal on both sides by value, after they were copied. */

import { arrayLiteral } from '../apply/array-literal.js';
import type { TargetSession } from '../apply/target-session.js';
import { quoteIdent, quoteTable } from '../core/ident.js';
import type { CopyContext } from './copy-context.js';
import type { TouchedKey } from './journal.js';
import { keyColumns, parseKey, readRows, toPrimary } from './row-io.js';
import type { RecoveryTable } from './tables.js';

/** @returns those of which the sides differ */
export async function differingRows<T extends TouchedKey>(
  context: CopyContext,
  primary: TargetSession,
  keys: readonly T[],
): Promise<T[]> {
  const differing: T[] = [];
  for (const table of context.tables.ordered) {
    const ofTable = keys.filter((key) => table.key !== null && context.tables.get(key.table) === table);
    if (ofTable.length === 0) continue;
    const rowKeys = ofTable.map((key) => key.rowKey);
    const [ours, theirs] = await Promise.all([
      readRows(primary, table, 'primary', rowKeys),
      context.read((session) => readRows(session, table, 'secondary', rowKeys)),
    ]);
    let unlike = ofTable.filter(({ rowKey }) => ours.get(rowKey)?.hash !== theirs.get(rowKey)?.hash);
    // Some types may print one value in two ways: the primary is the judge of those.
    if (unlike.length > 0 && table.canonical.some((column) => !column.exact)) {
      const both = unlike.filter(({ rowKey }) => ours.has(rowKey) && theirs.has(rowKey)).map(({ rowKey }) => rowKey);
      const same = await sameByValue(context, primary, table, both);
      unlike = unlike.filter(({ rowKey }) => !same.has(rowKey));
    }
    differing.push(...unlike);
  }
  return differing;
}

async function sameByValue(
  context: CopyContext,
  primary: TargetSession,
  table: RecoveryTable,
  rowKeys: readonly string[],
): Promise<Set<string>> {
  if (rowKeys.length === 0) return new Set();
  const rows = await context.read((session) => readRows(session, table, 'secondary', rowKeys, { values: true }));
  const present = rowKeys.filter((rowKey) => rows.has(rowKey));
  const values = present.map((rowKey) => toPrimary(table, rows.get(rowKey)?.values ?? []));
  const key = keyColumns(table, 'primary');
  const keys = present.map((rowKey) => parseKey(table, 'primary', rowKey));
  const parameters = [...key, ...table.columns].map((_, i) => `$${i + 2}::text[]`).join(', ');
  const names = [...key.map((_, i) => `k${i}`), ...table.columns.map((_, i) => `c${i}`)].join(', ');
  const match = key.map((column, i) => `r.${quoteIdent(column.name)} = u.k${i}::${column.sqlType}`).join(' AND ');
  const same = table.columns.map((column, i) => column.same(`u.c${i}`)).join(' AND ');
  const { rows: found } = await primary.run({
    text: `SELECT u.i::text AS id FROM unnest($1::int8[], ${parameters}) AS u(i, ${names}) JOIN ${quoteTable(table.schema, table.name)} AS r ON ${match} WHERE ${same}`,
    values: [
      `{${present.map((_, i) => i).join(',')}}`,
      ...key.map((_, i) => arrayLiteral(keys, i, 'quoted')),
      ...table.columns.map((_, i) => arrayLiteral(values, i, 'quoted')),
    ],
  });
  return new Set(found.map((row) => present[Number(row.id)] as string));
}
