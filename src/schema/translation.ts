/** What the translation yields: the secondary's schema as data, with the SQL for each piece, and what comes later. */
import type { TableName } from '../core/ident.js';
import type { Dialect, TargetCapabilities } from './capabilities.js';
import type { Conversion } from './mapped-type.js';
import type { QualifiedName, SequenceModel } from './model.js';

export type StatementKind =
  | 'schema'
  | 'extension'
  | 'type'
  | 'sequence'
  | 'table'
  | 'column'
  | 'constraint'
  | 'index'
  | 'comment';

export interface Statement {
  /** One statement, without a semicolon; to be run outside a transaction, and harmless when run again. */
  readonly sql: string;
  readonly kind: StatementKind;
  /** For people: what it is about. */
  readonly object: string;
  /** The standby works without it: a failure becomes a deviation and the load goes on. */
  readonly optional: boolean;
}

export type DeviationKind =
  | 'type'
  | 'domain'
  | 'default'
  | 'identity'
  | 'sequence'
  | 'generated-column'
  | 'collation'
  | 'check'
  | 'primary-key'
  | 'unique'
  | 'exclusion'
  | 'index'
  | 'foreign-key'
  | 'trigger'
  | 'partitioning'
  | 'inheritance'
  | 'row-security'
  | 'table'
  | 'statement';

export interface Deviation {
  /** Unquoted, for people: `shop.orders.note`. */
  readonly object: string;
  readonly kind: DeviationKind;
  readonly reason: string;
}

export type PromotionKind = 'default' | 'index' | 'unique' | 'exclusion' | 'check' | 'foreign-key' | 'trigger';

/** Created when the secondary is promoted, in this order; `undo` takes it away again after failback. */
export interface PromotionItem {
  readonly table: TableName;
  readonly kind: PromotionKind;
  readonly name: string;
  /** One or more statements, to be sent as one simple query. Harmless when run again. */
  readonly sql: string;
  readonly undo: string;
}

/**
 * - `none`: an ordinary column.
 * - `native`: generated on the secondary as on the primary; `computed`: by a translated expression. Both are never written.
 * - `plain`: generated on the primary only, so the WAL does not carry it: the stream reads it from the primary itself.
 */
export type Generation = 'none' | 'native' | 'computed' | 'plain';

/**
 * - `null`: nothing. `computed`: the secondary works it out. `literal`: this text.
 * - `unknown`: the primary rewrote its rows (a volatile default, identity), so they have to be read from there.
 */
export type OlderRows =
  | { readonly kind: 'null' | 'computed' | 'unknown' }
  | { readonly kind: 'literal'; readonly text: string };

export interface PlannedColumn {
  readonly name: string;
  readonly attnum: number;
  /** `format_type` on the primary: what catch-up casts back to. */
  readonly sourceType: string;
  readonly sqlType: string;
  readonly convert: Conversion;
  readonly nullable: boolean;
  readonly default: string | null;
  readonly identity: SequenceModel | null;
  readonly generation: Generation;
  readonly expression: { readonly sql: string; readonly stored: boolean } | null;
  /** Of a `plain` column: the primary's own expression, for the stream to have it worked out there. */
  readonly fill: string | null;
  /** Quoted, null for the type's own. */
  readonly collation: string | null;
  readonly comment: string | null;
  /** What rows hold that are older than the column: decides whether a column that is added needs a reload. */
  readonly olderRows: OlderRows;
}

export interface PlannedConstraint {
  readonly name: string;
  readonly columns: readonly string[];
  /** After `CONSTRAINT name`: `PRIMARY KEY ("a")`, `CHECK (...)`. */
  readonly definition: string;
  readonly optional: boolean;
}

export interface PlannedIndex {
  readonly name: string;
  readonly unique: boolean;
  readonly sql: string;
  readonly optional: boolean;
}

export interface PlannedTable extends QualifiedName {
  readonly columns: readonly PlannedColumn[];
  readonly primaryKey: PlannedConstraint | null;
  readonly uniques: readonly PlannedConstraint[];
  /** Checks that are part of CREATE TABLE. */
  readonly checks: readonly PlannedConstraint[];
  readonly indexes: readonly PlannedIndex[];
  readonly comment: string | null;
  readonly sql: string;
}

export interface PlannedType extends QualifiedName {
  readonly kind: 'enum' | 'domain' | 'composite' | 'range';
  /** In order; empty for anything but an enum. */
  readonly labels: readonly string[];
  /** A domain's rules, which may change while the domain stays; null for anything else. */
  readonly domain: { readonly nullable: boolean; readonly checks: readonly PlannedConstraint[] } | null;
  readonly sql: string;
}

export interface PlannedSequence extends SequenceModel {
  readonly sql: string;
  readonly ownership: string | null;
}

export interface PlannedSchema {
  readonly schemas: readonly { readonly name: string; readonly sql: string }[];
  readonly extensions: readonly { readonly name: string; readonly sql: string }[];
  readonly types: readonly PlannedType[];
  readonly sequences: readonly PlannedSequence[];
  readonly tables: readonly PlannedTable[];
}

export interface TableColumns {
  readonly table: TableName;
  readonly columns: readonly PlannedColumn[];
}

export interface Translation {
  readonly dialect: Dialect;
  /** Those that it was made for. */
  readonly capabilities: TargetCapabilities;
  readonly schema: PlannedSchema;
  /** Everything, in order: what an empty secondary needs. `diffTarget` gives the part that is missing. */
  readonly statements: readonly Statement[];
  readonly promotion: readonly PromotionItem[];
  readonly deviations: readonly Deviation[];
  /** Per table and column: target type, conversion and how generated columns are filled. */
  readonly columns: readonly TableColumns[];
}
