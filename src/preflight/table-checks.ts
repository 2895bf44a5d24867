import { displayName, quoteIdent, quoteTable, type TableName } from '../core/ident.js';
import type { PublicationFacts } from './primary-facts.js';
import { check, type PreflightResult, type Problem } from './result.js';
import type { Identity, TableFacts, TableListFacts } from './table-facts.js';

export interface TableWanted {
  readonly role: string;
  readonly superuser: boolean;
  readonly publicationName: string;
  readonly publication: PublicationFacts | null;
}

/** The checks of the tables to be replicated; each lists all tables at fault at once. Pure. */
export function tableChecks(facts: TableListFacts, wanted: TableWanted): PreflightResult[] {
  const real = facts.tables.filter((table) => table.kind === 'r' || table.kind === 'p');
  return [
    existenceCheck(facts),
    kindCheck(facts.tables),
    identityCheck(real),
    unloggedCheck(real),
    ownershipCheck(real, wanted),
    readabilityCheck(real, wanted),
    rowSecurityCheck(real, wanted),
    partitionCheck(real, wanted),
  ];
}

const listed = (tables: readonly TableName[]) => tables.map(displayName).join(', ');
const quoted = (table: TableName) => quoteTable(table.schema, table.name);
const lines = <T>(items: readonly T[], line: (item: T) => string) => items.map(line).join('\n');

/** A problem when there are tables at fault. */
function when<T extends TableName>(faulty: readonly T[], problem: (faulty: readonly T[]) => Problem): Problem | null {
  return faulty.length > 0 ? problem(faulty) : null;
}

function existenceCheck({ tables, missing }: TableListFacts): PreflightResult {
  const problem =
    tables.length + missing.length === 0
      ? { detail: 'the database has no tables', remedy: 'Correct DATABASE_URL, or name the tables in DB_SYNC_TABLES.' }
      : when(missing, () => ({
          detail: `missing: ${lines(missing, (each) => displayName(each) + (each.similar.length > 0 ? ` (there is ${each.similar.join(', ')})` : '')).replaceAll('\n', ', ')}`,
          remedy: 'Create them, or correct DB_SYNC_TABLES (schema.table, capitals as they are in the database).',
        }));
  return check('primary-tables', 'Tables exist', { detail: `${tables.length} tables`, problem });
}

const KINDS: Readonly<Record<string, string>> = { v: 'a view', m: 'a materialized view', f: 'a foreign table' };

function kindCheck(tables: readonly TableFacts[]): PreflightResult {
  const faulty = tables.filter((table) => table.kind in KINDS || table.partitionOf !== null);
  const what = (table: TableFacts) =>
    `${displayName(table)} is ${KINDS[table.kind] ?? `a partition of ${table.partitionOf ?? 'another table'}`}`;
  return check('primary-table-kinds', 'Tables are tables', {
    detail: 'no views, foreign tables or single partitions',
    problem: when(faulty, () => ({
      detail: faulty.map(what).join(', '),
      remedy: 'Take them out of DB_SYNC_TABLES; of a partitioned table, name the root.',
    })),
  });
}

const IDENTITY_PROBLEMS: Readonly<Partial<Record<Identity, string>>> = {
  'deferrable-key': 'a primary key that is deferrable',
  'no-key': 'no primary key',
  nothing: 'REPLICA IDENTITY NOTHING',
  'index-gone': 'a replica identity index that is gone',
};

function identityCheck(tables: readonly TableFacts[]): PreflightResult {
  const faulty = tables.flatMap((table) => table.identities).filter((each) => each.identity in IDENTITY_PROBLEMS);
  const full = tables.filter((table) => table.identities.some((each) => each.identity === 'full')).length;
  return check('primary-replica-identity', 'Every table has a key or REPLICA IDENTITY FULL', {
    detail: full > 0 ? `${full} by all columns (FULL), the others by key` : 'all by key',
    problem: when(faulty, () => ({
      detail: `publishing these would break the application's UPDATE and DELETE: ${faulty.map((each) => `${displayName(each)} (${IDENTITY_PROBLEMS[each.identity]})`).join(', ')}`,
      remedy: lines(faulty, (each) =>
        each.identity === 'no-key' || each.identity === 'deferrable-key'
          ? `ALTER TABLE ${quoted(each)} REPLICA IDENTITY FULL; -- or better: ADD PRIMARY KEY (...)`
          : `ALTER TABLE ${quoted(each)} REPLICA IDENTITY DEFAULT; -- with a primary key, else FULL`,
      ),
    })),
  });
}

function unloggedCheck(tables: readonly TableFacts[]): PreflightResult {
  const faulty = tables.filter((table) => table.persistence !== 'p');
  return check('primary-unlogged', 'Tables are logged', {
    detail: 'all changes are in the WAL',
    problem: when(faulty, () => ({
      detail: `unlogged or temporary: ${listed(faulty)}`,
      remedy: lines(faulty, (table) => `ALTER TABLE ${quoted(table)} SET LOGGED;`),
    })),
  });
}

function ownershipCheck(tables: readonly TableFacts[], wanted: TableWanted): PreflightResult {
  // Only an owner may add a table; one that is published already needs nothing more.
  const published = (table: TableFacts) => table.published || wanted.publication?.allTables === true;
  const faulty = tables.filter((table) => !table.owned && !wanted.superuser && !published(table));
  return check('primary-ownership', 'Role may publish the tables', {
    detail: `role ${wanted.role} owns them, or they are published`,
    problem: when(faulty, () => ({
      detail: `role ${wanted.role} is not the owner of ${faulty.map((table) => `${displayName(table)} (${table.owner})`).join(', ')}`,
      remedy: lines(
        [...new Set(faulty.map((table) => table.owner))],
        (owner) =>
          `GRANT ${quoteIdent(owner)} TO ${quoteIdent(wanted.role)}; -- or let the owner add its tables to the publication`,
      ),
    })),
  });
}

function readabilityCheck(tables: readonly TableFacts[], wanted: TableWanted): PreflightResult {
  const faulty = tables.filter((table) => !table.readable);
  return check('primary-select-right', 'Role may read the tables', {
    detail: `SELECT granted to ${wanted.role}`,
    problem: when(faulty, () => ({
      detail: `role ${wanted.role} cannot read ${listed(faulty)}`,
      remedy: lines(
        faulty,
        (table) =>
          `GRANT USAGE ON SCHEMA ${quoteIdent(table.schema)} TO ${quoteIdent(wanted.role)}; GRANT SELECT ON ${quoted(table)} TO ${quoteIdent(wanted.role)};`,
      ),
    })),
  });
}

function rowSecurityCheck(tables: readonly TableFacts[], wanted: TableWanted): PreflightResult {
  const faulty = tables.filter((table) => table.readable && table.rowSecurity);
  return check('primary-row-security', 'Role sees every row', {
    detail: `row security does not apply to ${wanted.role}`,
    problem: when(faulty, () => ({
      detail: `row security may hide rows from role ${wanted.role} in ${listed(faulty)}`,
      remedy: `ALTER ROLE ${quoteIdent(wanted.role)} BYPASSRLS; (on Neon: use a role made in the console, the CLI or the API, not in SQL).`,
    })),
  });
}

function partitionCheck(tables: readonly TableFacts[], wanted: TableWanted): PreflightResult {
  const partitioned = tables.filter((table) => table.kind === 'p');
  const wrong = partitioned.length > 0 && wanted.publication !== null && !wanted.publication.viaRoot;
  return check('primary-partitions', 'Partitioned tables are published through their root', {
    detail: partitioned.length === 0 ? 'no partitioned tables' : `partitioned: ${listed(partitioned)}`,
    problem: wrong
      ? {
          detail: `publication ${wanted.publicationName} publishes the partitions of ${listed(partitioned)} one by one`,
          remedy: `ALTER PUBLICATION ${quoteIdent(wanted.publicationName)} SET (publish_via_partition_root = true);`,
        }
      : null,
  });
}
