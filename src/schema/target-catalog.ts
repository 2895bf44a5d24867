/** What stands on the secondary now, whichever database it is. */
import type { TableName } from '../core/ident.js';
import { dialectOf } from './capabilities.js';
import { readCatalog } from './catalog.js';
import { readCockroachCatalog } from './catalog-cockroach.js';
import { type CatalogClient, rows } from './catalog-session.js';
import type { CatalogModel } from './model.js';

/** The named tables, and all schemas, user types and sequences, used or not. Missing tables are listed, not thrown. */
export async function readTargetCatalog(client: CatalogClient, tables: readonly TableName[]): Promise<CatalogModel> {
  const version = (await rows<{ version: string }>(client, 'SELECT version() AS version'))[0]?.version ?? '';
  return dialectOf(version) === 'cockroach'
    ? readCockroachCatalog(client, tables)
    : readCatalog(client, tables, { unused: true });
}
