/**
 * Compares the secondary with the translation: what is still missing, and what stands in the way. Pure, so that a
 * second run over a finished secondary yields nothing.
 */
import { displayName, quoteIdent, quoteLiteral, quoteTable } from '../core/ident.js';
import { diffColumns } from './diff-columns.js';
import { diffConstraints } from './diff-constraints.js';
import type { DiffParts, TargetDiff } from './diff-parts.js';
import { type CatalogModel, type SequenceModel, sameName } from './model.js';
import { addConstraint, commentStatement } from './planned-sql.js';
import { columnObject } from './translate-context.js';
import type { PlannedSchema, PlannedTable, PlannedType, Statement, Translation } from './translation.js';

export function diffTarget(target: CatalogModel, translation: Translation): TargetDiff {
  const { schema, capabilities } = translation;
  const parts: DiffParts = { statements: [], afterLoad: [], conflicts: [], reload: [] };
  const add = (kind: Statement['kind'], object: string, sql: string, optional = false): void => {
    parts.statements.push({ sql, kind, object, optional });
  };
  for (const { name, sql } of schema.schemas) if (!target.schemas.includes(name)) add('schema', name, sql);
  for (const { name, sql } of schema.extensions) {
    if (!target.extensions.some((extension) => extension.name === name)) add('extension', name, sql);
  }
  for (const type of schema.types) parts.statements.push(...diffType(target, type));
  for (const sequence of schema.sequences) {
    const found = target.sequences.find((candidate) => sameName(candidate, sequence));
    if (!found) add('sequence', displayName(sequence), sequence.sql);
    else if (!sameSequence(found, sequence, capabilities.sequenceCycle)) {
      add('sequence', displayName(sequence), alterSequence(sequence, capabilities.sequenceCycle));
    }
  }
  for (const table of schema.tables) diffTable(target, table, translation, parts);
  parts.statements.push(...ownership(target, schema));
  parts.statements.push(...comments(target, schema));
  return parts;
}

function diffTable(target: CatalogModel, table: PlannedTable, translation: Translation, parts: DiffParts): void {
  const other = target.skipped.find((entry) => sameName(entry.table, table));
  if (other) {
    const reason = `the secondary has something else of this name: ${other.reason}`;
    parts.conflicts.push({ table, kind: 'not-a-table', object: displayName(table), reason, remedy: null });
    return;
  }
  const found = target.tables.find((candidate) => sameName(candidate, table));
  if (found) {
    diffColumns(found, table, translation, parts);
    diffConstraints(found, table, translation.dialect, parts);
    return;
  }
  const object = displayName(table);
  parts.statements.push({ sql: table.sql, kind: 'table', object, optional: false });
  for (const check of table.checks) if (check.optional) parts.statements.push(addConstraint(table, check));
  for (const { name, sql, optional } of table.indexes) {
    parts.statements.push({ sql, kind: 'index', object: columnObject(table, name), optional });
  }
}

function diffType(target: CatalogModel, type: PlannedType): Statement[] {
  const object = displayName(type);
  const statement = (sql: string): Statement => ({ sql, kind: 'type', object, optional: false });
  const at = quoteTable(type.schema, type.name);
  if (type.kind === 'enum') {
    const found = target.enums.find((candidate) => sameName(candidate, type));
    return found ? missingLabels(found.labels, type).map(statement) : [statement(type.sql)];
  }
  if (type.kind === 'domain' && type.domain) {
    const found = target.domains.find((candidate) => sameName(candidate, type));
    if (!found) return [statement(type.sql)];
    const wanted = type.domain.checks;
    const gone = found.checks.filter((check) => !wanted.some((each) => each.name === check.name));
    const fresh = wanted.filter((check) => !found.checks.some((each) => each.name === check.name));
    return [
      ...gone.map((check) => `ALTER DOMAIN ${at} DROP CONSTRAINT IF EXISTS ${quoteIdent(check.name)}`),
      ...fresh.map((check) => `ALTER DOMAIN ${at} ADD CONSTRAINT ${quoteIdent(check.name)} ${check.definition}`),
      ...(type.domain.nullable && !found.nullable ? [`ALTER DOMAIN ${at} DROP NOT NULL`] : []),
    ].map(statement);
  }
  const list = type.kind === 'composite' ? target.composites : target.ranges;
  return list.some((candidate) => sameName(candidate, type)) ? [] : [statement(type.sql)];
}

/** Each label at the place that it has on the primary, since labels sort by place. */
function missingLabels(present: readonly string[], type: PlannedType): string[] {
  const known = [...present];
  const at = quoteTable(type.schema, type.name);
  return type.labels.flatMap((label, i) => {
    if (known.includes(label)) return [];
    const before = type.labels.slice(0, i).findLast((other) => known.includes(other));
    const after = type.labels.slice(i + 1).find((other) => known.includes(other));
    known.push(label);
    const literal = (text: string): string => quoteLiteral(text).trim();
    const place =
      before === undefined ? (after === undefined ? '' : ` BEFORE ${literal(after)}`) : ` AFTER ${literal(before)}`;
    return [`ALTER TYPE ${at} ADD VALUE IF NOT EXISTS ${literal(label)}${place}`];
  });
}

function sameSequence(a: SequenceModel, b: SequenceModel, cycles: boolean): boolean {
  const same = a.increment === b.increment && a.min === b.min && a.max === b.max && a.cache === b.cache;
  return same && (!cycles || a.cycle === b.cycle);
}

function alterSequence(sequence: SequenceModel, cycles: boolean): string {
  const { schema, name, increment, min, max, cache, cycle } = sequence;
  const end = cycles ? (cycle ? ' CYCLE' : ' NO CYCLE') : '';
  return `ALTER SEQUENCE ${quoteTable(schema, name)} INCREMENT BY ${increment} MINVALUE ${min} MAXVALUE ${max} CACHE ${cache}${end}`;
}

function ownership(target: CatalogModel, schema: PlannedSchema): Statement[] {
  return schema.sequences.flatMap((sequence) => {
    const owner = target.sequences.find((candidate) => sameName(candidate, sequence))?.ownedBy;
    const wanted = sequence.ownedBy;
    if (sequence.ownership === null || !wanted) return [];
    if (owner && sameName(owner.table, wanted.table) && owner.column === wanted.column) return [];
    return [{ sql: sequence.ownership, kind: 'sequence', object: displayName(sequence), optional: true } as const];
  });
}

function comments(target: CatalogModel, schema: PlannedSchema): Statement[] {
  return schema.tables.flatMap((table) => {
    const found = target.tables.find((candidate) => sameName(candidate, table));
    const list: Statement[] = [];
    if (table.comment !== (found?.comment ?? null)) list.push(commentStatement(table, null, table.comment));
    for (const { name, comment } of table.columns) {
      const present = found?.columns.find((column) => column.name === name)?.comment ?? null;
      if (comment !== present) list.push(commentStatement(table, name, comment));
    }
    return list;
  });
}
