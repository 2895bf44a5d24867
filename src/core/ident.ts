/** Identifiers and literals in SQL text. Values travel as parameters wherever a parameter is possible. */

/** Quotes an identifier always, so that reserved words, upper case, quotes and non-ASCII names are safe. */
export function quoteIdent(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

export function quoteTable(schema: string, name: string): string {
  return `${quoteIdent(schema)}.${quoteIdent(name)}`;
}

/** A string literal that is read alike whatever `standard_conforming_strings` says. */
export function quoteLiteral(text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`;
  return text.includes('\\') ? ` E${quoted.replaceAll('\\', '\\\\')}` : quoted;
}

/** A string that two names share exactly when they are the same table. */
export function tableKey(table: TableName): string {
  return quoteTable(table.schema, table.name);
}

export interface TableName {
  readonly schema: string;
  readonly name: string;
}

/** `schema.table` without quotes: for people. Not a key: names may hold dots. */
export function displayName(table: TableName): string {
  return `${table.schema}.${table.name}`;
}
