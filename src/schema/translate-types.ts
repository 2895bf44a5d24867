/** User types, schemas, extensions and sequences on the secondary. */
import { displayName, quoteIdent, quoteLiteral, quoteTable } from '../core/ident.js';
import type { TargetCapabilities } from './capabilities.js';
import { inspectExpression, placeExpression } from './expression.js';
import { type CreatedTypes, typeKey } from './mapped-type.js';
import type { CatalogModel, DomainModel, EnumModel, SequenceModel, TypeModel } from './model.js';
import type { Deviation, PlannedConstraint, PlannedSequence, PlannedType } from './translation.js';
import { mapType } from './type-map.js';

export interface PlannedTypes {
  readonly types: readonly PlannedType[];
  readonly created: CreatedTypes;
}

/** In an order in which each type finds those that it is made of; types that lack a part are left out. */
export function planTypes(
  catalog: CatalogModel,
  capabilities: TargetCapabilities,
  deviations: Deviation[],
): PlannedTypes {
  const types: PlannedType[] = catalog.enums.map((model) => planEnum(model, capabilities));
  const created = new Set<string>();
  let pending = candidates(catalog, capabilities, created, deviations);
  for (let before = -1; before !== pending.length; ) {
    before = pending.length;
    pending = pending.filter((candidate) => {
      if (!candidate.parts.every((type) => native(type, capabilities, created))) return true;
      types.push(candidate.plan());
      for (const key of candidate.keys) created.add(key);
      return false;
    });
  }
  return { types, created };
}

interface Candidate {
  readonly parts: readonly TypeModel[];
  readonly keys: readonly string[];
  plan(): PlannedType;
}

function native(type: TypeModel, capabilities: TargetCapabilities, created: CreatedTypes): boolean {
  const inner = type.element ?? type;
  const ownDomain = inner.kind === 'domain' && inner.extension === null && inner.schema !== 'information_schema';
  if (capabilities.domains && ownDomain && !created.has(typeKey(inner))) return false;
  return mapType({ type, dimensions: 0 }, capabilities, created).convert === 'none';
}

function candidates(
  catalog: CatalogModel,
  capabilities: TargetCapabilities,
  created: CreatedTypes,
  deviations: Deviation[],
): Candidate[] {
  const sqlType = (type: TypeModel): string => mapType({ type, dimensions: 0 }, capabilities, created).sqlType;
  const list: Candidate[] = [];
  for (const { schema, name, subtype, multirange, canonical } of capabilities.rangeTypes ? catalog.ranges : []) {
    if (canonical) continue;
    const keys = [typeKey({ schema, name }), typeKey({ schema, name: multirange })];
    const plan = (): PlannedType => {
      const options = `subtype = ${sqlType(subtype)}, multirange_type_name = ${quoteTable(schema, multirange)}`;
      const sql = onceOnly(`CREATE TYPE ${quoteTable(schema, name)} AS RANGE (${options})`);
      return { kind: 'range', schema, name, labels: [], domain: null, sql };
    };
    list.push({ parts: [subtype], keys, plan });
  }
  for (const domain of capabilities.domains ? catalog.domains : []) {
    const plan = (): PlannedType => planDomain(domain, catalog, capabilities, created, deviations);
    list.push({ parts: [domain.base], keys: [typeKey(domain)], plan });
  }
  for (const { schema, name, attributes } of capabilities.compositeTypes ? catalog.composites : []) {
    const plan = (): PlannedType => {
      const members = attributes.map((attribute) => `${quoteIdent(attribute.name)} ${sqlType(attribute.type)}`);
      const sql = createType(`TYPE ${quoteTable(schema, name)} AS (${members.join(', ')})`, capabilities);
      return { kind: 'composite', schema, name, labels: [], domain: null, sql };
    };
    list.push({ parts: attributes.map((attribute) => attribute.type), keys: [typeKey({ schema, name })], plan });
  }
  return list;
}

function planEnum({ schema, name, labels }: EnumModel, capabilities: TargetCapabilities): PlannedType {
  const body = `TYPE ${quoteTable(schema, name)} AS ENUM (${labels.map((label) => quoteLiteral(label).trim()).join(', ')})`;
  return { kind: 'enum', schema, name, labels, domain: null, sql: createType(body, capabilities) };
}

function createType(body: string, capabilities: TargetCapabilities): string {
  if (capabilities.dialect === 'cockroach') return `CREATE ${body.replace(/^TYPE /, 'TYPE IF NOT EXISTS ')}`;
  return onceOnly(`CREATE ${body}`);
}

/** PostgreSQL has no CREATE TYPE IF NOT EXISTS. */
function onceOnly(create: string): string {
  let tag = '$once$';
  for (let i = 1; create.includes(tag); i++) tag = `$once${i}$`;
  return `DO ${tag}BEGIN ${create}; EXCEPTION WHEN duplicate_object THEN NULL; END${tag}`;
}

/**
 * The domain itself is created, not its base type with checks: the application's functions, casts and arrays name it.
 * What it cannot have there is left out of it and reported.
 */
function planDomain(
  domain: DomainModel,
  catalog: CatalogModel,
  capabilities: TargetCapabilities,
  created: CreatedTypes,
  deviations: Deviation[],
): PlannedType {
  const { schema, name } = domain;
  const object = displayName(domain);
  const parts = [
    `CREATE DOMAIN ${quoteTable(schema, name)} AS ${mapType({ type: domain.base, dimensions: 0 }, capabilities, created).sqlType}`,
  ];
  if (domain.collation) {
    if (collationExists(domain.collation, capabilities)) {
      parts.push(`COLLATE ${quoteTable(domain.collation.schema, domain.collation.name)}`);
    } else deviations.push({ object, kind: 'collation', reason: missingCollation(domain.collation.name) });
  }
  if (domain.default !== null) {
    const place = placeExpression(domain.default, catalog, capabilities);
    if (place.when === 'now') parts.push(`DEFAULT ${domain.default}`);
    else deviations.push({ object, kind: 'default', reason: `default not created: ${place.reason}` });
  }
  if (!domain.nullable) parts.push('NOT NULL');
  const checks: PlannedConstraint[] = [];
  for (const check of domain.checks) {
    const place = placeExpression(check.expression, catalog, capabilities, true);
    const usable = place.when === 'now' && check.validated;
    if (usable) {
      const definition = `CHECK (${check.expression})`;
      checks.push({ name: check.name, columns: [], definition, optional: false });
      parts.push(`CONSTRAINT ${quoteIdent(check.name)} ${definition}`);
    } else {
      const why = place.when === 'now' ? 'it is NOT VALID, so old rows may break it' : place.reason;
      deviations.push({ object, kind: 'domain', reason: `check ${check.name} not created: ${why}` });
    }
  }
  const rules = { nullable: domain.nullable, checks };
  return { kind: 'domain', schema, name, labels: [], domain: rules, sql: onceOnly(parts.join(' ')) };
}

export function collationExists(
  collation: { schema: string; name: string },
  capabilities: TargetCapabilities,
): boolean {
  return collation.schema === 'pg_catalog' && capabilities.collations.has(collation.name);
}

export function missingCollation(name: string): string {
  return `collation ${name} is not kept: text sorts and compares by the secondary's default`;
}

/** Identity sequences are made by the column itself where the secondary has identity columns. */
export function planSequences(
  catalog: CatalogModel,
  capabilities: TargetCapabilities,
  deviations: Deviation[],
): PlannedSequence[] {
  return catalog.sequences
    .filter((sequence) => !(sequence.identity && capabilities.identityColumns))
    .map((sequence) => {
      if (sequence.cycle && !capabilities.sequenceCycle) {
        const reason = 'CYCLE is not kept: the sequence fails at its end';
        deviations.push({ object: displayName(sequence), kind: 'sequence', reason });
      }
      const name = quoteTable(sequence.schema, sequence.name);
      const owner = capabilities.sequenceOwnership ? sequence.ownedBy : null;
      return {
        ...sequence,
        sql: `CREATE SEQUENCE IF NOT EXISTS ${name} AS ${sequenceType(sequence, capabilities)} ${sequenceOptions(sequence, capabilities)}`,
        ownership: owner
          ? `ALTER SEQUENCE ${name} OWNED BY ${quoteTable(owner.table.schema, owner.table.name)}.${quoteIdent(owner.column)}`
          : null,
      };
    });
}

const WIDTHS: Readonly<Record<string, string>> = { smallint: 'INT2', integer: 'INT4', bigint: 'INT8' };

function sequenceType(sequence: SequenceModel, capabilities: TargetCapabilities): string {
  return capabilities.dialect === 'cockroach' ? (WIDTHS[sequence.type] ?? 'INT8') : sequence.type;
}

export function sequenceOptions(sequence: SequenceModel, capabilities: TargetCapabilities): string {
  const { increment, min, max, start, cache } = sequence;
  const cycle = sequence.cycle && capabilities.sequenceCycle ? ' CYCLE' : '';
  return `INCREMENT BY ${increment} MINVALUE ${min} MAXVALUE ${max} START WITH ${start} CACHE ${cache}${cycle}`;
}

/** Extensions that planned columns, defaults and indexes rely on, each in the schema that it has on the primary. */
export function planExtensions(
  catalog: CatalogModel,
  capabilities: TargetCapabilities,
  needed: ReadonlySet<string>,
): { name: string; sql: string }[] {
  return [...needed].sort().flatMap((name) => {
    if (!capabilities.extensions.has(name)) return [];
    const schema = catalog.extensions.find((extension) => extension.name === name)?.schema ?? 'public';
    return [{ name, sql: `CREATE EXTENSION IF NOT EXISTS ${quoteIdent(name)} WITH SCHEMA ${quoteIdent(schema)}` }];
  });
}

/** Extensions whose functions an expression calls. */
export function extensionsOf(expression: string, catalog: CatalogModel): string[] {
  const { qualified } = inspectExpression(expression);
  return qualified.flatMap(({ schema, name }) =>
    catalog.functions.flatMap((model) =>
      model.schema === schema && model.name === name && model.extension !== null ? [model.extension] : [],
    ),
  );
}
