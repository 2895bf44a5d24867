/** Folded steps to statements. One file decides how many rows go into a statement and in which order they run. */

import { arrayLiteral } from '../apply/array-literal.js';
import { ArrayPlan, type WrittenRow } from '../apply/binary-array.js';
import { type Copied, copyText } from '../apply/copy-query.js';
import type { Dialect } from '../apply/dialect.js';
import {
  type CopyFormat,
  copySql,
  deleteCopiesSql,
  deleteSql,
  insertSql,
  moveSql,
  SAME_TYPES_SQL,
  updateSql,
  upsertSql,
} from '../apply/statements.js';
import type { TargetColumn } from '../apply/target-table.js';
import { BinaryRow } from '../core/binary-row.js';
import type { Row } from '../core/change.js';
import { quoteTable } from '../core/ident.js';
import type { LineSource } from '../core/line-source.js';
import type { Binding } from './binding.js';
import { binaryLines, textLines } from './copy-lines.js';
import { type BagFold, type KeyedFold, type NetChange, RawUpsert, type Step } from './fold.js';

export interface Statement {
  readonly text: string;
  readonly values: readonly (string | Buffer | null)[];
  /** Lines of a COPY. */
  readonly copy?: Copied;
  readonly inBinary?: boolean;
  /** The tables whose types it asks about. */
  readonly checks?: readonly Binding[];
  /** The table that it changes; null for control statements. */
  readonly binding: Binding | null;
  readonly rows: number;
  /** Patches and moves must find their rows: fewer than `rows` means that the secondary has lost some. */
  readonly mustMatch: readonly Row[] | null;
}

/** Fewer new rows than this go with the upserts: a prepared statement costs the server less than a COPY. */
const LEAST_COPIED = 64;

/**
 * @param copies how rows that the stream inserts may be copied, where they are new to the secondary's table, too; null, the
 * default: they may not
 */
export function compileSteps(
  steps: readonly Step[],
  dialect: Dialect,
  copies: (binding: Binding) => CopyFormat | null = () => null,
): Statement[] {
  const out: Statement[] = [];
  for (const step of steps) {
    if (step.kind === 'rows') {
      for (const table of step.keyed)
        compileKeyed(table, dialect, dialect.copyInserts ? copies(table.binding) : null, out);
      for (const table of step.bags) compileBag(table, dialect, out);
    } else if (step.kind === 'truncate') {
      const tables = step.bindings.map((binding) => binding.target);
      for (const text of dialect.emptyTablesSql(tables))
        out.push({ text, values: [], binding: step.bindings[0] ?? null, rows: 0, mustMatch: null });
    } else out.push(compileMove(step));
  }
  const inBinary = new Set(out.flatMap(({ binding, inBinary }) => (inBinary && binding ? [binding] : [])));
  if (inBinary.size === 0) return out;
  // Before, since other types may refuse the bytes in a way that looks like a fault of the connection; after, since from a
  // COPY on nobody can change its table.
  const check = sameTypes([...inBinary]);
  return [check, ...out, check];
}

function compileKeyed(table: KeyedFold, dialect: Dialect, copied: CopyFormat | null, out: Statement[]): void {
  const { binding, inserts: fresh } = table;
  if (fresh && copied === 'binary' && fresh.length >= LEAST_COPIED) {
    out.push(copyOf(binding, binaryLines(fresh), fresh, 'binary'));
    return;
  }
  const deletes: Row[] = [];
  const upserts: NetChange[] = [];
  const inserts: NetChange[] = [];
  const patches = new Map<string, Row[]>();
  for (const change of table.changes.values()) {
    if (change.op === 'delete') deletes.push(change.row);
    else if (change.op !== 'upsert') groupPatch(patches, change.row);
    else if (copied && change.fresh) inserts.push(change);
    else upserts.push(change);
  }
  const few = inserts.length < LEAST_COPIED;
  pushDeletes(binding, deletes, dialect, out);
  for (const rows of patches.values()) pushPatches(binding, rows, dialect, out);
  pushChanges(binding, few ? [...upserts, ...inserts] : upserts, dialect, out);
  if (!few) pushCopies(binding, inserts, copied === 'binary', out);
}

/** Rows in binary are handed on as they are. */
function pushChanges(binding: Binding, changes: readonly NetChange[], dialect: Dialect, out: Statement[]): void {
  const binary: BinaryRow[] = [];
  const rows: Row[] = [];
  for (const change of changes) {
    if (change instanceof RawUpsert && change.line instanceof BinaryRow) binary.push(change.line);
    else rows.push(change.row);
  }
  pushUpserts(binding, rows, dialect, out);
  if (binary.length === 0) return;
  const text = upsertSql(binding.target, binding.columns, binding.keyNames, dialect.statements);
  const plan = new ArrayPlan(binding.columns, dialect.binaryElements, binding.converters);
  const rowsOfPlan = binary.map((row) => plan.written(row));
  for (const slice of cut(rowsOfPlan, writtenBytes, dialect)) {
    out.push({ text, values: plan.parameters(slice), binding, rows: slice.length, mustMatch: null });
  }
}

function pushCopies(binding: Binding, inserts: readonly NetChange[], inBinary: boolean, out: Statement[]): void {
  const binary: BinaryRow[] = [];
  const raw: LineSource[] = [];
  const rows: Row[] = [];
  for (const change of inserts) {
    if (!(change instanceof RawUpsert)) rows.push(change.row);
    else if (!(change.line instanceof BinaryRow)) raw.push(change.line);
    else if (inBinary) binary.push(change.line);
    else rows.push(change.row);
  }
  if (binary.length > 0) out.push(copyOf(binding, binaryLines(binary), binary, 'binary'));
  if (raw.length > 0) out.push(copyOf(binding, textLines(raw), raw, 'text'));
  if (rows.length > 0) out.push(copyOf(binding, writtenLines(binding, rows), rows, 'text'));
}

function copyOf(binding: Binding, copy: Copied, { length }: { length: number }, format: CopyFormat): Statement {
  const text = copySql(binding.target, binding.columns, format);
  return { text, values: [], copy, inBinary: format === 'binary', binding, rows: length, mustMatch: null };
}

/** Around a COPY in binary: SAME_TYPES_SQL for its table, and those of others in the same transaction. */
function sameTypes(copied: readonly Binding[]): Statement {
  const tables = copied.map(({ target }) => [quoteTable(target.schema, target.name)]);
  const columns = copied.flatMap((binding, i) =>
    binding.columns.map(({ name, typeOid }) => [String(i + 1), name, String(typeOid)]),
  );
  const values = [
    arrayLiteral(tables, 0, 'quoted'),
    arrayLiteral(columns, 0, 'raw'),
    arrayLiteral(columns, 1, 'quoted'),
    arrayLiteral(columns, 2, 'raw'),
  ];
  return { text: SAME_TYPES_SQL, values, binding: null, rows: 0, mustMatch: null, checks: copied };
}

function writtenLines(binding: Binding, rows: readonly Row[]): string {
  const quoted = binding.columns.map((column) => column.encoding === 'quoted');
  const cells = new Array<string>(quoted.length);
  const lines = rows.map((row) => {
    for (let i = 0; i < cells.length; i++) {
      const value = row[i];
      cells[i] = quoted[i] || typeof value !== 'string' ? copyText(value) : value;
    }
    return cells.join('\t');
  });
  return `${lines.join('\n')}\n`;
}

export function pushDeletes(binding: Binding, rows: readonly Row[], dialect: Dialect, out: Statement[]): void {
  if (rows.length === 0) return;
  const key = keyIndexes(binding);
  const text = deleteSql(binding.target, pick(binding, key));
  for (const slice of slices(rows, dialect)) {
    out.push({ text, values: parameters(binding, key, slice), binding, rows: slice.length, mustMatch: null });
  }
}

export function pushUpserts(binding: Binding, rows: readonly Row[], dialect: Dialect, out: Statement[]): void {
  if (rows.length === 0) return;
  const all = binding.columns.map((_, i) => i);
  const text =
    binding.key === null
      ? insertSql(binding.target, binding.columns, dialect.statements)
      : upsertSql(binding.target, binding.columns, binding.keyNames, dialect.statements);
  for (const slice of slices(rows, dialect)) {
    out.push({ text, values: parameters(binding, all, slice), binding, rows: slice.length, mustMatch: null });
  }
}

/** All rows have the same columns unchanged. */
function pushPatches(binding: Binding, rows: readonly Row[], dialect: Dialect, out: Statement[]): void {
  const key = keyIndexes(binding);
  const known = binding.columns.map((_, i) => i).filter((i) => !key.includes(i) && rows[0]?.[i] !== undefined);
  if (known.length === 0) return;
  const text = updateSql(binding.target, pick(binding, key), pick(binding, known));
  for (const slice of slices(rows, dialect)) {
    out.push({
      text,
      values: parameters(binding, [...key, ...known], slice),
      binding,
      rows: slice.length,
      mustMatch: slice,
    });
  }
}

function compileBag({ binding, images }: BagFold, dialect: Dialect, out: Statement[]): void {
  const added: Row[] = [];
  const removed: Row[] = [];
  const copies: string[] = [];
  for (const image of images.values()) {
    for (let n = 0; n < image.copies; n++) added.push(image.row);
    if (image.copies < 0) {
      removed.push(image.row);
      copies.push(String(-image.copies));
    }
  }
  const all = binding.columns.map((_, i) => i);
  const text = deleteCopiesSql(binding.target, binding.columns);
  let done = 0;
  for (const slice of slices(removed, dialect)) {
    const ids = `{${slice.map((_, i) => i).join(',')}}`;
    const counts = `{${copies.slice(done, done + slice.length).join(',')}}`;
    const values = all.map((i) => arrayLiteral(slice, i, 'quoted'));
    out.push({ text, values: [ids, counts, ...values], binding, rows: slice.length, mustMatch: null });
    done += slice.length;
  }
  pushUpserts(binding, added, dialect, out);
}

function compileMove(step: Extract<Step, { kind: 'move' }>): Statement {
  const { binding, from, row } = step;
  const key = keyIndexes(binding);
  const known = binding.columns.map((_, i) => i).filter((i) => row[i] !== undefined);
  const values = [...key.map((i) => from[i] ?? null), ...known.map((i) => row[i] ?? null)];
  return {
    text: moveSql(binding.target, pick(binding, key), pick(binding, known)),
    values,
    binding,
    rows: 1,
    mustMatch: [row],
  };
}

/**
 * While a table loads, the row that a move wants may not be there yet, and its new key may lie in a range that is done:
 * in the same transaction the key is noted, and the load reads it again before it ends.
 */
export function rereadStatements(
  steps: readonly Step[],
  stream: string,
  isLoading: (binding: Binding) => boolean,
): Statement[] {
  const out: Statement[] = [];
  for (const step of steps) {
    if (step.kind !== 'move' || !isLoading(step.binding)) continue;
    const { binding, row } = step;
    const key = JSON.stringify(keyIndexes(binding).map((i) => row[i]));
    const { schema, name } = binding.relation;
    out.push({
      text: `INSERT INTO db_redundancy.load_rereads (stream, schema_name, table_name, row_key) VALUES ($1, $2, $3, $4)
        ON CONFLICT (stream, schema_name, table_name, row_key) DO NOTHING`,
      values: [stream, schema, name, key],
      binding: null,
      rows: 0,
      mustMatch: null,
    });
  }
  return out;
}

function groupPatch(patches: Map<string, Row[]>, row: Row): void {
  let shape = '';
  for (const value of row) shape += value === undefined ? '0' : '1';
  const rows = patches.get(shape);
  if (rows) rows.push(row);
  else patches.set(shape, [row]);
}

export function keyIndexes(binding: Binding): readonly number[] {
  if (binding.key === null) throw new RangeError(`${binding.target.schema}.${binding.target.name} has no key.`);
  return binding.key;
}

export function pick(binding: Binding, indexes: readonly number[]): TargetColumn[] {
  return indexes.map((i) => binding.columns[i] as TargetColumn);
}

/** One array literal a column. */
export function parameters(binding: Binding, indexes: readonly number[], rows: readonly Row[]): string[] {
  return indexes.map((i) => arrayLiteral(rows, i, (binding.columns[i] as TargetColumn).encoding));
}

/** Cuts rows so that no statement exceeds the dialect's rows or bytes; a single row is never cut. */
export function slices<T extends Row>(rows: readonly T[], dialect: Dialect): Generator<readonly T[]> {
  return cut(rows, rowBytes, dialect);
}

function* cut<T>(rows: readonly T[], bytesOf: (row: T) => number, dialect: Dialect): Generator<readonly T[]> {
  let start = 0;
  let bytes = 0;
  for (let i = 0; i < rows.length; i++) {
    const size = bytesOf(rows[i] as T);
    if (i > start && (i - start >= dialect.maxStatementRows || bytes + size > dialect.maxStatementBytes)) {
      yield rows.slice(start, i);
      start = i;
      bytes = 0;
    }
    bytes += size;
  }
  if (start < rows.length) yield rows.slice(start);
}

/** Shorter values are not looked at: each unit of UTF-16 takes at most three bytes, escaped or not. */
const SHORT = 256;
/** Quotes and a comma, or NULL and a comma; and each column's share of its braces. */
const AROUND = 5;

const writtenBytes = ({ row, texts }: WrittenRow) => row.end - row.start + rowBytes(texts);

/** Upper estimate of the UTF-8 bytes that a row takes in array literals. */
function rowBytes(row: Row): number {
  let bytes = 0;
  for (const value of row) {
    bytes += AROUND;
    if (typeof value !== 'string') continue;
    if (value.length < SHORT) bytes += value.length * 3;
    else bytes += Buffer.byteLength(value) * (value.includes('"') || value.includes('\\') ? 2 : 1);
  }
  return bytes;
}
