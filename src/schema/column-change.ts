/**
 * What has happened to a table's columns since they were last known, and how the secondary follows. Pure. Columns are
 * told apart by `attnum`, which survives a rename and is never used twice.
 */
import { displayName, quoteIdent, quoteTable } from '../core/ident.js';
import { addColumn } from './add-column.js';
import { isSafeRetype } from './column-retype.js';
import { type ColumnModel, sameName } from './model.js';
import { columnObject } from './translate-context.js';
import type { OlderRows, PlannedTable, Statement, Translation } from './translation.js';

export interface KnownColumn {
  readonly attnum: number;
  readonly name: string;
  /** `format_type`, as in `ColumnModel.type.display`. */
  readonly type: string;
  /** Left out by those who do not track it: then its changes are not seen. */
  readonly nullable?: boolean;
}

export type ColumnChange =
  | { readonly kind: 'added'; readonly column: ColumnModel; readonly olderRows: OlderRows }
  | { readonly kind: 'renamed'; readonly from: string; readonly to: string }
  | { readonly kind: 'dropped'; readonly name: string }
  | {
      readonly kind: 'retyped-safe' | 'retyped-unsafe';
      readonly name: string;
      readonly from: string;
      readonly to: string;
    }
  | { readonly kind: 'null-allowed' | 'null-forbidden'; readonly name: string }
  | { readonly kind: 'key-changed'; readonly from: readonly string[] | null; readonly to: readonly string[] | null };

/** Column names of the primary key before and after, null without one; each in the naming of its own time. */
export interface KeyChange {
  readonly before: readonly string[] | null;
  readonly after: readonly string[] | null;
}

/**
 * @param known the columns as last known, `current` as the catalog has them now: both with generated columns, or both
 *   without.
 */
export function classifyColumns(
  known: readonly KnownColumn[],
  current: readonly ColumnModel[],
  key?: KeyChange,
): ColumnChange[] {
  const before = new Map(known.map((column) => [column.attnum, column]));
  const after = new Map(current.map((column) => [column.attnum, column]));
  const changes: ColumnChange[] = [];
  for (const old of known) if (!after.has(old.attnum)) changes.push({ kind: 'dropped', name: old.name });
  for (const column of current) {
    const old = before.get(column.attnum);
    if (old) changes.push(...changesOf(old, column));
    else changes.push({ kind: 'added', column, olderRows: olderRows(column) });
  }
  if (key && !sameKey(key, known, current)) changes.push({ kind: 'key-changed', from: key.before, to: key.after });
  return changes;
}

function changesOf(old: KnownColumn, column: ColumnModel): ColumnChange[] {
  const { name } = column;
  const to = column.type.display;
  const changes: ColumnChange[] = [];
  if (old.name !== name) changes.push({ kind: 'renamed', from: old.name, to: name });
  if (old.type !== to) {
    changes.push({ kind: isSafeRetype(old.type, to) ? 'retyped-safe' : 'retyped-unsafe', name, from: old.type, to });
  }
  if (old.nullable !== undefined && old.nullable !== column.nullable) {
    changes.push({ kind: column.nullable ? 'null-allowed' : 'null-forbidden', name });
  }
  return changes;
}

/** A default without a missing value means that the primary wrote its rows anew, each with a value of its own. */
function olderRows(column: ColumnModel): OlderRows {
  if (column.generated) return { kind: 'computed' };
  if (column.missingValue !== null) return { kind: 'literal', text: column.missingValue };
  return { kind: column.default === null && column.identity === null ? 'null' : 'unknown' };
}

function sameKey(key: KeyChange, known: readonly KnownColumn[], current: readonly ColumnModel[]): boolean {
  if (!key.before || !key.after) return key.before === key.after;
  // A rename that was followed already has given the old key its new names.
  const numberOf = (name: string, ...lists: readonly (readonly { name: string; attnum: number }[])[]): unknown =>
    lists.flat().find((column) => column.name === name)?.attnum ?? name;
  const before = key.before.map((name) => numberOf(name, known, current));
  const after = key.after.map((name) => numberOf(name, current));
  // Rows are found by the same values, in whatever order the two databases list them.
  return before.sort().join() === after.sort().join();
}

/**
 * - `follow`: `alterStatements` does it, and the stream goes on.
 * - `reload`: the same, and then the table has to be read again, since older rows got values that no log carries.
 * - `pause`: a person has to decide.
 */
export function consequence(change: ColumnChange, table: PlannedTable): 'follow' | 'reload' | 'pause' {
  if (change.kind === 'retyped-unsafe' || change.kind === 'key-changed') return 'pause';
  if (change.kind !== 'added') return 'follow';
  const planned = table.columns.find((column) => column.name === change.column.name);
  return (planned?.olderRows ?? change.olderRows).kind === 'unknown' ? 'reload' : 'follow';
}

/** One sentence part for logs and for the reason of a paused table. */
export function describeChange(change: ColumnChange): string {
  switch (change.kind) {
    case 'added':
      return `column ${change.column.name} ${change.column.type.display} was added`;
    case 'renamed':
      return `column ${change.from} was renamed to ${change.to}`;
    case 'dropped':
      return `column ${change.name} was dropped`;
    case 'retyped-safe':
    case 'retyped-unsafe':
      return `column ${change.name} changed from ${change.from} to ${change.to}`;
    case 'null-allowed':
      return `column ${change.name} may be NULL now`;
    case 'null-forbidden':
      return `column ${change.name} is NOT NULL now`;
    case 'key-changed':
      return `the primary key changed from ${keyText(change.from)} to ${keyText(change.to)}`;
  }
}

function keyText(key: readonly string[] | null): string {
  return key === null ? 'none' : `(${key.join(', ')})`;
}

/**
 * Statements for the secondary that follow all changes but those that pause the table. In an order in which no name is
 * needed before it is free: drops, renames, types, additions.
 * @param translation of the catalog as it is now; it must hold the table.
 */
export function alterStatements(
  table: PlannedTable,
  changes: readonly ColumnChange[],
  translation: Translation,
): Statement[] {
  const at = `ALTER TABLE ${quoteTable(table.schema, table.name)}`;
  const list: Statement[] = [];
  const add = (column: string, action: string): void => {
    list.push({ sql: `${at} ${action}`, kind: 'column', object: columnObject(table, column), optional: false });
  };
  for (const change of changes) {
    if (change.kind === 'dropped') add(change.name, `DROP COLUMN IF EXISTS ${quoteIdent(change.name)}`);
  }
  for (const { from, to } of renames(changes)) add(to, `RENAME COLUMN ${quoteIdent(from)} TO ${quoteIdent(to)}`);
  for (const change of changes) {
    if (change.kind === 'retyped-safe') {
      const planned = table.columns.find((column) => column.name === change.name);
      if (planned) add(change.name, `ALTER COLUMN ${quoteIdent(change.name)} TYPE ${planned.sqlType}`);
    } else if (change.kind === 'null-allowed') {
      add(change.name, `ALTER COLUMN ${quoteIdent(change.name)} DROP NOT NULL`);
    }
    // A new NOT NULL is not followed: changes from before it may still be on their way. db:init-secondary adds it.
  }
  const added = changes.flatMap((change) => (change.kind === 'added' ? [change.column.name] : []));
  if (added.length > 0) {
    list.push(...prerequisites(translation));
    for (const column of table.columns) {
      if (added.includes(column.name)) list.push(...addColumn(table, column, translation.capabilities));
    }
    list.push(...ownedSequences(table, added, translation));
  }
  return list;
}

/** Types and sequences that an added column may need; each is created only when it is missing. */
function prerequisites({ statements }: Translation): Statement[] {
  return statements.filter(
    ({ kind, sql }) =>
      ['schema', 'extension', 'type'].includes(kind) || (kind === 'sequence' && sql.startsWith('CREATE SEQUENCE')),
  );
}

function ownedSequences(table: PlannedTable, added: readonly string[], translation: Translation): Statement[] {
  return translation.schema.sequences.flatMap((sequence) => {
    const owner = sequence.ownedBy;
    if (sequence.ownership === null || !owner || !sameName(owner.table, table) || !added.includes(owner.column))
      return [];
    return [{ sql: sequence.ownership, kind: 'sequence', object: displayName(sequence), optional: true } as const];
  });
}

/** Where a name goes to a column whose old name is still taken, all go through names of their own first. */
function renames(changes: readonly ColumnChange[]): { from: string; to: string }[] {
  const list = changes.flatMap((change) => (change.kind === 'renamed' ? [change] : []));
  const taken = new Set(list.map((change) => change.from));
  if (!list.some((change) => taken.has(change.to))) return list;
  const temporary = (i: number): string => `db_redundancy_rename_${i}`;
  return [
    ...list.map((change, i) => ({ from: change.from, to: temporary(i) })),
    ...list.map((change, i) => ({ from: temporary(i), to: change.to })),
  ];
}
