/**
 * Decoded changes, as positional text values. The text is PostgreSQL's output function's, under the session settings
 * that `source/session-settings.ts` fixes, so that equal values have equal text.
 */
import type { Lsn } from './lsn.js';

/** A column's text; null is SQL NULL; undefined is an unchanged TOAST value that the WAL does not carry. */
export type Value = string | null | undefined;

/** One value per column of the relation, in the relation's column order. */
export type Row = readonly Value[];

export interface RelationColumn {
  readonly name: string;
  readonly typeOid: number;
  readonly typmod: number;
  /** Part of the replica identity. Under REPLICA IDENTITY FULL: every column. */
  readonly isKey: boolean;
}

/** d: primary key, n: nothing, f: full row, i: a unique index. */
export type ReplicaIdentity = 'd' | 'n' | 'f' | 'i';

/** One version of a table's shape as the WAL announced it. Immutable: another version is another object. */
export interface Relation {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly replicaIdentity: ReplicaIdentity;
  readonly columns: readonly RelationColumn[];
}

export interface InsertChange {
  readonly kind: 'insert';
  readonly relation: Relation;
  readonly row: Row;
}

export interface UpdateChange {
  readonly kind: 'update';
  readonly relation: Relation;
  /** The replica identity's old values (`key`: only key columns are meaningful), or null when it did not change. */
  readonly old: Row | null;
  readonly oldIs: 'key' | 'full' | null;
  readonly row: Row;
}

export interface DeleteChange {
  readonly kind: 'delete';
  readonly relation: Relation;
  readonly old: Row;
  readonly oldIs: 'key' | 'full';
}

export interface TruncateChange {
  readonly kind: 'truncate';
  readonly relations: readonly Relation[];
  readonly cascade: boolean;
  readonly restartIdentity: boolean;
}

export type RowChange = InsertChange | UpdateChange | DeleteChange;
export type Change = RowChange | TruncateChange;

/** Where and when a source transaction committed. */
export interface CommitInfo {
  /** Start of the commit record: identifies the transaction, and orders it. */
  readonly commitLsn: Lsn;
  /** End of the commit record: the position to confirm. Never add 1 to it: the next commit may start exactly there. */
  readonly endLsn: Lsn;
  /** Milliseconds since the Unix epoch, on the source's clock. */
  readonly commitAtMs: number;
  /** 32-bit transaction id, as pgoutput carries it. */
  readonly xid: number;
}
