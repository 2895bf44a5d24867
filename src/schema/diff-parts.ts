/** What a comparison of the secondary with the translation yields. */
import type { TableName } from '../core/ident.js';
import type { Statement } from './translation.js';

export type ConflictKind =
  | 'not-a-table'
  | 'column-type'
  | 'generated-column'
  | 'extra-column'
  | 'primary-key'
  | 'unique'
  | 'check'
  | 'exclusion'
  | 'foreign-key'
  | 'trigger';

/** Something on the secondary that would make rows of the primary fail there, and that is not ours to remove. */
export interface Conflict {
  readonly table: TableName;
  readonly kind: ConflictKind;
  /** Unquoted, for people: `shop.orders.note`. */
  readonly object: string;
  readonly reason: string;
  /** A statement for the secondary that mends it, where one statement does. */
  readonly remedy: string | null;
}

export interface TargetDiff {
  /** In order, outside a transaction; each harmless when run again. */
  readonly statements: readonly Statement[];
  /** NOT NULL of columns that may hold NULL until the table has been loaded: run when that is done. */
  readonly afterLoad: readonly Statement[];
  readonly conflicts: readonly Conflict[];
  /** Tables that get a column whose values in older rows only the primary knows. */
  readonly reload: readonly TableName[];
}

/** What the parts of the comparison add to. */
export interface DiffParts {
  readonly statements: Statement[];
  readonly afterLoad: Statement[];
  readonly conflicts: Conflict[];
  readonly reload: TableName[];
}
