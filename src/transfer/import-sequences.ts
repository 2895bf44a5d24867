/** Positions of sequences on a target that has rows of its own: never back. */
import type { ImportTarget } from './import-target.js';

const SETVAL = /^SELECT setval\((E?'(?:[^']|'')+'), (-?\d+), (?:true|false)\)$/s;

/** The statement of the file, or one that keeps the target's position where that is further. */
export async function positionSql(target: ImportTarget, sql: string): Promise<string> {
  const [, literal = '', wanted = '0'] = SETVAL.exec(sql) ?? [];
  if (literal === '') return sql;
  const name = literal.startsWith('E') ? literal.slice(2, -1).replaceAll('\\\\', '\\') : literal.slice(1, -1);
  const [, schema = '', sequence = ''] = /^("(?:[^"]|"")+")\.("(?:[^"]|"")+")$/s.exec(name.replaceAll("''", "'")) ?? [];
  const unquote = (part: string): string => part.slice(1, -1).replaceAll('""', '"');
  const step = await target.value(
    'SELECT increment_by::text AS step FROM pg_catalog.pg_sequences WHERE schemaname = $1 AND sequencename = $2',
    [unquote(schema), unquote(sequence)],
  );
  const at = await target.value(
    `SELECT last_value::text AS last, is_called::text AS called FROM ${schema}.${sequence}`,
  );
  const by = BigInt(step?.step ?? '1');
  // CockroachDB says is_called of every sequence, also of one whose next value was set.
  const next = BigInt(at?.last ?? '0') + (at?.called === 'true' ? by : 0n);
  const further = by > 0n ? next > BigInt(wanted) : next < BigInt(wanted);
  return further ? 'SELECT 1' : sql;
}
