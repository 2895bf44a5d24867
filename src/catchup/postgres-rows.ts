/**
 * Decoded changes of a replication slot as events of a change source, in WAL order. Rows of a large transaction go out
 * in portions before its commit: they name keys that were touched, which is true at any time; the position moves at the
 * commit only, so that a restart gives the whole transaction again.
 */
import type { Change, Relation, Row } from '../core/change.js';
import { formatLsn, type Lsn } from '../core/lsn.js';
import { type CatchUpEvent, type ChangedRow, MAX_EVENT_ROWS, type RowValues } from './change-source.js';

/** The part of the decoder's messages that is looked at; anything else is passed over. */
export type SlotMessage =
  | { readonly kind: 'begin'; readonly commitLsn: Lsn; readonly commitAtMs: number; readonly xid: number }
  | { readonly kind: 'commit'; readonly commitLsn: Lsn; readonly endLsn: Lsn; readonly commitAtMs: number }
  | { readonly kind: 'relation'; readonly relation: Relation }
  | { readonly kind: 'message' | 'ignored' }
  | Change;

/** Rows of one portion hold at most about so many bytes. */
const PORTION_BYTES = 1 << 20;

export class PostgresRows {
  readonly #emit: (event: CatchUpEvent, bytes: number) => void;
  /** Column names by the table's oid, for changes of shape: announcements repeat after every reconnect. */
  readonly #columns = new Map<number, string>();
  #rows: ChangedRow[] = [];
  #bytes = 0;
  #commitLsn: Lsn = 0n;
  #xid = 0;
  #inTransaction = false;
  #skipping = false;
  /** Everything before it has been handed out. */
  delivered: Lsn;

  constructor(start: Lsn, emit: (event: CatchUpEvent, bytes: number) => void) {
    this.delivered = start;
    this.#emit = emit;
  }

  /** A new connection begins with whole transactions. */
  restart(): void {
    this.#rows = [];
    this.#bytes = 0;
    this.#inTransaction = false;
    this.#skipping = false;
  }

  message(message: SlotMessage, bytes: number): void {
    switch (message.kind) {
      case 'begin':
        this.#inTransaction = true;
        this.#commitLsn = message.commitLsn;
        this.#xid = message.xid;
        // The commit record starts before `delivered`: it was handed out before the connection was lost.
        this.#skipping = message.commitLsn < this.delivered;
        return;
      case 'commit':
        this.#inTransaction = false;
        this.#flush();
        this.#resolve(message.endLsn, message.commitAtMs);
        return;
      case 'relation':
        this.#relation(message.relation);
        return;
      case 'truncate':
        if (this.#skipping) return;
        this.#flush();
        for (const { schema, name } of message.relations)
          this.#emit(
            { kind: 'schema-changed', table: { schema, name }, change: 'truncated', compare: true, columns: [] },
            1000,
          );
        return;
      case 'message':
      case 'ignored':
        return;
      default:
        if (!this.#skipping) this.#change(message, bytes);
    }
  }

  /** The server has sent everything before `lsn`. Says nothing while a transaction is under way. */
  keepalive(lsn: Lsn, serverNowMs: number): void {
    if (!this.#inTransaction) this.#resolve(lsn, serverNowMs);
  }

  #change(change: Exclude<Change, { kind: 'truncate' }>, bytes: number): void {
    const { relation } = change;
    const table = { schema: relation.schema, name: relation.name };
    const at = formatLsn(this.#commitLsn);
    if (change.kind === 'delete') this.#rows.push({ table, key: keyOf(relation, change.old), after: null, at });
    else {
      const key = keyOf(relation, change.row);
      const old = change.kind === 'update' && change.old ? keyOf(relation, change.old) : null;
      if (old && !sameValues(old, key)) this.#rows.push({ table, key: old, after: null, at });
      this.#rows.push({ table, key, after: valuesOf(relation, change.row), at });
    }
    this.#bytes += bytes + 400;
    if (this.#rows.length >= MAX_EVENT_ROWS - 1 || this.#bytes >= PORTION_BYTES) this.#flush();
  }

  #relation(relation: Relation): void {
    const columns = relation.columns.map((column) => column.name);
    const before = this.#columns.get(relation.oid);
    const now = columns.join('\u0000');
    this.#columns.set(relation.oid, now);
    if (before === undefined || before === now) return;
    this.#flush();
    const table = { schema: relation.schema, name: relation.name };
    this.#emit({ kind: 'schema-changed', table, change: 'columns', compare: false, columns }, 1000);
  }

  #flush(): void {
    if (this.#rows.length === 0) return;
    this.#emit({ kind: 'changes', rows: this.#rows, xid: this.#xid }, this.#bytes);
    this.#rows = [];
    this.#bytes = 0;
  }

  #resolve(lsn: Lsn, atMs: number): void {
    if (lsn <= this.delivered) return;
    this.delivered = lsn;
    this.#emit({ kind: 'resolved', position: formatLsn(lsn), atMs }, 100);
  }
}

/** The replica identity's columns: the primary key, unless the table says otherwise. */
function keyOf(relation: Relation, row: Row): RowValues {
  const key: Record<string, string | null | undefined> = {};
  relation.columns.forEach((column, i) => {
    if (column.isKey) key[column.name] = row[i];
  });
  return key;
}

function valuesOf(relation: Relation, row: Row): RowValues {
  return Object.fromEntries(relation.columns.map((column, i) => [column.name, row[i]]));
}

function sameValues(a: RowValues, b: RowValues): boolean {
  return Object.keys(a).every((name) => a[name] === b[name]);
}
