/** A column of CockroachDB as both databases define it, and who writes its values. */
import { displayName, quoteIdent, quoteLiteral, quoteTable, tableKey } from '../core/ident.js';
import { jsonToHstore } from '../reconcile/back.js';
import type { CatalogModel, ColumnModel, TableModel } from '../schema/model.js';
import type { CockroachDetails } from './cockroach-details.js';
import type { WrittenColumn } from './export-plan.js';
import { type KnownType, postgresType } from './known-types.js';
import { writerFromCockroach } from './literal.js';
import { drawnFrom } from './plan-sequences.js';
import { neutral } from './portable-sql.js';
import { sharedExpression } from './shared-expression.js';

export interface CockroachContext {
  readonly catalog: CatalogModel;
  readonly details: CockroachDetails;
  readonly known: ReadonlyMap<string, ReadonlyMap<string, KnownType>>;
  readonly notes: string[];
}

export interface BothDefinitions {
  readonly postgres: string;
  readonly cockroach: string;
  readonly writes: { readonly postgres: WrittenColumn | null; readonly cockroach: WrittenColumn | null };
}

export function planColumn(context: CockroachContext, table: TableModel, column: ColumnModel): BothDefinitions {
  const known = context.known.get(tableKey(table))?.get(column.name) ?? null;
  const display = neutral(column.type.display);
  const type = postgresType(display, known);
  const end = column.nullable ? '' : ' NOT NULL';
  const plain: WrittenColumn = {
    name: column.name,
    select: quoteIdent(column.name),
    write: writerFromCockroach(column.type.name),
  };
  const asHstore: WrittenColumn = { ...plain, write: (text, refused) => plain.write(jsonToHstore(text), refused) };
  const written = {
    postgres: known?.type.endsWith('hstore') && column.type.name === 'jsonb' ? asHstore : plain,
    cockroach: plain,
  };
  if (!column.generated) {
    const value = defaultOf(context, table, column);
    return {
      postgres: `${type}${value.postgres}${end}`,
      cockroach: `${display}${value.cockroach}${end}`,
      writes: written,
    };
  }
  const { kind, expression } = column.generated;
  const generated = (sql: string, how: string): string => `GENERATED ALWAYS AS (${sql}) ${how}`;
  const shared = sharedExpression(expression);
  const there = `${display} ${generated(shared ?? expression, kind === 'virtual' ? 'VIRTUAL' : 'STORED')}${end}`;
  if (shared !== null) {
    const postgres = `${type} ${generated(shared, 'STORED')}${end}`;
    return { postgres, cockroach: there, writes: { postgres: null, cockroach: null } };
  }
  context.notes.push(
    `on PostgreSQL: ${displayName(table)}.${column.name}: a plain column: ${expression} may mean something else there`,
  );
  return { postgres: `${type}${end}`, cockroach: there, writes: { postgres: written.postgres, cockroach: null } };
}

function defaultOf(
  context: CockroachContext,
  table: TableModel,
  column: ColumnModel,
): Record<'postgres' | 'cockroach', string> {
  if (column.default === null) return { postgres: '', cockroach: '' };
  const sequence = drawnFrom(column, context.catalog.sequences);
  if (sequence) {
    const text = ` DEFAULT nextval(${quoteLiteral(quoteTable(sequence.schema, sequence.name)).trim()})`;
    return { postgres: text, cockroach: text };
  }
  const shared = sharedExpression(column.default);
  if (shared !== null) return { postgres: ` DEFAULT ${shared}`, cockroach: ` DEFAULT ${shared}` };
  context.notes.push(`on PostgreSQL: ${displayName(table)}.${column.name}: default ${column.default} not created`);
  return { postgres: '', cockroach: ` DEFAULT ${column.default}` };
}
