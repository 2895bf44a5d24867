/** Foreign keys and triggers: never on a standby, always kept for promotion. */
import { displayName, quoteIdent, quoteTable } from '../core/ident.js';
import { functionStatements } from './expression.js';
import { type ForeignKeyModel, sameName, type TableModel, type TriggerModel } from './model.js';
import { columnList, columnObject, deviate, type TranslationContext } from './translate-context.js';
import { planExtensions } from './translate-types.js';

const ACTIONS: Readonly<Record<string, string>> = {
  r: 'RESTRICT',
  c: 'CASCADE',
  n: 'SET NULL',
  d: 'SET DEFAULT',
};

export function planForeignKeys(context: TranslationContext, table: TableModel): void {
  for (const key of table.foreignKeys) {
    const object = columnObject(table, key.name);
    const target = context.catalog.tables.find((candidate) => sameName(candidate, key.references));
    if (!target) {
      deviate(context, object, 'foreign-key', `not created: ${displayName(key.references)} is not replicated`);
      continue;
    }
    if (!key.enforced) {
      deviate(context, object, 'foreign-key', 'not created: it is NOT ENFORCED');
      continue;
    }
    const at = quoteTable(table.schema, table.name);
    const drop = `ALTER TABLE ${at} DROP CONSTRAINT IF EXISTS ${quoteIdent(key.name)}`;
    const sql =
      context.capabilities.dialect === 'cockroach'
        ? `ALTER TABLE ${at} ADD CONSTRAINT IF NOT EXISTS ${quoteIdent(key.name)} ${rebuilt(context, object, key)} NOT VALID`
        : `${drop};\nALTER TABLE ${at} ADD CONSTRAINT ${quoteIdent(key.name)} ${key.definition.replace(/ NOT VALID$/, '')} NOT VALID`;
    context.promotion.push({
      table: { schema: table.schema, name: table.name },
      kind: 'foreign-key',
      name: key.name,
      sql,
      undo: drop,
    });
    deviate(context, object, 'foreign-key', 'created at promotion only, as NOT VALID');
  }
}

function rebuilt(context: TranslationContext, object: string, key: ForeignKeyModel): string {
  if (key.deferrable) deviate(context, object, 'foreign-key', 'not deferrable there');
  if (key.setColumns.length > 0) {
    deviate(context, object, 'foreign-key', `ON DELETE sets all its columns, not only ${key.setColumns.join(', ')}`);
  }
  const parts = [
    `FOREIGN KEY (${columnList(key.columns)})`,
    `REFERENCES ${quoteTable(key.references.schema, key.references.name)} (${columnList(key.referencedColumns)})`,
  ];
  if (key.match === 'f') parts.push('MATCH FULL');
  const onDelete = ACTIONS[key.onDelete];
  const onUpdate = ACTIONS[key.onUpdate];
  if (onDelete !== undefined) parts.push(`ON DELETE ${onDelete}`);
  if (onUpdate !== undefined) parts.push(`ON UPDATE ${onUpdate}`);
  return parts.join(' ');
}

const SWITCHED: Readonly<Record<string, string>> = { D: 'DISABLE', R: 'ENABLE REPLICA', A: 'ENABLE ALWAYS' };

export function planTriggers(context: TranslationContext, table: TableModel): void {
  for (const trigger of table.triggers) {
    const object = columnObject(table, trigger.name);
    if (!context.capabilities.triggers) {
      const reason = `not created, not at promotion either: what ${displayName(trigger.function)}() does must be done elsewhere`;
      deviate(context, object, 'trigger', reason);
      continue;
    }
    const functions = triggerFunction(context, trigger);
    if (typeof functions === 'string') {
      deviate(context, object, 'trigger', `not created: ${functions}`);
      continue;
    }
    const at = quoteTable(table.schema, table.name);
    const drop = `DROP TRIGGER IF EXISTS ${quoteIdent(trigger.name)} ON ${at}`;
    const mode = SWITCHED[trigger.enabled];
    const after = mode === undefined ? [] : [`ALTER TABLE ${at} ${mode} TRIGGER ${quoteIdent(trigger.name)}`];
    context.promotion.push({
      table: { schema: table.schema, name: table.name },
      kind: 'trigger',
      name: trigger.name,
      sql: [...functions.sql, drop, trigger.definition, ...after].join(';\n'),
      undo: drop,
    });
    deviate(context, object, 'trigger', 'created at promotion only');
  }
}

/** The statements that give the secondary the trigger's function, or why it cannot have it. */
function triggerFunction(context: TranslationContext, trigger: TriggerModel): { sql: string[] } | string {
  if (trigger.function.schema === 'pg_catalog') return { sql: [] };
  const call = `${displayName(trigger.function)}()`;
  const model = context.catalog.functions.find((candidate) => sameName(candidate, trigger.function));
  if (!model) return `the definition of ${call} is not known`;
  if (model.extension !== null) {
    const planned = planExtensions(context.catalog, context.capabilities, new Set([model.extension]));
    return planned.length > 0
      ? { sql: planned.map((extension) => extension.sql) }
      : `the secondary has no extension ${model.extension}, which has ${call}`;
  }
  return model.definition === null
    ? `${call} is written in ${model.language}`
    : { sql: functionStatements(model, model.definition, context.catalog) };
}
