/**
 * What the secondary can do. The translation asks these flags, not the vendor's name; only spelling (type names,
 * quoting of statements) goes by `dialect`.
 */
export type Dialect = 'postgres' | 'cockroach';

export interface TargetCapabilities {
  readonly dialect: Dialect;
  /** As `SELECT version()` says it. */
  readonly version: string;
  readonly major: number;
  /** CockroachDB 22.1 is major 22, minor 1. */
  readonly minor: number;
  /** `typname` of built-in types that may be a column's type. */
  readonly types: ReadonlySet<string>;
  /** Of those, the ones that arrays can be made of. */
  readonly arrayElements: ReadonlySet<string>;
  /** Of those, the ones that an ordinary (btree) index or key accepts. */
  readonly indexableTypes: ReadonlySet<string>;
  /** Such an index accepts arrays. */
  readonly indexableArrays: boolean;
  /** Extensions that are installed or that this role may install; value: the schema it sits in, null before it is installed. */
  readonly extensions: ReadonlyMap<string, string | null>;
  /** Names of built-in functions. */
  readonly functions: ReadonlySet<string>;
  /** Names of built-in collations; empty where collations of the primary do not carry over. */
  readonly collations: ReadonlySet<string>;
  readonly enums: boolean;
  readonly domains: boolean;
  readonly compositeTypes: boolean;
  readonly rangeTypes: boolean;
  readonly identityColumns: boolean;
  readonly virtualColumns: boolean;
  /** Any immutable expression in a generated column, as against a whitelist. */
  readonly freeExpressions: boolean;
  readonly partialIndexes: boolean;
  readonly expressionIndexes: boolean;
  readonly coveringIndexes: boolean;
  /** Access methods by name; a GIN index becomes an inverted one where `invertedIndexes` is set. */
  readonly indexMethods: ReadonlySet<string>;
  readonly invertedIndexes: boolean;
  readonly trigramIndexes: boolean;
  readonly nullsNotDistinct: boolean;
  readonly deferrableConstraints: boolean;
  readonly exclusionConstraints: boolean;
  readonly triggers: boolean;
  readonly userFunctions: boolean;
  readonly comments: boolean;
  readonly sequenceCycle: boolean;
  /** `ALTER SEQUENCE ... OWNED BY`, so that TRUNCATE ... RESTART IDENTITY and DROP COLUMN know the sequence. */
  readonly sequenceOwnership: boolean;
  /** Readers with an older snapshot keep seeing the rows after TRUNCATE. PostgreSQL shows them an empty table. */
  readonly truncateIsMvccSafe: boolean;
}

/** What a probe found out; everything else follows from dialect and version. */
export interface ProbedFacts {
  readonly version: string;
  readonly types: Iterable<string>;
  readonly arrayElements?: Iterable<string>;
  /** CockroachDB: types beyond the usual ones that an ordinary index takes. */
  readonly indexableTypes?: Iterable<string>;
  readonly indexableArrays?: boolean;
  readonly compositeTypes?: boolean;
  readonly extensions?: ReadonlyMap<string, string | null>;
  readonly functions: Iterable<string>;
  readonly collations?: Iterable<string>;
  readonly indexMethods?: Iterable<string>;
}

export function dialectOf(version: string): Dialect {
  return /^CockroachDB\b/i.test(version) ? 'cockroach' : 'postgres';
}

/** `PostgreSQL 15.18 (Debian...)`: 15 and 18. `CockroachDB CCL v22.1.0-alpha...`: 22 and 1. */
export function versionNumbers(version: string): { major: number; minor: number } {
  const match = /(?:PostgreSQL\s+|\bv)(\d+)(?:\.(\d+))?/.exec(version);
  return { major: Number(match?.[1] ?? 0), minor: Number(match?.[2] ?? 0) };
}

export function capabilitiesOf(facts: ProbedFacts): TargetCapabilities {
  return dialectOf(facts.version) === 'cockroach' ? cockroachCapabilities(facts) : postgresCapabilities(facts);
}

function postgresCapabilities(facts: ProbedFacts): TargetCapabilities {
  const { major, minor } = versionNumbers(facts.version);
  const types = new Set(facts.types);
  return {
    dialect: 'postgres',
    version: facts.version,
    major,
    minor,
    types,
    arrayElements: new Set(facts.arrayElements ?? types),
    indexableTypes: types,
    indexableArrays: true,
    extensions: facts.extensions ?? new Map(),
    functions: new Set(facts.functions),
    collations: new Set(facts.collations ?? []),
    enums: true,
    domains: true,
    compositeTypes: true,
    rangeTypes: true,
    identityColumns: true,
    virtualColumns: major >= 18,
    freeExpressions: true,
    partialIndexes: true,
    expressionIndexes: true,
    coveringIndexes: true,
    indexMethods: new Set(facts.indexMethods ?? ['btree', 'hash', 'gin', 'gist', 'spgist', 'brin']),
    invertedIndexes: false,
    trigramIndexes: false,
    nullsNotDistinct: major >= 15,
    deferrableConstraints: true,
    exclusionConstraints: true,
    triggers: true,
    userFunctions: true,
    comments: true,
    sequenceCycle: true,
    sequenceOwnership: true,
    truncateIsMvccSafe: false,
  };
}

/** Not indexed, and not elements of arrays, unless the probe finds otherwise. */
const DOCUMENT_TYPES = new Set(['jsonb', 'tsvector', 'tsquery', 'vector', 'geometry', 'geography', 'jsonpath']);

function cockroachCapabilities(facts: ProbedFacts): TargetCapabilities {
  const { major, minor } = versionNumbers(facts.version);
  const from = (wantedMajor: number, wantedMinor: number): boolean =>
    major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
  const types = new Set(facts.types);
  const plain = [...types].filter((type) => !DOCUMENT_TYPES.has(type));
  return {
    dialect: 'cockroach',
    version: facts.version,
    major,
    minor,
    types,
    arrayElements: new Set(facts.arrayElements ?? plain),
    indexableTypes: new Set([...plain, ...(facts.indexableTypes ?? [])]),
    indexableArrays: facts.indexableArrays ?? false,
    extensions: new Map(),
    functions: new Set(facts.functions),
    collations: new Set(),
    enums: true,
    domains: false,
    compositeTypes: facts.compositeTypes ?? false,
    rangeTypes: false,
    identityColumns: false,
    virtualColumns: from(21, 1),
    freeExpressions: false,
    partialIndexes: true,
    expressionIndexes: from(21, 2),
    coveringIndexes: true,
    indexMethods: new Set(['btree']),
    invertedIndexes: true,
    trigramIndexes: from(22, 2),
    nullsNotDistinct: false,
    deferrableConstraints: false,
    exclusionConstraints: false,
    triggers: false,
    userFunctions: false,
    comments: true,
    sequenceCycle: false,
    sequenceOwnership: false,
    truncateIsMvccSafe: true,
  };
}
