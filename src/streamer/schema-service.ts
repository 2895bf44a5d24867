/** What the streamer wants of the schema side: make the secondary's tables fit, and say how rows get there. */
import type { ClientBase } from 'pg';
import type { Relation } from '../core/change.js';
import type { TableName } from '../core/ident.js';
import type { Lsn } from '../core/lsn.js';
import type { TableEntry } from '../pipeline/registry.js';
import type { ComparedTable } from '../reconcile/compared-table.js';
import type { CatalogModel } from '../schema/model.js';
import type { LoadTable } from '../snapshot/load-table.js';

export interface SchemaReport {
  readonly tables: readonly TableName[];
  /** Names of the tables that were created on the secondary. */
  readonly created: readonly string[];
  /** What is not the same on the secondary, one sentence each. */
  readonly deviations: readonly string[];
  /** The primary's catalog of these tables. */
  readonly catalog: CatalogModel;
}

/** What has become of a table that was made to fit. */
export interface Fitted {
  /** The table must be loaded again, because its rows changed without the WAL saying so. */
  readonly reload: boolean;
  /** The change cannot be followed, and why; null: it was. */
  readonly pause: string | null;
}

export interface SchemaService {
  /** Creates on the secondary what is missing for these tables. Idempotent. Throws ConfigurationError with all mistakes at once. */
  ensure(tables: readonly TableName[] | '*'): Promise<SchemaReport>;
  /** Makes the secondary's table fit a relation version and binds it. */
  prepare(entry: TableEntry, relation: Relation): Promise<Fitted>;
  /**
   * The secondary refused rows of the table: perhaps a label, a column or a nullability is newer on the primary. Makes it
   * fit again; null when nothing can have changed.
   */
  refresh(entry: TableEntry): Promise<Fitted | null>;
  /** Labels of the table's enums mean something else than when it was bound: a refresh will help. */
  relabeled(entry: TableEntry): Promise<boolean>;
  /** Labels of enums that were renamed on the primary are followed when the stream has come so far, whether or not a row needs it. */
  watchLabels(client: ClientBase, at: { applied: Lsn; durable: Lsn; current: Lsn }): Promise<void>;
  /** How a table is read on the primary and written on the secondary, for loads and repairs. */
  describe(entry: TableEntry): Promise<LoadTable>;
  /** How a table is compared with the primary. Not `fresh`: as it was described last, unless the stream knows better. */
  compared(entry: TableEntry, fresh?: boolean): Promise<ComparedTable>;
}
