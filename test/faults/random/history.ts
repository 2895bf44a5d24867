/**
 * What an application did to the databases and what it was told, transaction by transaction: the input of the checker.
 * The form is list-append (Elle, Kingsbury and Alvaro 2020): every transaction appends a number that is its own to some
 * lists, so that a list names its writers in their order, and each answer shows the whole list as it was.
 */

/** `acknowledged`: the application was told that it committed. `aborted`: that it did not. `unknown`: neither. */
export type Outcome = 'acknowledged' | 'aborted' | 'unknown';

export interface Transaction {
  /** Appended to every list of `lists`; its event has this id. Grows with `no` for one writer. */
  readonly element: number;
  readonly writer: number;
  readonly no: number;
  readonly lists: readonly number[];
  /** Also a row in the table without a key. */
  readonly journal: boolean;
  /** Event that it deletes, with its parts: one of its own writer. Null where there was none. */
  deletes: number | null;
  /** Monotonic milliseconds: before its first statement, after the answer to the last. */
  readonly startMs: number;
  endMs: number;
  outcome: Outcome;
  /** The lists as they were after its own append. */
  readonly reads: Map<number, readonly number[]>;
}

export interface EventRow {
  readonly id: number;
  readonly writer: number;
  readonly no: number;
  /** Name of the server that ran the statement; null where it has none (CockroachDB). */
  readonly side: string | null;
  /** The server's clock when it ran, milliseconds since the epoch. */
  readonly atMs: number;
}

/** All rows of one database, read in one snapshot. */
export interface DatabaseState {
  readonly lists: ReadonlyMap<number, readonly number[]>;
  readonly events: ReadonlyMap<number, EventRow>;
  /** Number of rows by event. */
  readonly parts: ReadonlyMap<number, number>;
  /** Number of rows by element. */
  readonly journal: ReadonlyMap<number, number>;
  /** Number of rows by token. */
  readonly tokens: ReadonlyMap<number, number>;
}

/** What recovery kept of rows that lost (G8). */
export interface Conflicts {
  /** Every version of a list that is in the conflicts table. */
  readonly lists: ReadonlyMap<number, readonly (readonly number[])[]>;
  /** Ids of events, and elements of the journal, that a conflict names. */
  readonly events: ReadonlySet<number>;
  readonly journal: ReadonlySet<number>;
  readonly tokens: ReadonlySet<number>;
}
