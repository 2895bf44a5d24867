/**
 * What a failback reads: everything that changed on the secondary since a position, alike for a changefeed (CockroachDB)
 * and a replication slot (PostgreSQL). Events come one after the other, and only as fast as they are taken: a consumer
 * that does not ask for the next one stops the socket, so that memory stays bounded (G4).
 *
 *     for await (const event of source) { ...; await storeTouchedKeys(); source.stored(event.position); }
 *
 * Delivery is at least once. A row names a key that was touched; its values are those of the change and may be older
 * than the row is by now, so whoever copies rows reads the touched keys again, in the order of the events.
 */
import type { TableName } from '../core/ident.js';

/** Column name to text. Null is SQL NULL; undefined is a value that the change does not carry (unchanged TOAST). */
export type RowValues = Readonly<Record<string, string | null | undefined>>;

/**
 * - values: the row as it was after the change, in the text that PostgreSQL reads for the column's type;
 * - null: the row was deleted;
 * - 'touched': the row changed, and its values were dropped because too much waited for a resolved mark (G4).
 */
export type After = RowValues | null | 'touched';

export interface ChangedRow {
  readonly table: TableName;
  /**
   * The key's columns in key order. A table without a key has the secondary's hidden row id here (CockroachDB), or the
   * whole old row (PostgreSQL, REPLICA IDENTITY FULL): such a table is compared as a whole when any row was touched.
   */
  readonly key: RowValues;
  readonly after: After;
  /** Position of the change, comparable with `comparePositions`. */
  readonly at: string;
}

export interface ChangesEvent {
  readonly kind: 'changes';
  /** At most 1,000. Several changes of one key come in their order. */
  readonly rows: readonly ChangedRow[];
  /**
   * The transaction that changed them, 32 bits: its commit may be on the way before queries see it (PostgreSQL). Null
   * where what is told can be read.
   */
  readonly xid: number | null;
}

/** Everything before `position` has been delivered. Only a position that came in this event may be stored. */
export interface ResolvedEvent {
  readonly kind: 'resolved';
  readonly position: string;
  /** The secondary's clock at `position`, milliseconds since the Unix epoch; what catch-up lag is reckoned from. */
  readonly atMs: number;
}

/**
 * A table's shape changed, or it was emptied in a way that names no rows. To be made durable before a later position is.
 * With `compare` the table's changes are not all in this stream: compare it as a whole, from now on.
 */
export interface SchemaChangedEvent {
  readonly kind: 'schema-changed';
  readonly table: TableName;
  readonly change: 'columns' | 'truncated';
  readonly compare: boolean;
  /** Column names after the change; empty for a truncation. */
  readonly columns: readonly string[];
}

export type CatchUpEvent = ChangesEvent | ResolvedEvent | SchemaChangedEvent;

export interface ChangeSource extends AsyncIterable<CatchUpEvent>, AsyncDisposable {
  /**
   * The event after the last one; null when the source was closed. Waits without a limit of time: losses of the
   * connection are repaired inside. Rejects with a typed error when going on would lose changes: CursorTooOldError (only
   * a full comparison helps), SchemaChangedError, RangefeedsOffError, ConfigurationError, StreamHaltError.
   */
  next(): Promise<CatchUpEvent | null>;
  /** `position` is durable with everything before it: a slot may let go of it. Never moves back. */
  stored(position: string): void;
  /** Where the secondary is now: when `resolved` reaches it, everything committed before the call has been delivered. */
  now(): Promise<string>;
  /** Negative when `a` is before `b`, positive when after, 0 when equal. */
  comparePositions(a: string, b: string): number;
  /** Ends the connection; what was not taken yet is dropped, and comes again from the stored position. */
  close(): Promise<void>;
}

/** Rows of one `changes` event at most. */
export const MAX_EVENT_ROWS = 1000;
