/**
 * Folds a batch's changes to the net change per key (or per row image where there is no key), keeping order only where
 * it matters: TRUNCATE, a row that moves to another key with values that the WAL does not carry, and a change of the
 * table's shape end a group; within a group every key appears once, so its statements can carry many rows each.
 */

import { BinaryInsert, BinaryUpdate } from '../core/binary-row.js';
import type { Change, Relation, Row, RowChange } from '../core/change.js';
import { UnfitChangeError } from '../core/errors.js';
import { displayName, quoteTable } from '../core/ident.js';
import type { LineSource } from '../core/line-source.js';
import { RawInsert } from '../core/raw-insert.js';
import { type Binding, imageOf, keyOf, project, rawKeyOf } from './binding.js';

/** The net effect on one key. `row` is the projected row; a patch has undefined where the value is unchanged. */
export interface NetChange {
  readonly op: 'upsert' | 'patch' | 'delete';
  readonly row: Row;
  /** An insert whose key no earlier change of the group had: the secondary does not have the row. */
  readonly fresh?: boolean;
}

/** A row that nobody has looked at; its columns are those of the binding. */
export class RawUpsert implements NetChange {
  readonly op = 'upsert';
  readonly line: LineSource;
  readonly fresh: boolean;

  constructor(line: LineSource, fresh: boolean) {
    this.line = line;
    this.fresh = fresh;
  }

  get row(): Row {
    return this.line.row;
  }
}

/** The same of a row whose values are another text on the secondary. */
class ConvertedUpsert extends RawUpsert {
  readonly #binding: Binding;

  constructor(line: LineSource, fresh: boolean, binding: Binding) {
    super(line, fresh);
    this.#binding = binding;
  }

  override get row(): Row {
    return project(this.#binding, this.line.row);
  }
}

export interface KeyedFold {
  readonly binding: Binding;
  readonly changes: ReadonlyMap<string, NetChange>;
  /** All that there is, where it is nothing but new rows in binary: see FoldedTable. */
  readonly inserts?: readonly BinaryInsert[] | null;
}

/**
 * A table's changes within a group. Rows that are only inserted need no look at their keys while they are copied: the
 * primary's key has kept them apart (a table that has another one there is paused, and a COPY of doubled keys would be
 * refused, and its rows folded by key). So they are put down one behind the other until something else comes, or somebody
 * asks for keys.
 */
class FoldedTable implements KeyedFold {
  readonly binding: Binding;
  #inserts: BinaryInsert[] | null = [];
  readonly #changes = new Map<string, NetChange>();

  constructor(binding: Binding) {
    this.binding = binding;
  }

  get inserts(): readonly BinaryInsert[] | null {
    return this.#inserts;
  }

  get changes(): Map<string, NetChange> {
    const inserts = this.#inserts;
    this.#inserts = null;
    try {
      if (inserts) for (const change of inserts) foldKeyed(this, change);
    } catch (error) {
      // Who asks again must not find the rows before the unreadable one only.
      this.#changes.clear();
      this.#inserts = inserts;
      throw error;
    }
    return this.#changes;
  }

  /** False once keys are looked at. */
  putDown(change: RowChange): boolean {
    if (this.#inserts === null || !(change instanceof BinaryInsert)) return false;
    const { binary, straight } = this.binding;
    if (binary && straight) this.#inserts.push(change);
    return binary && straight;
  }
}

export interface BagFold {
  readonly binding: Binding;
  /** Copies to add (positive) or remove (negative) per row image. */
  readonly images: Map<string, { row: Row; copies: number }>;
}

export type Step =
  | { readonly kind: 'rows'; readonly keyed: readonly KeyedFold[]; readonly bags: readonly BagFold[] }
  | { readonly kind: 'truncate'; readonly bindings: readonly Binding[] }
  | { readonly kind: 'move'; readonly binding: Binding; readonly from: Row; readonly row: Row };

/** Null: the table is paused (or waits for its load) and the change is counted, not applied. */
export type BindingLookup = (relation: Relation) => Binding | null;

interface Group {
  readonly keyed: Map<number, FoldedTable>;
  readonly bags: Map<number, BagFold>;
}

/** Throws UnfitChangeError for a change that does not say which row it means. */
export function fold(changes: Iterable<Change>, lookup: BindingLookup): Step[] {
  const steps: Step[] = [];
  let group: Group = { keyed: new Map(), bags: new Map() };
  const flush = (): void => {
    if (group.keyed.size + group.bags.size === 0) return;
    steps.push({ kind: 'rows', keyed: [...group.keyed.values()], bags: [...group.bags.values()] });
    group = { keyed: new Map(), bags: new Map() };
  };
  const find = remembering(lookup);
  for (const change of changes) {
    if (change.kind === 'truncate') {
      const bindings = change.relations.map(lookup).filter((binding) => binding !== null);
      flush();
      if (bindings.length > 0) steps.push({ kind: 'truncate', bindings });
      continue;
    }
    const binding = find(change.relation);
    if (binding === null) continue;
    if (binding.key === null) {
      foldBag(
        bagOf(group, binding, flush, () => group),
        change,
      );
      continue;
    }
    const table = keyedOf(group, binding, flush, () => group);
    const move = table.putDown(change) ? null : foldKeyed(table, change);
    if (move) {
      flush();
      steps.push(move);
    }
  }
  flush();
  return steps;
}

/** Most changes are of the table that the one before was of. */
function remembering(lookup: BindingLookup): BindingLookup {
  let last: { readonly relation: Relation; readonly binding: Binding | null } | null = null;
  return (relation) => {
    if (last?.relation !== relation) last = { relation, binding: lookup(relation) };
    return last.binding;
  };
}

function keyedOf(group: Group, binding: Binding, flush: () => void, fresh: () => Group): FoldedTable {
  const oid = binding.relation.oid;
  const known = group.keyed.get(oid);
  if (known?.binding === binding) return known;
  if (known) flush();
  const table = new FoldedTable(binding);
  fresh().keyed.set(oid, table);
  return table;
}

function bagOf(group: Group, binding: Binding, flush: () => void, fresh: () => Group): BagFold {
  const oid = binding.relation.oid;
  const known = group.bags.get(oid);
  if (known?.binding === binding) return known;
  if (known) flush();
  const table: BagFold = { binding, images: new Map() };
  fresh().bags.set(oid, table);
  return table;
}

/** Returns a move step when the change cannot be folded. */
function foldKeyed(table: FoldedTable, change: RowChange): Step | null {
  const { binding, changes } = table;
  if (isWhole(change, binding)) {
    const key = rawKeyOf(binding, change);
    if (key !== null) {
      const before = changes.get(key);
      const fresh = change.kind === 'insert' ? before === undefined : before?.fresh === true;
      const converts = binding.converters !== null;
      changes.set(key, converts ? new ConvertedUpsert(change, fresh, binding) : new RawUpsert(change, fresh));
      return null;
    }
  }
  if (change.kind === 'insert') {
    const row = project(binding, change.row);
    const key = keyOf(binding, row);
    changes.set(key, { op: 'upsert', row, fresh: !changes.has(key) });
    return null;
  }
  if (change.kind === 'delete') {
    const row = project(binding, change.old);
    changes.set(oldKeyOf(binding, row), { op: 'delete', row });
    return null;
  }
  if (change.old === null && !binding.identified) throw keyMissing(binding);
  const old = change.old === null ? null : project(binding, change.old);
  let row = project(binding, change.row);
  if (old !== null) row = change.oldIs === 'full' ? fillFrom(row, old) : fillKey(binding, row, old);
  const key = keyOf(binding, row);
  const oldKey = old === null ? key : oldKeyOf(binding, old);
  const before = changes.get(oldKey);
  if (before && before.op !== 'delete') row = fillFrom(row, before.row);
  const complete = !row.includes(undefined);
  if (oldKey === key) {
    const op = complete || before?.op === 'upsert' ? 'upsert' : 'patch';
    changes.set(key, { op, row, fresh: before?.fresh === true });
    return null;
  }
  if (!complete) return { kind: 'move', binding, from: old as Row, row };
  changes.set(oldKey, { op: 'delete', row: old as Row });
  changes.set(key, { op: 'upsert', row });
  return null;
}

/** A whole row that can be written as it came. */
function isWhole(change: RowChange, binding: Binding): change is RawInsert | BinaryInsert | BinaryUpdate {
  if (change instanceof BinaryInsert) return binding.binary;
  if (change instanceof BinaryUpdate) return binding.binary && binding.identified;
  return change instanceof RawInsert && binding.straight;
}

/** The old tuple must name the row by the secondary's key: where it does not, deleting nothing would be a silent loss (G9). */
function oldKeyOf(binding: Binding, old: Row): string {
  if ((binding.key as readonly number[]).every((i) => typeof old[i] === 'string')) return keyOf(binding, old);
  throw keyMissing(binding);
}

function keyMissing(binding: Binding): UnfitChangeError {
  return new UnfitChangeError(
    `A change of ${displayName(binding.relation)} does not carry the key (${binding.keyNames.join(', ')}) of its row.`,
    { code: 'key-missing', remedy: identityRemedy(binding) },
  );
}

function identityRemedy({ keyNames, relation }: Binding): string {
  const identity =
    keyNames.length === 0 ? 'FULL' : `FULL (or DEFAULT, where its primary key is (${keyNames.join(', ')}))`;
  return `Run on the primary: ALTER TABLE ${quoteTable(relation.schema, relation.name)} REPLICA IDENTITY ${identity}; then db:sync -- --table ${displayName(relation)}.`;
}

/** A key value that is stored out of line and did not change comes with the old key only. */
function fillKey(binding: Binding, row: Row, old: Row): Row {
  const key = binding.key as readonly number[];
  return key.every((i) => row[i] !== undefined)
    ? row
    : row.map((value, i) => (value === undefined && key.includes(i) ? old[i] : value));
}

function foldBag(table: BagFold, change: RowChange): void {
  const { binding, images } = table;
  if (change.kind !== 'insert' && change.oldIs !== 'full') {
    throw new UnfitChangeError(
      `A change of ${displayName(binding.relation)}, which has no key on the secondary, does not carry the old row.`,
      { code: 'identity-missing', remedy: identityRemedy(binding) },
    );
  }
  const add = (row: Row, copies: number): void => {
    const image = imageOf(row);
    const known = images.get(image);
    if (!known) images.set(image, { row, copies });
    else known.copies += copies;
  };
  const old = change.kind === 'insert' || change.old === null ? null : project(binding, change.old);
  if (old) add(old, -1);
  if (change.kind !== 'delete') {
    const row = project(binding, change.row);
    add(old ? fillFrom(row, old) : row, 1);
  }
}

/** `row` with its unchanged values taken from `known`. */
function fillFrom(row: Row, known: Row): Row {
  if (!row.includes(undefined)) return row;
  return row.map((value, i) => (value === undefined ? known[i] : value));
}
