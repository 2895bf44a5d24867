/**
 * Decoded messages to entries: whole transactions, large ones in parts as their rows arrive (G4), watermarks at their
 * WAL position. Drops what the checkpoint already has (a resumed slot repeats) and the catch-up's echo.
 */
import type { Change, CommitInfo, Relation } from '../core/change.js';
import { DecodeError } from '../core/errors.js';
import type { Lsn } from '../core/lsn.js';
import type { PgOutputMessage } from '../source/pgoutput.js';
import { ECHO_PREFIX, type Entry, WATERMARK_PREFIX } from './entries.js';

export interface AssembleOptions {
  /** Initial value of `durable`. */
  readonly durable: Lsn;
  /** A transaction beyond either limit is handed on in parts. */
  readonly partRows: number;
  readonly partBytes: number;
  readonly emit: (entry: Entry) => void;
  readonly onEcho: () => void;
}

interface Open {
  readonly xid: number;
  readonly commitLsn: Lsn;
  readonly commitAtMs: number;
  first: boolean;
  echo: boolean;
  empty: boolean;
  changes: Change[];
  bytes: number;
}

export class Assembler {
  readonly #options: AssembleOptions;
  #open: Open | null = null;
  /**
   * Transactions whose commit record starts before this are on the secondary already. It may move once, when a new
   * leader learns how far the former one came.
   */
  durable: Lsn;

  constructor(options: AssembleOptions) {
    this.#options = options;
    this.durable = options.durable;
  }

  /** True between BEGIN and COMMIT: a keepalive's position then says nothing about this transaction. */
  get inTransaction(): boolean {
    return this.#open !== null;
  }

  message(message: PgOutputMessage, bytes: number): void {
    switch (message.kind) {
      case 'begin':
        if (this.#open) throw new DecodeError('A transaction begins inside another.');
        this.#open = {
          xid: message.xid,
          commitLsn: message.commitLsn,
          commitAtMs: message.commitAtMs,
          first: true,
          echo: false,
          empty: true,
          changes: [],
          bytes,
        };
        return;
      case 'commit':
        this.#commit(message);
        return;
      case 'message':
        this.#logicalMessage(message, bytes);
        return;
      case 'relation':
      case 'ignored':
        return;
      default:
        this.#change(message, bytes);
    }
  }

  #logicalMessage(message: Extract<PgOutputMessage, { kind: 'message' }>, bytes: number): void {
    if (message.transactional) {
      const open = this.#opened('message');
      if (message.prefix === ECHO_PREFIX && open.empty) open.echo = true;
    } else if (message.prefix === WATERMARK_PREFIX) {
      this.#options.emit({ kind: 'watermark', lsn: message.lsn, content: message.content, bytes });
    }
  }

  #change(change: Change, bytes: number): void {
    const open = this.#opened(change.kind);
    open.empty = false;
    if (open.echo || this.#isRepeated(open)) return;
    open.changes.push(change);
    open.bytes += bytes;
    if (open.changes.length >= this.#options.partRows || open.bytes >= this.#options.partBytes) this.#flush(open, null);
  }

  #commit(message: Extract<PgOutputMessage, { kind: 'commit' }>): void {
    const open = this.#opened('commit');
    if (message.commitLsn !== open.commitLsn)
      throw new DecodeError('A commit does not belong to the open transaction.');
    this.#open = null;
    if (open.echo && !this.#isRepeated(open)) this.#options.onEcho();
    if (this.#isRepeated(open)) return;
    const { commitLsn, endLsn, commitAtMs } = message;
    this.#flush(open, { commitLsn, endLsn, commitAtMs, xid: open.xid });
  }

  #flush(open: Open, commit: CommitInfo | null): void {
    const { xid, commitLsn, commitAtMs, first, changes, bytes, echo } = open;
    open.first = false;
    open.changes = [];
    open.bytes = 0;
    this.#options.emit({ kind: 'transaction', xid, commitLsn, commitAtMs, first, commit, changes, bytes, echo });
  }

  #isRepeated(open: Open): boolean {
    return open.commitLsn < this.durable;
  }

  #opened(what: string): Open {
    if (!this.#open) throw new DecodeError(`A ${what} came outside a transaction.`);
    return this.#open;
  }
}

/** What is known of them: nobody adds to changes that have left the assembler. */
const known = new WeakMap<readonly Change[], ReadonlySet<Relation>>();

/** The relations that a part's changes name, each version once. */
export function relationsOf(changes: readonly Change[]): ReadonlySet<Relation> {
  const before = known.get(changes);
  if (before) return before;
  const relations = new Set<Relation>();
  let last: Relation | null = null;
  for (const change of changes) {
    if (change.kind === 'truncate') for (const relation of change.relations) relations.add(relation);
    else if (change.relation !== last) {
      last = change.relation;
      relations.add(last);
    }
  }
  known.set(changes, relations);
  return relations;
}
