/**
 * The unique rules of a table that the primary has too. A row that breaks one of these can only be stale, and may be
 * evicted by the row that the primary has. One that breaks another rule of the secondary is as good as the other row:
 * the rule was dropped on the primary, or somebody added it here. Pure.
 */
import type { TargetTable } from '../apply/target-table.js';
import type { TableModel } from '../schema/model.js';

const ruleOf = (columns: readonly string[]) => JSON.stringify([...columns].sort());

export function ownRules(model: TableModel): ReadonlySet<string> {
  const indexes = model.indexes.flatMap((index) => {
    const names = index.columns.map(({ column }) => column);
    const plain = index.unique && index.predicate === null && names.every((name) => name !== null);
    return plain ? [names as string[]] : [];
  });
  return new Set([...model.uniques.map((unique) => unique.columns), ...indexes].map(ruleOf));
}

/** The same table without the other rules. */
export function withOwnRules(target: TargetTable, rules: ReadonlySet<string> | undefined): TargetTable {
  if (rules === undefined) return target;
  return { ...target, uniques: target.uniques.filter((columns) => rules.has(ruleOf(columns))) };
}
