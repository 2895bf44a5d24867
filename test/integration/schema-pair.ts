/** Steps that the schema tests share. */
import type { Client } from 'pg';
import type { TableName } from '../../src/core/ident.js';
import { readCatalog } from '../../src/schema/catalog.js';
import { diffTarget } from '../../src/schema/diff.js';
import type { TargetDiff } from '../../src/schema/diff-parts.js';
import type { CatalogModel, TableModel } from '../../src/schema/model.js';
import { probeCapabilities } from '../../src/schema/probe.js';
import { readTargetCatalog } from '../../src/schema/target-catalog.js';
import { translate } from '../../src/schema/translate.js';
import type { PlannedTable, Statement, Translation } from '../../src/schema/translation.js';
import type { DatabasePair } from '../harness/cluster.js';
import { query, withClient } from '../harness/sql.js';

export interface Loaded {
  readonly catalog: CatalogModel;
  readonly translation: Translation;
}

export const NOTHING: TargetDiff = { statements: [], afterLoad: [], conflicts: [], reload: [] };

/** Reads the primary and translates it for the secondary as it is. */
export async function loadPair(pair: DatabasePair, tables: readonly TableName[] | '*' = '*'): Promise<Loaded> {
  const catalog = await withClient(pair.primary.url, (client) => readCatalog(client, tables));
  const capabilities = await withClient(pair.secondary.url, probeCapabilities);
  return { catalog, translation: translate(catalog, capabilities) };
}

export async function difference(pair: DatabasePair, { catalog, translation }: Loaded): Promise<TargetDiff> {
  return withClient(pair.secondary.url, async (client) =>
    diffTarget(await readTargetCatalog(client, catalog.tables), translation),
  );
}

export async function apply(pair: DatabasePair, statements: readonly Statement[]): Promise<void> {
  await withClient(pair.secondary.url, async (client) => {
    for (const statement of statements) await applyOne(client, statement);
  });
}

async function applyOne(client: Client, { sql, optional }: Statement): Promise<void> {
  try {
    await client.query(sql);
  } catch (error) {
    // CockroachDB 22.1 overlooks IF NOT EXISTS of a constraint when its name holds a quote.
    if (optional && (error as { code?: string }).code === '42710') return;
    throw new Error(`${error instanceof Error ? error.message : error} in: ${sql}`, { cause: error });
  }
}

/** Creates the schema on the primary and its translation on the secondary. */
export async function replicateSchema(pair: DatabasePair, sql: string): Promise<Loaded> {
  await query(pair.primary.url, sql);
  const loaded = await loadPair(pair);
  await apply(pair, (await difference(pair, loaded)).statements);
  return loaded;
}

export function tableOf(loaded: Loaded, name: string): { model: TableModel; planned: PlannedTable } {
  const model = loaded.catalog.tables.find((table) => table.name === name);
  const planned = loaded.translation.schema.tables.find((table) => table.name === name);
  if (!model || !planned) throw new Error(`no table ${name}`);
  return { model, planned };
}
