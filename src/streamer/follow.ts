/** Which of a table's column changes the stream follows by itself, and why it pauses the table otherwise. */
import type { TargetTable } from '../apply/target-table.js';
import { displayName, quoteIdent, quoteTable } from '../core/ident.js';
import {
  alterStatements,
  type ColumnChange,
  classifyColumns,
  consequence,
  describeChange,
} from '../schema/column-change.js';
import type { TableModel } from '../schema/model.js';
import type { PlannedTable, Translation } from '../schema/translation.js';
import type { KnownColumn } from './tables-store.js';

export interface Followed {
  /** Statements for the secondary, in order. */
  readonly statements: readonly string[];
  /** For people, one part of a sentence each. */
  readonly changes: readonly string[];
  /** Set when the table must be paused: what changed. */
  readonly pause: string | null;
  /** Rows got values that no WAL carries: the table must be read again. */
  readonly reload: boolean;
}

/** `target` is the table as it is: what a former attempt has done already is not done again. */
export function followColumns(
  known: readonly KnownColumn[],
  model: TableModel,
  target: TargetTable,
  translation: Translation,
): Followed {
  const current = model.columns.filter((column) => column.generated === null);
  const planned = translation.schema.tables.find(
    (table) => table.schema === model.schema && table.name === model.name,
  ) as PlannedTable;
  // As the secondary should have it: not every key can be one there.
  const key = { before: target.primaryKey, after: planned.primaryKey?.columns ?? null };
  const all = classifyColumns(known, current, key);
  const changes = pending(all, target);
  const released = releases(all, target, translation.dialect);
  const consequences = all.map((change) => consequence(change, planned));
  const blocking = all.filter((change) => consequence(change, planned) === 'pause');
  if (blocking.length > 0) {
    const reason = `${blocking.map(describeChange).join(' and ')} on the primary, which cannot be followed while streaming`;
    return { statements: [], changes: [], pause: reason, reload: false };
  }
  return {
    statements: [
      ...released,
      ...(changes.length > 0 ? alterStatements(planned, changes, translation).map((statement) => statement.sql) : []),
    ],
    changes: all.map(describeChange),
    pause: null,
    // Changes from before it that are still on their way do not carry what the primary worked out for them.
    reload: consequences.includes('reload') || released.length > 0,
  };
}

/**
 * A column that was generated has become an ordinary one (DROP EXPRESSION), and counts as added since the stream does not
 * follow generated ones. The secondary must stop working it out, or what the application writes would never arrive.
 */
function releases(all: readonly ColumnChange[], target: TargetTable, dialect: Translation['dialect']): string[] {
  const replaced = new Set(all.flatMap((change) => (change.kind === 'dropped' ? [change.name] : [])));
  const action = dialect === 'postgres' ? 'DROP EXPRESSION IF EXISTS' : 'DROP STORED';
  return all.flatMap((change) => {
    if (change.kind !== 'added' || replaced.has(change.column.name)) return [];
    const column = target.columns[target.byName.get(change.column.name) ?? -1];
    if (!column?.generated) return [];
    return [`ALTER TABLE ${quoteTable(target.schema, target.name)} ALTER COLUMN ${quoteIdent(column.name)} ${action}`];
  });
}

/** What is still to be done on the secondary, where a former attempt may have come part of the way. */
function pending(all: readonly ColumnChange[], target: TargetTable): ColumnChange[] {
  const left = all.filter((change) => !isDone(change, target));
  const dropped = new Set(left.flatMap((change) => (change.kind === 'dropped' ? [change.name] : [])));
  // A column that was dropped and added again: what is there now is the old one, and goes.
  return all.filter((change) => left.includes(change) || (change.kind === 'added' && dropped.has(change.column.name)));
}

function isDone(change: ColumnChange, target: TargetTable): boolean {
  if (change.kind === 'renamed') return !target.byName.has(change.from) && target.byName.has(change.to);
  if (change.kind === 'dropped') return !target.byName.has(change.name);
  return change.kind === 'added' && target.byName.has(change.column.name);
}

export function pauseRemedy(table: Parameters<typeof displayName>[0]): string {
  return `db:sync -- --table ${displayName(table)}`;
}
