/** Checks of a table, and on CockroachDB those of its columns' domains. */
import { quoteIdent, quoteTable } from '../core/ident.js';
import { inspectExpression, placeExpression } from './expression.js';
import { translateForCockroach } from './expression-cockroach.js';
import { type CheckModel, sameName, type TableModel, type TypeModel } from './model.js';
import { columnObject, deviate, expressionScope, type TranslationContext } from './translate-context.js';
import { extensionsOf } from './translate-types.js';
import type { PlannedColumn, PlannedConstraint } from './translation.js';

interface NamedCheck extends CheckModel {
  /** The column that VALUE stands for. */
  readonly value?: string;
}

/** Checks for CREATE TABLE. Others go to the context: to promotion, or as optional statements of their own. */
export function planChecks(
  context: TranslationContext,
  table: TableModel,
  planned: readonly PlannedColumn[],
): PlannedConstraint[] {
  const checks: NamedCheck[] = [...table.checks];
  if (!context.capabilities.domains) checks.push(...domainChecks(context, table));
  return checks.flatMap((check) => {
    const plan = context.capabilities.freeExpressions
      ? planPostgres(context, table, check, planned)
      : planCockroach(context, table, check, planned);
    return plan ? [plan] : [];
  });
}

function planPostgres(
  context: TranslationContext,
  table: TableModel,
  check: NamedCheck,
  planned: readonly PlannedColumn[],
): PlannedConstraint | null {
  const { capabilities, catalog } = context;
  const object = columnObject(table, check.name);
  const converted = planned.find((column) => column.convert !== 'none' && check.expression.includes(column.name));
  const place = placeExpression(check.expression, catalog, capabilities, true);
  if (!check.enforced) return refuse(context, object, 'it is NOT ENFORCED');
  if (converted) return refuse(context, object, `column ${converted.name} has another type there`);
  if (place.when === 'never') return refuse(context, object, place.reason);
  if (place.when === 'later' || !check.validated) {
    const why = place.when === 'later' ? place.reason : 'it is NOT VALID, so old rows may break it';
    postpone(context, table, check, check.expression, place.when === 'later' ? place.functions : [], why);
    return null;
  }
  for (const extension of extensionsOf(check.expression, catalog)) context.extensions.add(extension);
  return { name: check.name, columns: [], definition: `CHECK (${check.expression})`, optional: false };
}

function planCockroach(
  context: TranslationContext,
  table: TableModel,
  check: NamedCheck,
  planned: readonly PlannedColumn[],
): PlannedConstraint | null {
  const object = columnObject(table, check.name);
  if (!check.enforced) return refuse(context, object, 'it is NOT ENFORCED');
  const scope = expressionScope(context, table, planned, {
    immutable: false,
    ...(check.value === undefined ? {} : { value: check.value }),
  });
  const translated = translateForCockroach(check.expression, scope);
  if (!translated.ok) return refuse(context, object, translated.reason);
  const unstable = inspectExpression(check.expression).unstable;
  if (unstable || !check.validated) {
    const why = unstable
      ? 'it depends on the time at which it is evaluated'
      : 'it is NOT VALID, so old rows may break it';
    postpone(context, table, check, translated.sql, [], why);
    return null;
  }
  return { name: check.name, columns: [], definition: `CHECK (${translated.sql})`, optional: true };
}

function refuse(context: TranslationContext, object: string, reason: string): null {
  deviate(context, object, 'check', `not created: ${reason}`);
  return null;
}

/** A row that is written again is checked again: a rule that old rows may break would stop the stream. */
function postpone(
  context: TranslationContext,
  table: TableModel,
  check: NamedCheck,
  expression: string,
  functions: readonly string[],
  why: string,
): void {
  const at = quoteTable(table.schema, table.name);
  const name = quoteIdent(check.name);
  const drop = `ALTER TABLE ${at} DROP CONSTRAINT IF EXISTS ${name}`;
  const add = (exists: string): string =>
    `ALTER TABLE ${at} ADD CONSTRAINT ${exists}${name} CHECK (${expression}) NOT VALID`;
  const sql = context.capabilities.dialect === 'cockroach' ? [add('IF NOT EXISTS ')] : [...functions, drop, add('')];
  context.promotion.push({
    table: { schema: table.schema, name: table.name },
    kind: 'check',
    name: check.name,
    sql: sql.join(';\n'),
    undo: drop,
  });
  deviate(context, columnObject(table, check.name), 'check', `created at promotion only: ${why}`);
}

/** Named after column and check, since several columns may share a domain. */
function domainChecks(context: TranslationContext, table: TableModel): NamedCheck[] {
  const checksOf = (type: TypeModel): readonly CheckModel[] => {
    if (type.kind !== 'domain' || !type.base) return [];
    const domain = context.catalog.domains.find((candidate) => sameName(candidate, type));
    return [...checksOf(type.base), ...(domain?.checks ?? [])];
  };
  return table.columns.flatMap((column) =>
    checksOf(column.type).map((check) => ({ ...check, name: `${column.name}_${check.name}`, value: column.name })),
  );
}
