/**
 * When folding breaks a unique constraint (two rows swapped a value), the touched rows are taken out first and the final
 * ones put in afterwards: what is inserted is at every moment a part of a state that the source has had, so no
 * constraint that holds there can fail. In a table that is being re-synchronised, rows that are stale there may still
 * hold a unique value or a key that a row moves to; those are evicted, and their own chunk or change brings them back if
 * they live.
 */

import { evictSql, selectSql } from '../apply/statements.js';
import type { TargetSession } from '../apply/target-session.js';
import type { Row } from '../core/change.js';
import { StreamHaltError } from '../core/errors.js';
import { displayName } from '../core/ident.js';
import type { Binding } from './binding.js';
import {
  compileSteps,
  keyIndexes,
  parameters,
  pick,
  pushDeletes,
  pushUpserts,
  type Statement,
  slices,
} from './compile.js';
import type { KeyedFold, Step } from './fold.js';

/** True when deleting and re-inserting a row can have no other effect: no foreign key may cascade. */
export function canReplace(steps: readonly Step[]): boolean {
  return steps.every(
    (step) => step.kind !== 'rows' || step.keyed.every((table) => table.binding.target.foreignKeys === 0),
  );
}

/** Patches and moves whose row is not on the secondary: nothing of them was applied. */
export type OnMissing = (binding: Binding, rows: readonly Row[]) => void;

/**
 * Runs inside the caller's transaction, one step after the other. Throws the driver's error of the first failure.
 * @param onMissing told while the transaction is open, so that it may yet be rolled back
 */
export async function runReplacing(
  session: TargetSession,
  steps: readonly Step[],
  mayEvict: (binding: Binding) => boolean,
  onMissing: OnMissing = refuseMissing,
): Promise<void> {
  for (const step of steps) {
    if (step.kind !== 'rows') {
      if (step.kind === 'move' && mayEvict(step.binding)) await runAll(session, moveEvictions(step), onMissing);
      await runAll(session, compileSteps([step], session.dialect), onMissing);
      continue;
    }
    const finals = new Map<KeyedFold, Row[]>();
    for (const table of step.keyed) finals.set(table, await completeRows(session, table, onMissing));
    const statements: Statement[] = [];
    for (const table of step.keyed)
      pushDeletes(
        table.binding,
        [...table.changes.values()].map((change) => change.row),
        session.dialect,
        statements,
      );
    for (const [table, rows] of finals) {
      if (mayEvict(table.binding)) pushEvictions(table.binding, rows, session, statements);
      pushUpserts(table.binding, rows, session.dialect, statements);
    }
    await runAll(session, statements, onMissing);
    await runAll(session, compileSteps([{ kind: 'rows', keyed: [], bags: step.bags }], session.dialect), onMissing);
  }
}

function refuseMissing({ target }: Binding, rows: readonly Row[]): never {
  throw new StreamHaltError(`${displayName(target)} on the secondary lacks ${rows.length} rows that were changed.`, {
    code: 'rows-missing',
    remedy: `Run db:sync -- --table ${displayName(target)}.`,
  });
}

/** The rows that exist after the step, with unchanged values read from the secondary before anything is deleted. */
async function completeRows(
  session: TargetSession,
  { binding, changes }: KeyedFold,
  onMissing: OnMissing,
): Promise<Row[]> {
  const complete: Row[] = [];
  const patches: Row[] = [];
  for (const { op, row } of changes.values()) {
    if (op === 'upsert') complete.push(row);
    else if (op === 'patch') patches.push(row);
  }
  const key = keyIndexes(binding);
  const others = binding.columns.map((_, i) => i).filter((i) => !key.includes(i));
  const text = selectSql(binding.target, pick(binding, key), pick(binding, others));
  for (const slice of slices(patches, session.dialect)) {
    const ids = `{${slice.map((_, i) => i).join(',')}}`;
    const { rows } = await session.run({ text, values: [ids, ...parameters(binding, key, slice)] });
    const stored = new Map(rows.map((row) => [Number(row.id), row]));
    const missing: Row[] = [];
    slice.forEach((patch, id) => {
      const known = stored.get(id);
      if (!known) missing.push(patch);
      else complete.push(patch.map((value, i) => (value === undefined ? known[`v${others.indexOf(i)}`] : value)));
    });
    if (missing.length > 0) onMissing(binding, missing);
  }
  return complete;
}

/** Whoever holds the new key, or a unique value that the moved row gets, and is not the row that moves. */
function moveEvictions({ binding, from, row }: Extract<Step, { kind: 'move' }>): Statement[] {
  const key = keyIndexes(binding);
  const out: Statement[] = [];
  for (const at of [key, ...uniqueIndexes(binding)]) {
    // Where the WAL does not carry a value, it is unchanged: the row that moves holds it already.
    if (at.some((i) => row[i] === null || row[i] === undefined)) continue;
    const values = [...parameters(binding, at, [row]), ...parameters(binding, key, [from])];
    out.push({ text: evictSql(binding.target, pick(binding, at), pick(binding, key)), values, ...evicting(binding) });
  }
  return out;
}

/** Positions of the columns of each unique list beside the key, where all of them are written. */
function uniqueIndexes(binding: Binding): number[][] {
  const { primaryKey, uniques } = binding.target;
  // The key may be that of a replica identity index.
  const lists = primaryKey === null || primaryKey === binding.keyNames ? uniques : [primaryKey, ...uniques];
  return lists
    .map((unique) => unique.map((name) => binding.columns.findIndex((column) => column.name === name)))
    .filter((at) => !at.includes(-1));
}

const evicting = (binding: Binding) => ({ binding, rows: 0, mustMatch: null });

function pushEvictions(binding: Binding, rows: readonly Row[], session: TargetSession, out: Statement[]): void {
  const key = keyIndexes(binding);
  for (const at of uniqueIndexes(binding)) {
    const text = evictSql(binding.target, pick(binding, at), pick(binding, key));
    for (const slice of slices(
      rows.filter((row) => at.every((i) => row[i] !== null)),
      session.dialect,
    )) {
      out.push({ text, values: parameters(binding, [...at, ...key], slice), ...evicting(binding) });
    }
  }
}

async function runAll(session: TargetSession, statements: readonly Statement[], onMissing: OnMissing): Promise<void> {
  for (const statement of statements) {
    const { rowCount } = await session.run(statement);
    const { binding, mustMatch, rows } = statement;
    if (binding && mustMatch && (rowCount ?? 0) < rows) onMissing(binding, mustMatch);
  }
}
