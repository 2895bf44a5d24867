/** What a table holds on either side, as verify compares it. */
import type { Client } from 'pg';
import { type CanonicalColumn, canonicalColumns } from '../../../src/reconcile/canonical.js';
import {
  type Hashing,
  parseRangeHash,
  type RangeHash,
  rangeHashSql,
  type Side,
} from '../../../src/reconcile/row-hash.js';
import { readCatalog } from '../../../src/schema/catalog.js';
import type { TableModel } from '../../../src/schema/model.js';
import { probeCapabilities } from '../../../src/schema/probe.js';
import { translate } from '../../../src/schema/translate.js';
import type { PlannedColumn } from '../../../src/schema/translation.js';
import type { SecondaryDialect } from '../../harness/secondary-dialects.js';

export interface CanonicalTable {
  readonly model: TableModel;
  readonly planned: readonly PlannedColumn[];
  readonly columns: readonly CanonicalColumn[];
}

/** Tables of the schema public, by name. */
export async function canonicalTables(
  primary: Client,
  secondary: Client,
  names: readonly string[],
  dialect: SecondaryDialect,
): Promise<Map<string, CanonicalTable>> {
  const tables = names.map((name) => ({ schema: 'public', name }));
  const catalog = await readCatalog(primary, tables);
  const translation = translate(catalog, await probeCapabilities(secondary));
  return new Map(
    catalog.tables.map((model) => {
      const planned = translation.columns.find(({ table }) => table.name === model.name)?.columns ?? [];
      return [model.name, { model, planned, columns: canonicalColumns(model, planned, dialect).columns }];
    }),
  );
}

/** @param client of that side, with raw texts and the session's settings of the dialect */
export async function rangeHashOf(
  client: Client,
  side: Side,
  { columns, model }: CanonicalTable,
  dialect: SecondaryDialect,
  hashing: Hashing = dialect === 'postgres' ? 'row' : 'md5',
): Promise<RangeHash> {
  const server = side === 'primary' ? 'postgres' : dialect;
  const table = { schema: 'public', name: model.name };
  const { rows } = await client.query(rangeHashSql({ table, columns, side, server, hashing }, null));
  return parseRangeHash(rows[0] ?? {});
}
