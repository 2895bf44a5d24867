/** What the columns of a standby are on its primary, as the stream noted it when it made the table fit. */
import { type TableName, tableKey } from '../core/ident.js';
import type { ExportSource } from './export-source.js';

export interface KnownType {
  readonly name: string;
  /** `format_type` with an empty search path: what has no dot is built in. */
  readonly type: string;
}

/** By tableKey and column; empty where this database is no standby of the stream. */
export async function readKnownTypes(
  source: ExportSource,
  stream: string,
): Promise<ReadonlyMap<string, ReadonlyMap<string, KnownType>>> {
  const there = await source.value(
    `SELECT count(*)::text FROM information_schema.tables WHERE table_schema = 'db_redundancy' AND table_name = 'tables'`,
  );
  if (there === '0') return new Map();
  const { rows } = await source.client.query<Record<string, string | null>>({
    text: 'SELECT schema_name, table_name, columns FROM db_redundancy.tables WHERE stream = $1 AND columns IS NOT NULL',
    values: [stream],
  });
  return new Map(
    rows.map((row) => {
      const table: TableName = { schema: row.schema_name ?? '', name: row.table_name ?? '' };
      const columns = JSON.parse(row.columns ?? '[]') as KnownType[];
      return [tableKey(table), new Map(columns.map((column) => [column.name, column]))];
    }),
  );
}

/** Types whose CockroachDB form is the same type under another name, whatever their length or precision. */
const SAME_TYPE =
  /^(?:smallint|integer|bigint|text|character varying|character|boolean|bytea|uuid|date|inet|jsonb|real|double precision|time|timestamp|interval|bit)\b/;
/** Of extensions that come with PostgreSQL. */
const EXTENSION_TYPE = /^(?:public\.)?(hstore|citext|ltree)(?:\[\])?$/;

/** The type for PostgreSQL, given what both databases read. */
export function postgresType(display: string, known: KnownType | null): string {
  if (!known) return display;
  const { type } = known;
  if (EXTENSION_TYPE.test(type)) return type.replace('public.', '"public".');
  if (type.includes('.') || SAME_TYPE.test(type)) return display;
  // A scale that CockroachDB does not take.
  if (type.startsWith('numeric')) return type.includes('(') && !display.includes('(') ? type : display;
  return type;
}

export function needsExtension({ type }: KnownType): string | null {
  return EXTENSION_TYPE.exec(type)?.[1] ?? null;
}
