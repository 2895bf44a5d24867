import { displayName, type TableName } from '../core/ident.js';

/** The twelve tables of WayBank, all in schema `public`. */
export const DEFAULT_TABLES: readonly TableName[] = [
  'users',
  'custom_pools',
  'position_history',
  'real_positions',
  'invoices',
  'billing_profiles',
  'referrals',
  'referred_users',
  'leads',
  'managed_nfts',
  'app_config',
  'timeframe_adjustments',
].map((name) => ({ schema: 'public', name }));

/** Names that PostgreSQL would cut silently are refused. */
const LONGEST_NAME_BYTES = 63;
const SYSTEM_SCHEMAS = /^(pg_.*|information_schema|crdb_internal|db_redundancy)$/;

export type TableListResult =
  | { readonly tables: readonly TableName[] | '*' }
  | { readonly mistakes: readonly string[] };

/**
 * Parses DB_SYNC_TABLES: names separated by commas, each `table`, `schema.table` or with double quotes around a part
 * that holds a dot, a comma, a quote (doubled) or blanks. Names are taken as written: case is kept with and without
 * quotes. `*` alone means every table. All mistakes are given at once.
 */
export function parseTableList(text: string): TableListResult {
  if (text.trim() === '*') return { tables: '*' };
  const tables = new Map<string, TableName>();
  const mistakes: string[] = [];
  for (const [index, item] of splitOutsideQuotes(text, ',').entries()) {
    const table = parseTable(item.trim(), index + 1);
    if (typeof table === 'string') {
      mistakes.push(table);
      continue;
    }
    const key = JSON.stringify([table.schema, table.name]);
    if (tables.has(key)) mistakes.push(`names ${displayName(table)} twice`);
    tables.set(key, table);
  }
  return mistakes.length > 0 ? { mistakes } : { tables: [...tables.values()] };
}

function parseTable(item: string, position: number): TableName | string {
  if (item === '') return `has an empty name at position ${position}`;
  if (item === '*') return 'holds * beside other names; * stands alone';
  const parts = splitOutsideQuotes(item, '.').map(parsePart);
  if (parts.length > 2 || parts.includes(null)) {
    return `has a malformed name at position ${position}: ${JSON.stringify(item)}`;
  }
  const schema = (parts.length === 2 ? parts[0] : 'public') ?? '';
  const name = parts.at(-1) ?? '';
  const long = [schema, name].find((part) => Buffer.byteLength(part) > LONGEST_NAME_BYTES);
  if (long !== undefined) return `has a name of more than ${LONGEST_NAME_BYTES} bytes at position ${position}`;
  if (SYSTEM_SCHEMAS.test(schema)) return `names ${schema}.${name}, which is not a table of the application`;
  return { schema, name };
}

/** One part of a name; null when it is malformed. */
function parsePart(part: string): string | null {
  const quoted = /^"((?:[^"]|"")+)"$/.exec(part.trim());
  const name = quoted ? quoted[1]?.replaceAll('""', '"') : part.trim();
  if (!name || name.includes('\0')) return null;
  return quoted || !/["\s]/.test(name) ? name : null;
}

/** Splits at a separator that is not inside double quotes. An unclosed quote leaves one malformed part. */
function splitOutsideQuotes(text: string, separator: string): string[] {
  const parts = [''];
  let quoted = false;
  for (const char of text) {
    if (char === '"') quoted = !quoted;
    if (char === separator && !quoted) parts.push('');
    else parts[parts.length - 1] += char;
  }
  return parts;
}
