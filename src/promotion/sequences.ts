/**
 * Sequences of a secondary before it is opened for writes: the stream does not carry their positions, so each is set
 * beyond the largest value that its column holds, and beyond what the primary was last seen to have reached.
 */
import type { TargetSession } from '../apply/target-session.js';
import { quoteIdent, quoteLiteral, quoteTable, type TableName, tableKey } from '../core/ident.js';

const USES_SQL = `
SELECT n.nspname AS table_schema, c.relname AS table_name, a.attname AS column_name, a.atttypid::int8::text AS type, pg_get_expr(d.adbin, d.adrelid) AS expression
FROM pg_catalog.pg_attrdef d
JOIN pg_catalog.pg_class c ON c.oid = d.adrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
WHERE n.nspname = $1 AND c.relname = $2`;

/**
 * Room left above what was seen. `unseen`: the other side could not be asked when it had stopped, and may have handed out
 * values in rows that never came; two rows of one key would be a conflict later, of which one is lost to the application.
 */
export type Headroom = 'none' | 'unseen';

/** Of what remains, so that a column of four bytes leaves room for thousands of failovers. */
const SHARE = 16_384n;
const LEAST_HEADROOM = 1000n;
/** Beyond what any primary hands out between the last change that came through and its end. */
const MOST_HEADROOM = 1_000_000n;

/** OIDs of the integer types, and what their columns hold at most. */
const LARGEST_OF_TYPE: ReadonlyMap<string, bigint> = new Map([
  ['21', 32_767n],
  ['23', 2_147_483_647n],
]);

interface Use {
  readonly column: string;
  readonly type: string;
  readonly sequence: string;
}

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
 * @param elsewhere what the other side's sequences have reached, to be passed as well
 * @returns the value that each sequence gives next
 */
export async function raiseSequences(
  session: TargetSession,
  tables: readonly TableName[],
  headroom: Headroom,
  elsewhere: ReachedSequences = new Map(),
): Promise<Map<string, bigint>> {
  const next = new Map<string, bigint>();
  for (const table of tables) {
    for (const use of await sequencesOf(session, table)) {
      const { column, sequence } = use;
      const { rows } = await session.run({
        text: `SELECT max(${quoteIdent(column)})::text AS top FROM ${quoteTable(table.schema, table.name)}`,
        values: [],
      });
      const top = rows[0]?.top == null ? 0n : BigInt(rows[0].top);
      const reached = [top, await lastValue(session, sequence), elsewhere.get(columnKey(table, column)) ?? 0n].reduce(
        (a, b) => (a > b ? a : b),
      );
      const largest = await largestOf(session, use);
      // Nothing is left: what the next insert is told is the truth, and no reason to keep the side closed.
      const spent = reached >= largest;
      const value = spent ? largest : reached + 1n + (headroom === 'none' ? 0n : roomIn(largest - reached - 1n));
      // is_called = false: the next value is this one, in both dialects (with true they differ by one).
      await session.run({ text: `SELECT setval(${quoteLiteral(sequence)}, ${value}, ${spent})`, values: [] });
      next.set(sequence, value);
    }
  }
  return next;
}

function roomIn(remaining: bigint): bigint {
  const share = remaining / SHARE;
  const wanted = share < LEAST_HEADROOM ? LEAST_HEADROOM : share > MOST_HEADROOM ? MOST_HEADROOM : share;
  const half = remaining / 2n;
  return wanted < half ? wanted : half;
}

/** What sequence and column both allow. */
async function largestOf(session: TargetSession, { sequence, type }: Use): Promise<bigint> {
  const { rows } = await session.run({
    text: `SELECT seqmax::text AS most FROM pg_catalog.pg_sequence WHERE seqrelid = ${quoteLiteral(sequence)}::regclass`,
    values: [],
  });
  const most = BigInt(rows[0]?.most ?? '9223372036854775807');
  const column = LARGEST_OF_TYPE.get(type) ?? most;
  return column < most ? column : most;
}

async function sequencesOf(session: TargetSession, table: TableName): Promise<Use[]> {
  const { rows } = await session.run({ text: USES_SQL, values: [table.schema, table.name] });
  const found: Use[] = [];
  for (const row of rows) {
    const sequence = sequenceOf(row.expression ?? '');
    if (sequence !== null) found.push({ column: row.column_name ?? '', type: row.type ?? '', sequence });
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

async function identitySequences(session: TargetSession, table: TableName): Promise<Use[]> {
  const { rows } = await session.run({
    text: `SELECT a.attname AS column_name, a.atttypid::int8::text AS type, pg_get_serial_sequence(quote_ident(n.nspname) || '.' || quote_ident(c.relname), a.attname) AS sequence
      FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = $1 AND c.relname = $2 AND a.attidentity <> ''`,
    values: [table.schema, table.name],
  });
  return rows.flatMap((row) =>
    row.sequence ? [{ column: row.column_name ?? '', type: row.type ?? '', sequence: row.sequence }] : [],
  );
}

/** 0 before the first use. */
async function lastValue(session: TargetSession, sequence: string): Promise<bigint> {
  const { rows } = await session.run({ text: `SELECT last_value::text AS last FROM ${sequence}`, values: [] });
  return BigInt(rows[0]?.last ?? '0');
}
