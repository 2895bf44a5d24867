/** Secondary indexes: the server's own definition on PostgreSQL, rebuilt from its parts on CockroachDB. */
import { quoteIdent, quoteTable } from '../core/ident.js';
import { placeExpression } from './expression.js';
import { translateForCockroach } from './expression-cockroach.js';
import type { IndexModel, TableModel } from './model.js';
import { columnList, columnObject, deviate, expressionScope, type TranslationContext } from './translate-context.js';
import { isContainer, notIndexable } from './translate-indexable.js';
import { extensionsOf } from './translate-types.js';
import type { PlannedColumn, PlannedIndex } from './translation.js';

export function planIndexes(
  context: TranslationContext,
  table: TableModel,
  planned: readonly PlannedColumn[],
): PlannedIndex[] {
  return table.indexes.flatMap((index) => {
    const plan =
      context.capabilities.dialect === 'postgres'
        ? planPostgres(context, table, index, planned)
        : planCockroach(context, table, index, planned);
    return plan ? [plan] : [];
  });
}

/** Access methods that come with an extension. */
const METHOD_EXTENSIONS: Readonly<Record<string, string>> = { hnsw: 'vector', ivfflat: 'vector', bloom: 'bloom' };

function planPostgres(
  context: TranslationContext,
  table: TableModel,
  index: IndexModel,
  planned: readonly PlannedColumn[],
): PlannedIndex | null {
  const { capabilities, catalog } = context;
  const object = columnObject(table, index.name);
  const refuse = (reason: string): null => {
    deviate(context, object, 'index', `not created: ${reason}`);
    return null;
  };
  const needed = [...index.extensions];
  const methodExtension = METHOD_EXTENSIONS[index.method];
  if (methodExtension !== undefined) needed.push(methodExtension);
  else if (!capabilities.indexMethods.has(index.method))
    return refuse(`the secondary has no access method ${index.method}`);
  const missing = needed.find((extension) => !capabilities.extensions.has(extension));
  if (missing !== undefined) return refuse(`the secondary has no extension ${missing}`);
  const converted = planned.find((column) => column.convert !== 'none' && touches(index, column.name));
  if (converted) return refuse(`column ${converted.name} has another type there`);
  if (index.nullsNotDistinct && !capabilities.nullsNotDistinct) {
    return refuse('the secondary does not know NULLS NOT DISTINCT');
  }

  const at = quoteTable(table.schema, table.name);
  const sql = `CREATE ${index.unique ? 'UNIQUE ' : ''}INDEX IF NOT EXISTS ${quoteIdent(index.name)} ON ${at} USING ${index.tail}`;
  for (const expression of expressionsOf(index)) {
    const place = placeExpression(expression, catalog, capabilities);
    if (place.when === 'never') return refuse(place.reason);
    if (place.when === 'later') {
      context.promotion.push({
        table: { schema: table.schema, name: table.name },
        kind: 'index',
        name: index.name,
        sql: [...place.functions, sql].join(';\n'),
        undo: `DROP INDEX IF EXISTS ${quoteTable(table.schema, index.name)}`,
      });
      deviate(context, object, 'index', `created at promotion only: ${place.reason}`);
      return null;
    }
    needed.push(...extensionsOf(expression, catalog));
  }
  for (const extension of needed) context.extensions.add(extension);
  return { name: index.name, unique: index.unique, sql, optional: !index.unique };
}

function expressionsOf(index: IndexModel): string[] {
  const list = index.columns.flatMap((column) => column.expression ?? []);
  return index.predicate === null ? list : [...list, index.predicate];
}

function touches(index: IndexModel, column: string): boolean {
  return (
    index.columns.some((entry) => entry.column === column) ||
    index.include.includes(column) ||
    expressionsOf(index).some((expression) => expression.includes(column))
  );
}

function planCockroach(
  context: TranslationContext,
  table: TableModel,
  index: IndexModel,
  planned: readonly PlannedColumn[],
): PlannedIndex | null {
  const object = columnObject(table, index.name);
  const scope = expressionScope(context, table, planned, { immutable: true });
  const refuse = (reason: string): null => {
    deviate(context, object, 'index', `not created: ${reason}`);
    return null;
  };
  const inverted = index.method === 'gin';
  const reason = inverted ? refuseInverted(context, table, index) : refuseOrdinary(context, table, index);
  if (reason !== null) return refuse(reason);

  const parts: string[] = [];
  for (const entry of index.columns) {
    let part = quoteIdent(entry.column ?? '');
    if (entry.expression !== null) {
      if (!context.capabilities.expressionIndexes) return refuse('the secondary has no indexes on expressions');
      const translated = translateForCockroach(entry.expression, scope);
      if (!translated.ok) return refuse(translated.reason);
      part = `(${translated.sql})`;
    }
    const trigram = inverted && entry.operatorClass === 'gin_trgm_ops' ? ' gin_trgm_ops' : '';
    parts.push(`${part}${trigram}${entry.descending ? ' DESC' : ''}`);
  }
  let where = '';
  if (index.predicate !== null) {
    const translated = translateForCockroach(index.predicate, scope);
    if (!translated.ok) return refuse(translated.reason);
    where = ` WHERE ${translated.sql}`;
  }
  if (index.method === 'hash') deviate(context, object, 'index', 'hash index becomes an ordinary one');
  if (index.nullsNotDistinct) deviate(context, object, 'index', 'NULLS NOT DISTINCT is not kept');
  const storing = index.include.length > 0 ? ` STORING (${columnList(index.include)})` : '';
  const kind = index.unique ? 'UNIQUE ' : inverted ? 'INVERTED ' : '';
  const at = quoteTable(table.schema, table.name);
  return {
    name: index.name,
    unique: index.unique,
    sql: `CREATE ${kind}INDEX IF NOT EXISTS ${quoteIdent(index.name)} ON ${at} (${parts.join(', ')})${storing}${where}`,
    optional: !index.unique,
  };
}

function refuseInverted(context: TranslationContext, table: TableModel, index: IndexModel): string | null {
  const { invertedIndexes, trigramIndexes } = context.capabilities;
  if (!invertedIndexes) return 'the secondary has no inverted indexes';
  if (index.columns.some((entry) => entry.operatorClass === 'gin_trgm_ops')) {
    return trigramIndexes ? null : 'the secondary has no trigram indexes';
  }
  const column = table.columns.find((candidate) => candidate.name === index.columns[0]?.column);
  const fits = index.columns.length === 1 && column !== undefined && isContainer(context, column);
  return fits ? null : 'a GIN index there is on one column of JSON, array or text search';
}

function refuseOrdinary(context: TranslationContext, table: TableModel, index: IndexModel): string | null {
  if (index.method !== 'hash' && !context.capabilities.indexMethods.has(index.method)) {
    return `the secondary has no access method ${index.method}`;
  }
  for (const entry of index.columns) {
    const column = table.columns.find((candidate) => candidate.name === entry.column);
    const reason = column ? notIndexable(context, column) : null;
    if (reason !== null) return reason;
  }
  return null;
}
