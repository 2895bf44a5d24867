/** A standby has no foreign keys and triggers: what it keeps for its promotion belongs into an export of it all the same. */
import { quoteIdent, quoteTable } from '../core/ident.js';
import type { Dialect } from '../schema/capabilities.js';
import type { PromotionKind } from '../schema/translation.js';
import type { ExportPlan } from './export-plan.js';
import type { ExportSource } from './export-source.js';
import { only, type PortableSql, same } from './portable-sql.js';

export interface Postponed {
  readonly schema: string;
  readonly table: string;
  readonly kind: PromotionKind;
  readonly name: string;
  readonly sql: string;
}

const IN_ORDER: readonly PromotionKind[] = [
  'default',
  'index',
  'unique',
  'exclusion',
  'check',
  'foreign-key',
  'trigger',
];

/** Empty where this database is no standby of the stream. */
export async function postponedStatements(source: ExportSource, stream: string): Promise<Postponed[]> {
  const there = await source.value(
    `SELECT count(*)::text FROM information_schema.tables WHERE table_schema = 'db_redundancy' AND table_name = 'promotion'`,
  );
  if (there === '0') return [];
  const { rows } = await source.client.query<Record<string, string>>({
    text: 'SELECT schema_name, table_name, kind, name, statement FROM db_redundancy.promotion WHERE stream = $1 ORDER BY 1, 2, 4',
    values: [stream],
  });
  return rows
    .map((row) => ({
      ...{ schema: row.schema_name ?? '', table: row.table_name ?? '', name: row.name ?? '' },
      ...{ kind: row.kind as PromotionKind, sql: row.statement ?? '' },
    }))
    .sort((a, b) => IN_ORDER.indexOf(a.kind) - IN_ORDER.indexOf(b.kind));
}

/** Adds what belongs to the tables of the plan, unless the database has it by now (it has been promoted). */
export function withPostponed(plan: ExportPlan, postponed: readonly Postponed[], dialect: Dialect): ExportPlan {
  const texts = [...plan.indexes, ...plan.constraints].flatMap((statement) => Object.values(statement));
  const mine = postponed.filter(({ schema, table, name }) => {
    if (!plan.rows.some((exported) => exported.schema === schema && exported.name === table)) return false;
    const at = quoteTable(schema, table);
    return !texts.some((text) => text?.includes(at) && text.includes(quoteIdent(name)));
  });
  const statements = (late: boolean): PortableSql[] =>
    mine
      .filter(({ kind }) => late === (kind === 'foreign-key' || kind === 'trigger'))
      .map((item) => (item.kind === 'foreign-key' ? foreignKey(item, dialect) : only(dialect, item.sql)));
  return {
    ...plan,
    indexes: [...plan.indexes, ...statements(false)],
    constraints: [...plan.constraints, ...statements(true)],
  };
}

/** Kept as "drop, then add unchecked"; here it is new, and the rows are there. */
function foreignKey({ schema, table, name, sql }: Postponed, dialect: Dialect): PortableSql {
  const add = `ALTER TABLE ${quoteTable(schema, table)} ADD CONSTRAINT `;
  const at = sql.lastIndexOf(add);
  if (at < 0) return only(dialect, sql);
  const body = sql.slice(at + add.length).replace(/^IF NOT EXISTS /, '');
  const checked = `${add}${body.replace(/ NOT VALID$/, '')}`;
  const plain = body.slice(quoteIdent(name).length);
  return / DEFERRABLE| SET (NULL|DEFAULT) \(/.test(plain) ? only(dialect, checked) : same(checked);
}
