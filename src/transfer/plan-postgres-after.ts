/** What follows the rows when the source is PostgreSQL: indexes, then foreign keys, triggers and ownership. */
import { quoteIdent, quoteTable, tableKey } from '../core/ident.js';
import {
  type CatalogModel,
  type ForeignKeyModel,
  type IndexModel,
  sameName,
  type TableModel,
} from '../schema/model.js';
import type { PromotionItem, Translation } from '../schema/translation.js';
import { eachIn, neutral, only, type PortableSql, same } from './portable-sql.js';

/** The source translated for itself and for CockroachDB. */
export interface BothTranslations {
  readonly catalog: CatalogModel;
  readonly exact: Translation;
  readonly floor: Translation;
}

export interface AfterRows {
  readonly indexes: readonly PortableSql[];
  readonly constraints: readonly PortableSql[];
}

export function planAfterRows(both: BothTranslations): AfterRows {
  const { catalog, exact, floor } = both;
  const postponed = (translation: Translation, kinds: readonly PromotionItem['kind'][]): string[] =>
    translation.promotion.filter((item) => kinds.includes(item.kind)).map((item) => item.sql);
  return {
    indexes: [
      ...catalog.tables.flatMap((table) => indexStatements(both, table)),
      ...postponed(exact, ['default', 'index', 'unique', 'exclusion', 'check']).map((sql) => only('postgres', sql)),
      ...postponed(floor, ['default', 'index', 'unique', 'exclusion', 'check']).map((sql) => only('cockroach', sql)),
    ],
    constraints: [
      ...catalog.tables.flatMap((table) => table.foreignKeys.flatMap((key) => foreignKey(both, table, key))),
      ...exact.schema.sequences.flatMap(({ ownership }) => (ownership === null ? [] : [same(ownership)])),
      ...postponed(exact, ['trigger']).map((sql) => only('postgres', sql)),
    ],
  };
}

function indexStatements({ exact, floor }: BothTranslations, table: TableModel): PortableSql[] {
  const sqlOf = (translation: Translation, name: string): string | null =>
    translation.schema.tables.find((planned) => sameName(planned, table))?.indexes.find((index) => index.name === name)
      ?.sql ?? null;
  return table.indexes.flatMap((index) => {
    const here = sqlOf(exact, index.name);
    const there = sqlOf(floor, index.name);
    if (here === null && there === null) return [];
    return [there !== null && here !== null && ordinary(index) ? same(neutral(there)) : eachIn(here, there)];
  });
}

/** Nothing in it but columns and directions. CockroachDB sorts NULL first, which PostgreSQL does for DESC only. */
function ordinary(index: IndexModel): boolean {
  return (
    index.method === 'btree' &&
    index.predicate === null &&
    !index.nullsNotDistinct &&
    index.columns.every(
      (part) => part.expression === null && part.operatorClass === null && part.nullsFirst === part.descending,
    )
  );
}

function foreignKey({ catalog, floor }: BothTranslations, table: TableModel, key: ForeignKeyModel): PortableSql[] {
  if (!catalog.tables.some((other) => sameName(other, key.references))) return [];
  const at = quoteTable(table.schema, table.name);
  const add = `ALTER TABLE ${at} ADD CONSTRAINT `;
  const here = `${add}${quoteIdent(key.name)} ${key.definition}`;
  const item = floor.promotion.find(
    (each) => each.kind === 'foreign-key' && each.name === key.name && tableKey(each.table) === tableKey(table),
  );
  if (!item) return [only('postgres', here)];
  // A standby gets it unchecked and once only; here all rows have been written, and it is new.
  const unchecked = key.definition.endsWith(' NOT VALID') ? ' NOT VALID' : '';
  const there = `${add}${item.sql.slice(`${add}IF NOT EXISTS `.length).replace(/ NOT VALID$/, unchecked)}`;
  return [!key.deferrable && key.setColumns.length === 0 ? same(there) : eachIn(here, there)];
}
