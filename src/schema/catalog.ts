/**
 * Reads a PostgreSQL catalog (14 to 18) as an ordinary role: a handful of set-based queries, whatever the number of
 * tables, in one read-only transaction. What is not there is listed in the result, not thrown.
 */
import type { TableName } from '../core/ident.js';
import { type ColumnRow, columnModel, readColumns } from './catalog-columns.js';
import {
  type ConstraintRow,
  type IndexRow,
  readConstraints,
  readIndexes,
  readTriggers,
  type TriggerRow,
} from './catalog-constraints.js';
import {
  readAsciiCase,
  readExtensions,
  readFunctions,
  readSchemas,
  readSequences,
  readUserTypes,
} from './catalog-objects.js';
import { type RelationRow, resolveTables } from './catalog-relations.js';
import { type CatalogClient, withCatalogSession } from './catalog-session.js';
import { readTypes, type TypeCatalog } from './catalog-types.js';
import type { CatalogModel, ForeignKeyModel, KeyModel, SkippedTable, TableModel } from './model.js';

export interface CatalogScope {
  /** Also sequences, types and schemas that these tables do not use. Always so for `*` as far as sequences go. */
  readonly unused?: boolean;
}

/**
 * @param tables names, or `*` for all user tables: partitioned roots rather than their partitions, and neither system
 *   schemas, nor the product's own schema, nor tables of extensions.
 */
export async function readCatalog(
  client: CatalogClient,
  tables: readonly TableName[] | '*',
  scope: CatalogScope = {},
): Promise<CatalogModel> {
  return withCatalogSession(client, async () => {
    const { relations, missing, skipped } = await resolveTables(client, tables);
    const oids = relations.map((relation) => relation.oid);
    const columns = await readColumns(client, oids);
    const used = columns.map((column) => column.type);
    const types = await readTypes(client, scope.unused ? [...used, ...(await readUserTypes(client))] : used);
    const parts: TableParts = {
      types,
      columns: groupByTable(columns),
      constraints: groupByTable(await readConstraints(client, oids)),
      indexes: groupByTable(await readIndexes(client, oids)),
      triggers: groupByTable(await readTriggers(client, oids)),
    };
    const sequences = await readSequences(client, oids, tables === '*' || scope.unused === true);
    const functions = await readFunctions(client);
    const extensions = await readExtensions(client);
    const asciiCase = await readAsciiCase(client);
    const models = relations.map((relation) => tableModel(relation, parts));
    const named = [
      ...models,
      ...types.enums(),
      ...types.domains(),
      ...types.composites(),
      ...types.ranges(),
      ...sequences,
    ];
    const schemas = scope.unused ? await readSchemas(client) : named.map((object) => object.schema);
    return {
      schemas: [...new Set(schemas)].sort(),
      tables: models,
      enums: types.enums(),
      domains: types.domains(),
      composites: types.composites(),
      ranges: types.ranges(),
      sequences,
      functions,
      extensions,
      asciiCase,
      missing,
      skipped,
    };
  });
}

/** All tables that `*` stands for, with those that it leaves out for a reason. */
export async function listTables(
  client: CatalogClient,
): Promise<{ tables: TableName[]; skipped: readonly SkippedTable[] }> {
  return withCatalogSession(client, async () => {
    const { relations, skipped } = await resolveTables(client, '*');
    return { tables: relations.map(({ schema, name }) => ({ schema, name })), skipped };
  });
}

interface TableParts {
  readonly types: TypeCatalog;
  readonly columns: ReadonlyMap<number, ColumnRow[]>;
  readonly constraints: ReadonlyMap<number, ConstraintRow[]>;
  readonly indexes: ReadonlyMap<number, IndexRow[]>;
  readonly triggers: ReadonlyMap<number, TriggerRow[]>;
}

function groupByTable<R extends { table: number }>(list: readonly R[]): Map<number, R[]> {
  const groups = new Map<number, R[]>();
  for (const row of list) {
    const group = groups.get(row.table);
    if (group) group.push(row);
    else groups.set(row.table, [row]);
  }
  return groups;
}

function tableModel(relation: RelationRow, parts: TableParts): TableModel {
  const { oid, schema, name } = relation;
  const constraints = parts.constraints.get(oid) ?? [];
  const indexes = parts.indexes.get(oid) ?? [];
  const primaryKey = constraints.find((row) => row.kind === 'p');
  const identityIndex = indexes.find((row) => row.replica_identity);
  const identityColumns =
    relation.identity === 'd'
      ? (primaryKey?.columns ?? [])
      : relation.identity === 'i'
        ? (identityIndex?.columns ?? []).flatMap((column) => column.column ?? [])
        : [];
  return {
    oid,
    schema,
    name,
    kind: relation.kind === 'p' ? 'partitioned' : 'table',
    columns: (parts.columns.get(oid) ?? []).map((row) => columnModel(row, parts.types)),
    primaryKey: primaryKey ? keyModel(primaryKey) : null,
    uniques: constraints.filter((row) => row.kind === 'u').map(keyModel),
    checks: constraints
      .filter((row) => row.kind === 'c')
      .map((row) => ({
        name: row.name,
        expression: row.expression ?? '',
        validated: row.validated,
        enforced: row.enforced,
      })),
    foreignKeys: constraints.flatMap((row) => (row.kind === 'f' ? foreignKeyModel(row) : [])),
    exclusions: constraints
      .filter((row) => row.kind === 'x')
      .map((row) => ({ name: row.name, definition: row.definition })),
    indexes: indexes
      .filter((row) => !row.constraint)
      .map(({ table: _t, constraint: _c, replica_identity: _r, nulls_not_distinct, ...row }) => ({
        ...row,
        nullsNotDistinct: nulls_not_distinct,
      })),
    triggers: (parts.triggers.get(oid) ?? []).map(({ table: _, ...trigger }) => trigger),
    replicaIdentity: { kind: relation.identity, columns: identityColumns },
    rowEstimate: relation.estimate,
    sizeBytes: relation.size,
    comment: relation.comment,
    partitions: relation.partitions,
    rowSecurity: relation.row_security,
    inherits: relation.inherits,
  };
}

function keyModel(row: ConstraintRow): KeyModel {
  return {
    name: row.name,
    columns: row.columns,
    include: row.include,
    deferrable: row.deferrable,
    initiallyDeferred: row.deferred,
    nullsNotDistinct: row.nulls_not_distinct,
    temporal: row.temporal,
    definition: row.definition,
  };
}

function foreignKeyModel(row: ConstraintRow): ForeignKeyModel[] {
  if (!row.references) return [];
  return [
    {
      name: row.name,
      columns: row.columns,
      references: row.references,
      referencedColumns: row.referenced_columns,
      onUpdate: row.on_update,
      onDelete: row.on_delete,
      setColumns: row.set_columns,
      match: row.match,
      deferrable: row.deferrable,
      enforced: row.enforced,
      definition: row.definition,
    },
  ];
}
