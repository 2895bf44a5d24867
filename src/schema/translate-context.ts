/** What all parts of the translation share. */
import { displayName, quoteIdent } from '../core/ident.js';
import type { TargetCapabilities } from './capabilities.js';
import type { ExpressionScope } from './expression-cockroach.js';
import type { CreatedTypes } from './mapped-type.js';
import { type CatalogModel, type ColumnModel, type QualifiedName, type TableModel, undomained } from './model.js';
import type { Deviation, DeviationKind, PlannedColumn, PromotionItem } from './translation.js';

export interface TranslationContext {
  readonly catalog: CatalogModel;
  readonly capabilities: TargetCapabilities;
  readonly created: CreatedTypes;
  readonly deviations: Deviation[];
  readonly promotion: PromotionItem[];
  readonly extensions: Set<string>;
}

export function deviate(context: TranslationContext, object: string, kind: DeviationKind, reason: string): void {
  context.deviations.push({ object, kind, reason });
}

export function columnObject(table: QualifiedName, column: string): string {
  return `${displayName(table)}.${column}`;
}

export function columnList(columns: readonly string[]): string {
  return columns.map(quoteIdent).join(', ');
}

/** Which columns an expression may use on CockroachDB, and how. */
export function expressionScope(
  context: TranslationContext,
  table: TableModel,
  planned: readonly PlannedColumn[],
  options: { immutable: boolean; value?: string },
): ExpressionScope {
  const byName = new Map(table.columns.map((column) => [column.name, column]));
  const columns = new Map(
    planned.map((column) => [
      column.name,
      {
        same: column.convert === 'none' || column.convert === 'json',
        arithmetic: isExactNumber(byName.get(column.name)),
      },
    ]),
  );
  return {
    capabilities: context.capabilities,
    columns,
    unicodeCase: !context.catalog.asciiCase && table.columns.every((column) => column.collation === null),
    enums: context.catalog.enums,
    sequences: context.catalog.sequences,
    ...options,
  };
}

function isExactNumber(column: ColumnModel | undefined): boolean {
  const type = column ? undomained(column.type) : undefined;
  return type?.schema === 'pg_catalog' && ['int2', 'int4', 'int8', 'numeric'].includes(type.name);
}
