/**
 * What our own sessions say, so that a fence lets them through: a fenced database refuses writes by a trigger that asks
 * for the first setting, and by a default of read-only transactions. Custom settings need no declaration on PostgreSQL.
 */
export const WRITER_SETTING = 'db_redundancy.writer';
export const WRITER_SQL = `SET ${WRITER_SETTING} = 'on'; SET default_transaction_read_only = off`;

/** The application_name of our sessions begins so: a fence does not end them. */
export const OWN_APPLICATION = 'db-redundancy';

/** SQL that says whether a session's application_name is one of ours; also with the underscore of the stream's name. */
export function isOwnSql(column: string): string {
  return `left(replace(${column}, '_', '-'), ${OWN_APPLICATION.length}) = '${OWN_APPLICATION}'`;
}
