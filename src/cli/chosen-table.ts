/** The table that `--table` names, of those that the stream has. */
import { parseTableList } from '../config/tables.js';
import { ConfigurationError } from '../core/errors.js';
import { displayName, type TableName, tableKey } from '../core/ident.js';

export function chosenTable(text: string, known: readonly TableName[], stream: string): TableName {
  const parsed = parseTableList(text);
  const table = 'tables' in parsed && parsed.tables !== '*' ? parsed.tables[0] : undefined;
  if (!table)
    throw new ConfigurationError(`Not a table name: ${text}`, {
      code: 'usage',
      remedy: 'Write schema.table, for example public.users.',
    });
  if (!known.some((each) => tableKey(each) === tableKey(table)))
    throw new ConfigurationError(`Table ${displayName(table)} is not part of stream ${stream}.`, {
      code: 'unknown-table',
      remedy: `Known tables: ${known.map(displayName).join(', ') || 'none; run db:init-secondary first'}.`,
    });
  return table;
}
