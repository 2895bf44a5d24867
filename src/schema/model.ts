/**
 * What a database's catalog says about the tables that are replicated. Both sides are described with the same model:
 * the primary to translate it, the secondary to see what is still missing there. All 64-bit numbers are decimal text,
 * since sequence bounds do not fit a JS number. Names are exact, unquoted. Expressions and definitions are SQL as the
 * server prints it with an empty search path, so that everything outside `pg_catalog` is schema-qualified in them.
 */
import type { TableName } from '../core/ident.js';

export interface CatalogModel {
  readonly schemas: readonly string[];
  readonly tables: readonly TableModel[];
  readonly enums: readonly EnumModel[];
  readonly domains: readonly DomainModel[];
  readonly composites: readonly CompositeModel[];
  readonly ranges: readonly RangeModel[];
  readonly sequences: readonly SequenceModel[];
  /** User functions that a default, constraint, index or trigger of these tables may call, extension functions included. */
  readonly functions: readonly FunctionModel[];
  readonly extensions: readonly ExtensionModel[];
  /** The database's locale is `C`: lower() and upper() leave letters beyond ASCII alone. */
  readonly asciiCase: boolean;
  /** Asked for by name and not there. */
  readonly missing: readonly TableName[];
  /** There, but nothing that can be replicated: unlogged, a view, a single partition. */
  readonly skipped: readonly SkippedTable[];
}

export interface SkippedTable {
  readonly table: TableName;
  readonly reason: string;
}

export interface QualifiedName {
  readonly schema: string;
  readonly name: string;
}

export type TypeKind = 'base' | 'array' | 'enum' | 'domain' | 'composite' | 'range' | 'multirange' | 'pseudo';

export interface TypeModel {
  readonly oid: number;
  readonly schema: string;
  /** `pg_type.typname`: `int4`, `varchar`, `_text`. */
  readonly name: string;
  readonly kind: TypeKind;
  /** `format_type(oid, typmod)`: `character varying(20)[]`, `public.status`. On CockroachDB its own name: `VARCHAR(20)[]`. */
  readonly display: string;
  readonly typmod: number;
  /** The array's element with the same type modifier; null for anything but an array. */
  readonly element: TypeModel | null;
  /** A domain's immediate base type; null for anything but a domain. */
  readonly base: TypeModel | null;
  /** The extension that owns the type; null for built-in and user types. */
  readonly extension: string | null;
}

export interface ColumnModel {
  readonly attnum: number;
  readonly name: string;
  readonly type: TypeModel;
  /** Declared array dimensions; 0 for scalars, and for arrays that come from CREATE TABLE AS. */
  readonly dimensions: number;
  readonly nullable: boolean;
  readonly default: string | null;
  readonly identity: 'a' | 'd' | null;
  readonly generated: { readonly kind: 'stored' | 'virtual'; readonly expression: string } | null;
  /** The sequence that `serial` or identity made for this column. */
  readonly ownedSequence: QualifiedName | null;
  /** Set only when it is not the type's own collation. */
  readonly collation: QualifiedName | null;
  readonly comment: string | null;
  /** `attmissingval`: what rows hold that are older than the column, as text; null when there is no such value. */
  readonly missingValue: string | null;
}

export interface KeyModel {
  readonly name: string;
  readonly columns: readonly string[];
  readonly include: readonly string[];
  readonly deferrable: boolean;
  readonly initiallyDeferred: boolean;
  readonly nullsNotDistinct: boolean;
  /** PostgreSQL 18 `WITHOUT OVERLAPS`: not a plain unique key. */
  readonly temporal: boolean;
  readonly definition: string;
}

export interface CheckModel {
  readonly name: string;
  readonly expression: string;
  /** False after `NOT VALID`: rows of the table may break the rule. */
  readonly validated: boolean;
  /** False after PostgreSQL 18 `NOT ENFORCED`. */
  readonly enforced: boolean;
}

export interface ForeignKeyModel {
  readonly name: string;
  readonly columns: readonly string[];
  readonly references: TableName;
  readonly referencedColumns: readonly string[];
  /** `a` no action, `r` restrict, `c` cascade, `n` set null, `d` set default. */
  readonly onUpdate: string;
  readonly onDelete: string;
  /** Columns of `ON DELETE SET NULL (a, b)`, PostgreSQL 15; empty means all. */
  readonly setColumns: readonly string[];
  /** `s` simple, `f` full. */
  readonly match: string;
  readonly deferrable: boolean;
  readonly enforced: boolean;
  readonly definition: string;
}

export interface ExclusionModel {
  readonly name: string;
  readonly definition: string;
}

export interface IndexColumnModel {
  /** Column name, or null for an expression. */
  readonly column: string | null;
  readonly expression: string | null;
  readonly descending: boolean;
  readonly nullsFirst: boolean;
  /** Named only when it is not the default operator class of the type. */
  readonly operatorClass: string | null;
}

export interface IndexModel {
  readonly name: string;
  readonly method: string;
  readonly unique: boolean;
  readonly nullsNotDistinct: boolean;
  readonly columns: readonly IndexColumnModel[];
  readonly include: readonly string[];
  readonly predicate: string | null;
  /** Extensions whose operator classes the index needs. */
  readonly extensions: readonly string[];
  /** What follows `USING ` in `pg_get_indexdef`: everything but the names of index and table. */
  readonly tail: string;
}

export interface TriggerModel {
  readonly name: string;
  readonly definition: string;
  readonly function: QualifiedName;
  /** `O` origin, `D` disabled, `R` replica, `A` always. */
  readonly enabled: string;
}

export interface ReplicaIdentity {
  /** `d` default (primary key), `n` nothing, `f` full, `i` index. */
  readonly kind: 'd' | 'n' | 'f' | 'i';
  /** The columns that identify a row in the WAL: of the key or the index; empty for nothing and full. */
  readonly columns: readonly string[];
}

export interface PartitionModel extends QualifiedName {
  readonly oid: number;
  readonly replicaIdentity: 'd' | 'n' | 'f' | 'i';
}

export interface TableModel extends QualifiedName {
  readonly oid: number;
  readonly kind: 'table' | 'partitioned';
  readonly columns: readonly ColumnModel[];
  readonly primaryKey: KeyModel | null;
  readonly uniques: readonly KeyModel[];
  readonly checks: readonly CheckModel[];
  readonly foreignKeys: readonly ForeignKeyModel[];
  readonly exclusions: readonly ExclusionModel[];
  /** Indexes that no constraint owns. */
  readonly indexes: readonly IndexModel[];
  readonly triggers: readonly TriggerModel[];
  readonly replicaIdentity: ReplicaIdentity;
  /** Planner's estimate, summed over partitions; null before the first ANALYZE. */
  readonly rowEstimate: number | null;
  /** Table and TOAST without indexes, summed over partitions. */
  readonly sizeBytes: number;
  readonly comment: string | null;
  /** Leaves of a partitioned table. */
  readonly partitions: readonly PartitionModel[];
  readonly rowSecurity: boolean;
  /** Parents by INHERITS (not partitioning). */
  readonly inherits: readonly QualifiedName[];
}

export interface EnumModel extends QualifiedName {
  readonly labels: readonly string[];
  /** Of the type and of its labels, in their order; absent where a catalog does not keep them. */
  readonly oids?: { readonly type: number; readonly labels: readonly number[] };
}

export interface DomainModel extends QualifiedName {
  readonly base: TypeModel;
  readonly nullable: boolean;
  readonly default: string | null;
  readonly collation: QualifiedName | null;
  readonly checks: readonly CheckModel[];
}

export interface CompositeModel extends QualifiedName {
  readonly attributes: readonly { readonly name: string; readonly type: TypeModel }[];
}

export interface RangeModel extends QualifiedName {
  readonly subtype: TypeModel;
  readonly multirange: string;
  /** A canonical function makes it more than its subtype: not rebuilt elsewhere. */
  readonly canonical: boolean;
}

export interface SequenceModel extends QualifiedName {
  /** Width: `smallint`, `integer` or `bigint`. */
  readonly type: string;
  readonly start: string;
  readonly increment: string;
  readonly min: string;
  readonly max: string;
  readonly cache: string;
  readonly cycle: boolean;
  readonly ownedBy: { readonly table: TableName; readonly column: string } | null;
  /** Made by `GENERATED ... AS IDENTITY`. */
  readonly identity: boolean;
}

export interface FunctionModel extends QualifiedName {
  readonly language: string;
  readonly extension: string | null;
  /** `CREATE OR REPLACE FUNCTION ...`; null for functions of extensions and in C. */
  readonly definition: string | null;
}

export interface ExtensionModel {
  readonly name: string;
  readonly schema: string;
}

export function sameName(a: QualifiedName, b: QualifiedName): boolean {
  return a.schema === b.schema && a.name === b.name;
}

/** The innermost type below any nesting of domains. */
export function undomained(type: TypeModel): TypeModel {
  return type.base ? undomained(type.base) : type;
}
