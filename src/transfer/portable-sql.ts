/**
 * SQL of an export file. What both databases read alike is written once; where they differ, each has its own form
 * between `\if` and `\endif`, of which psql (and our import) takes the one that fits. A schema without such differences
 * gives a file of SQL alone.
 */
import type { Dialect } from '../schema/capabilities.js';

/** One or more statements without the last semicolon; null: that database gets none. */
export type PortableSql = { readonly both: string } | Readonly<Record<Dialect, string | null>>;

/** The psql variable that the file sets from `version()`. */
const VARIABLE = 'db_redundancy_on_cockroach';
/** Before the first `\if`. */
export const RECOGNISE_DATABASE = `SELECT version() LIKE 'CockroachDB%' AS ${VARIABLE} \\gset\n`;
export const IF_COCKROACH = `\\if :${VARIABLE}`;

export function same(both: string): PortableSql {
  return { both };
}

export function only(dialect: Dialect, sql: string): PortableSql {
  return dialect === 'postgres' ? { postgres: sql, cockroach: null } : { postgres: null, cockroach: sql };
}

/** One form when the texts are equal. */
export function eachIn(postgres: string | null, cockroach: string | null): PortableSql {
  return postgres !== null && postgres === cockroach ? { both: postgres } : { postgres, cockroach };
}

export function differs(statement: PortableSql): boolean {
  return !('both' in statement);
}

export function renderSql(statement: PortableSql): string {
  if ('both' in statement) return `${statement.both};\n`;
  const { postgres, cockroach } = statement;
  if (postgres === null && cockroach === null) return '';
  const branch = (sql: string | null): string => (sql === null ? '' : `${sql};\n`);
  const otherwise = postgres === null ? '' : `\\else\n${branch(postgres)}`;
  return `${IF_COCKROACH}\n${branch(cockroach)}${otherwise}\\endif\n`;
}

/** CockroachDB's own names for what both databases know by another. */
const SPELLINGS: Readonly<Record<string, string>> = { STRING: 'TEXT', BYTES: 'BYTEA', STORING: 'INCLUDE' };
const OUTSIDE_QUOTES = /("(?:[^"]|"")*"|[eE]'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*')|:::|\b(?:STRING|BYTES|STORING)\b/gs;

/** SQL as CockroachDB (or the translation for it) writes it, in words that PostgreSQL reads as well. */
export function neutral(sql: string): string {
  return sql.replace(OUTSIDE_QUOTES, (found, quoted: string | undefined) =>
    quoted !== undefined ? quoted : found === ':::' ? '::' : (SPELLINGS[found] ?? found),
  );
}
