/** One column: type, nullability, default, identity, generation. */
import { quoteIdent, quoteLiteral, quoteTable } from '../core/ident.js';
import type { TargetCapabilities } from './capabilities.js';
import { placeExpression } from './expression.js';
import { translateForCockroach } from './expression-cockroach.js';
import type { Conversion } from './mapped-type.js';
import type { ColumnModel, DomainModel, SequenceModel, TableModel, TypeModel } from './model.js';
import { sameName } from './model.js';
import { columnObject, deviate, expressionScope, type TranslationContext } from './translate-context.js';
import { collationExists, extensionsOf, missingCollation, sequenceOptions } from './translate-types.js';
import type { Generation, OlderRows, PlannedColumn } from './translation.js';
import { extensionOf, mapType } from './type-map.js';

/** Everything but generation, which needs to know the other columns: `planGenerated` comes after. */
export function planColumn(context: TranslationContext, table: TableModel, column: ColumnModel): PlannedColumn {
  const { capabilities, created } = context;
  const object = columnObject(table, column.name);
  const mapped = mapType(column, capabilities, created);
  if (mapped.note !== null) deviate(context, object, 'type', mapped.note);
  const extension = extensionOf(column.type);
  if (extension !== null) context.extensions.add(extension);
  const domains = capabilities.domains ? [] : domainChain(context, column.type);
  const identity = planIdentity(context, object, column);
  return {
    name: column.name,
    attnum: column.attnum,
    sourceType: column.type.display,
    sqlType: mapped.sqlType,
    convert: mapped.convert,
    nullable: column.nullable && domains.every((domain) => domain.nullable),
    default: identity === null ? planDefault(context, table, column, domains) : identity.default,
    identity: identity?.native ?? null,
    generation: 'none',
    expression: null,
    fill: null,
    collation: planCollation(context, object, column),
    comment: capabilities.comments ? column.comment : null,
    olderRows: olderRows(column, mapped.convert),
  };
}

function olderRows(column: ColumnModel, convert: Conversion): OlderRows {
  if (column.generated) return { kind: 'unknown' };
  const asIs = convert !== 'money' && convert !== 'hstore';
  if (column.missingValue !== null) return asIs ? { kind: 'literal', text: column.missingValue } : { kind: 'unknown' };
  return { kind: column.default === null && column.identity === null ? 'null' : 'unknown' };
}

function domainChain(context: TranslationContext, type: TypeModel): DomainModel[] {
  if (type.kind !== 'domain' || !type.base) return [];
  const own = context.catalog.domains.find((domain) => sameName(domain, type));
  return [...(own ? [own] : []), ...domainChain(context, type.base)];
}

function planIdentity(
  context: TranslationContext,
  object: string,
  column: ColumnModel,
): { native: SequenceModel | null; default: string | null } | null {
  const owned = column.identity === null ? null : column.ownedSequence;
  const sequence = owned ? context.catalog.sequences.find((candidate) => sameName(candidate, owned)) : undefined;
  if (!sequence) return null;
  if (column.identity === 'a') {
    deviate(
      context,
      object,
      'identity',
      'GENERATED ALWAYS becomes BY DEFAULT, so that replicated values can be written',
    );
  }
  if (context.capabilities.identityColumns) return { native: sequence, default: null };
  deviate(
    context,
    object,
    'identity',
    `identity becomes DEFAULT nextval of sequence ${sequence.schema}.${sequence.name}`,
  );
  const name = quoteLiteral(quoteTable(sequence.schema, sequence.name)).trim();
  return { native: null, default: `nextval(${name})` };
}

function planDefault(
  context: TranslationContext,
  table: TableModel,
  column: ColumnModel,
  domains: readonly DomainModel[],
): string | null {
  const expression = column.default ?? domains.find((domain) => domain.default !== null)?.default ?? null;
  if (expression === null) return null;
  const { capabilities, catalog, created } = context;
  const object = columnObject(table, column.name);
  const { convert } = mapType(column, capabilities, created);
  if (convert !== 'none' && convert !== 'json') {
    deviate(context, object, 'default', `default ${expression} not created: the column has another type there`);
    return null;
  }
  if (!capabilities.freeExpressions) {
    const scope = { ...expressionScope(context, table, [], { immutable: false }) };
    const translated = translateForCockroach(expression, scope);
    if (translated.ok) return translated.sql;
    deviate(context, object, 'default', `default ${expression} not created: ${translated.reason}`);
    return null;
  }
  const place = placeExpression(expression, catalog, capabilities);
  if (place.when === 'now') {
    for (const extension of extensionsOf(expression, catalog)) context.extensions.add(extension);
    return expression;
  }
  if (place.when === 'later') {
    const alter = `ALTER TABLE ${quoteTable(table.schema, table.name)} ALTER COLUMN ${quoteIdent(column.name)}`;
    context.promotion.push({
      table: { schema: table.schema, name: table.name },
      kind: 'default',
      name: column.name,
      sql: [...place.functions, `${alter} SET DEFAULT ${expression}`].join(';\n'),
      undo: `${alter} DROP DEFAULT`,
    });
  }
  const until = place.when === 'later' ? 'created at promotion only' : 'not created';
  deviate(context, object, 'default', `default ${expression} ${until}: ${place.reason}`);
  return null;
}

function planCollation(context: TranslationContext, object: string, column: ColumnModel): string | null {
  const { collation } = column;
  if (!collation) return null;
  if (collationExists(collation, context.capabilities)) return quoteTable(collation.schema, collation.name);
  deviate(context, object, 'collation', missingCollation(collation.name));
  return null;
}

/** Decides how a generated column is filled, now that the types of the columns it uses are known. */
export function planGenerated(
  context: TranslationContext,
  table: TableModel,
  column: ColumnModel,
  plan: PlannedColumn,
  planned: readonly PlannedColumn[],
): PlannedColumn {
  if (!column.generated) return plan;
  const { capabilities, catalog } = context;
  const { kind, expression } = column.generated;
  const object = columnObject(table, column.name);
  const usable = plan.convert === 'none';
  let generation: Generation = 'plain';
  let sql = expression;
  let reason = 'the column has another type there';
  if (usable && capabilities.freeExpressions) {
    const converted = planned.some((other) => other.convert !== 'none' && mentions(expression, other.name));
    const place = placeExpression(expression, catalog, capabilities);
    if (converted) reason = 'it uses a column that has another type there';
    else if (place.when === 'now') generation = 'native';
    else reason = place.reason;
  } else if (usable) {
    const translated = translateForCockroach(expression, expressionScope(context, table, planned, { immutable: true }));
    if (translated.ok) {
      generation = 'computed';
      sql = translated.sql;
    } else reason = translated.reason;
  }
  if (generation === 'plain') {
    deviate(context, object, 'generated-column', `becomes a plain column that the stream fills: ${reason}`);
    return { ...plan, generation, nullable: true, fill: expression };
  }
  for (const extension of extensionsOf(expression, catalog)) context.extensions.add(extension);
  const stored = kind === 'stored' || !(generation === 'native' && capabilities.virtualColumns);
  if (stored && kind === 'virtual') deviate(context, object, 'generated-column', 'VIRTUAL becomes STORED');
  if (generation === 'computed') deviate(context, object, 'generated-column', `becomes a computed column: ${sql}`);
  return { ...plan, generation, expression: { sql, stored }, olderRows: { kind: 'computed' } };
}

/** May also be true of a column that is not used: its name is a part of something else. */
export function mentions(expression: string, column: string): boolean {
  return expression.includes(column) || expression.includes(quoteIdent(column));
}

/** As it stands in CREATE TABLE and ADD COLUMN, after the name. */
export function columnDefinition(column: PlannedColumn, capabilities: TargetCapabilities): string {
  const parts = [column.sqlType];
  if (column.collation !== null) parts.push(`COLLATE ${column.collation}`);
  if (column.expression) {
    const kind = column.expression.stored ? 'STORED' : 'VIRTUAL';
    parts.push(
      `${capabilities.dialect === 'cockroach' ? 'AS' : 'GENERATED ALWAYS AS'} (${column.expression.sql}) ${kind}`,
    );
  } else if (column.identity) parts.push(identityClause(column.identity, capabilities));
  else if (column.default !== null) parts.push(`DEFAULT ${column.default}`);
  if (!column.nullable) parts.push('NOT NULL');
  return parts.join(' ');
}

/** The sequence keeps its name, so that raising it at a failover and the application's own calls find it. */
export function identityClause(sequence: SequenceModel, capabilities: TargetCapabilities): string {
  const name = quoteTable(sequence.schema, sequence.name);
  return `GENERATED BY DEFAULT AS IDENTITY (SEQUENCE NAME ${name} ${sequenceOptions(sequence, capabilities)})`;
}
