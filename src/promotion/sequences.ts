/**
 * Sequences of a secondary before it is opened for writes: the stream does not carry their positions, so each is set
 * beyond the largest value that its column holds, and beyond what the primary was last seen to have reached.
 */
import type { TargetSession } from '../apply/target-session.js';
import { quoteIdent, quoteLiteral, quoteTable, type TableName, tableKey } from '../core/ident.js';

const USES_SQL = `
SELECT n.nspname AS table_schema, c.relname AS table_name, a.attname AS column_name, pg_get_expr(d.adbin, d.adrelid) AS expression
FROM pg_catalog.pg_attrdef d
JOIN pg_catalog.pg_class c ON c.oid = d.adrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
WHERE n.nspname = $1 AND c.relname = $2`;

/** What the sequences of one side have reached, by table and column: names of sequences differ between the sides. */
export type ReachedSequences = ReadonlyMap<string, bigint>;

export async function readSequences(session: TargetSession, tables: readonly TableName[]): Promise<ReachedSequences> {
  const reached = new Map<string, bigint>();
  for (const table of tables)
    for (const { column, sequence } of await sequencesOf(session, table))
      reached.set(columnKey(table, column), await lastValue(session, sequence));
  return reached;
}

function columnKey(table: TableName, column: string): string {
  return `${tableKey(table)}.${quoteIdent(column)}`;
}

/**
 * Raises the sequences that the given tables' defaults use, serial and identity alike.
 * @param headroom added on top, for values that the primary handed out and the secondary never saw
 * @param elsewhere what the other side's sequences have reached, to be passed as well
 * @returns the value that each sequence gives next
 */
export async function raiseSequences(
  session: TargetSession,
  tables: readonly TableName[],
  headroom: bigint,
  elsewhere: ReachedSequences = new Map(),
): Promise<Map<string, bigint>> {
  const next = new Map<string, bigint>();
  for (const table of tables) {
    for (const { column, sequence } of await sequencesOf(session, table)) {
      const column_ = quoteIdent(column);
      const { rows } = await session.run({
        text: `SELECT max(${column_})::text AS top FROM ${quoteTable(table.schema, table.name)}`,
        values: [],
      });
      const here = await lastValue(session, sequence);
      const there = elsewhere.get(columnKey(table, column)) ?? 0n;
      const reached = here > there ? here : there;
      const top = rows[0]?.top == null ? 0n : BigInt(rows[0].top);
      const value = (top > reached ? top : reached) + 1n + headroom;
      // is_called = false: the next value is this one, in both dialects (with true they differ by one).
      await session.run({ text: `SELECT setval(${quoteLiteral(sequence)}, ${value}, false)`, values: [] });
      next.set(sequence, value);
    }
  }
  return next;
}

async function sequencesOf(session: TargetSession, table: TableName): Promise<{ column: string; sequence: string }[]> {
  const { rows } = await session.run({ text: USES_SQL, values: [table.schema, table.name] });
  const found: { column: string; sequence: string }[] = [];
  for (const row of rows) {
    const sequence = sequenceOf(row.expression ?? '');
    if (sequence !== null) found.push({ column: row.column_name ?? '', sequence });
  }
  if (session.dialect.name === 'postgres') found.push(...(await identitySequences(session, table)));
  return found;
}

/** The sequence in `nextval('name'::regclass)`; CockroachDB prints a name with quotes as an escaped string (`e'...'`). */
function sequenceOf(expression: string): string | null {
  const match = /nextval\((e?)'((?:[^'\\]|''|\\.)+)'/i.exec(expression);
  if (!match) return null;
  const text = (match[2] as string).replaceAll("''", "'");
  return match[1] === '' ? text : text.replace(/\\(.)/g, '$1');
}

async function identitySequences(
  session: TargetSession,
  table: TableName,
): Promise<{ column: string; sequence: string }[]> {
  const { rows } = await session.run({
    text: `SELECT a.attname AS column_name, pg_get_serial_sequence(quote_ident(n.nspname) || '.' || quote_ident(c.relname), a.attname) AS sequence
      FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = $1 AND c.relname = $2 AND a.attidentity <> ''`,
    values: [table.schema, table.name],
  });
  return rows.flatMap((row) => (row.sequence ? [{ column: row.column_name ?? '', sequence: row.sequence }] : []));
}

/** 0 before the first use. */
async function lastValue(session: TargetSession, sequence: string): Promise<bigint> {
  const { rows } = await session.run({ text: `SELECT last_value::text AS last FROM ${sequence}`, values: [] });
  return BigInt(rows[0]?.last ?? '0');
}
