/**
 * The board on which readers of the primary and the apply loop meet. A reader writes a lower watermark into the WAL,
 * reads, writes an upper one, and waits; when the apply loop comes by the upper one it hands the rows over, in the
 * stream's order. Watermarks of other processes, or from before a restart, are nobody's and are passed over.
 */
import type { ClientBase } from 'pg';
import { crashPoint } from '../core/crash-points.js';
import { type TransactionPart, WATERMARK_PREFIX, type WatermarkEntry } from '../pipeline/entries.js';
import type { Step } from '../pipeline/fold.js';
import { RecentCommits } from './recent-commits.js';
import { ChunkWindow } from './window.js';

/** Runs inside the apply loop at the upper watermark; nothing else is applied meanwhile. */
export type AtWatermark<T> = (window: ChunkWindow, commits: RecentCommits) => Promise<T>;

interface Round {
  readonly tableOid: number;
  window: ChunkWindow | null;
  high: ((window: ChunkWindow) => Promise<void>) | null;
  readonly fail: (error: unknown) => void;
}

export class WatermarkBoard {
  readonly commits = new RecentCommits();
  /** Transactions that changed a watched table (by oid) since the watch began: tables without a key have no keys to compare. */
  readonly watched = new Map<number, Set<number>>();
  readonly #stream: string;
  readonly #rounds = new Map<string, Round>();
  #serial = 0;
  #closed: Error | null = null;
  readonly #nonce: string;

  /** `nonce` makes the ids of this process its own. */
  constructor(stream: string, nonce: string) {
    this.#stream = stream;
    this.#nonce = nonce;
  }

  /**
   * One round: lower watermark, `read`, upper watermark, `apply` inside the loop. Rejects when any of them does, or when
   * the board is closed.
   * @param tableOid the table whose changes spoil the chunk; 0 for none
   */
  async round<R, T>(
    client: ClientBase,
    tableOid: number,
    read: () => Promise<R>,
    apply: (rows: R, ...at: Parameters<AtWatermark<T>>) => Promise<T>,
  ): Promise<T> {
    if (this.#closed) throw this.#closed;
    this.#serial += 1;
    const id = `${this.#nonce}-${this.#serial}`;
    let rows: { value: R } | null = null;
    const done = new Promise<T>((resolve, reject) => {
      this.#rounds.set(id, {
        tableOid,
        window: null,
        high: async (window) => resolve(await apply((rows as { value: R }).value, window, this.commits)),
        fail: reject,
      });
    });
    // The promise is awaited below; if reading fails first, nobody waits for it.
    done.catch(() => undefined);
    try {
      await emitWatermark(client, { s: this.#stream, id, k: 'low' });
      crashPoint('chunk:low');
      rows = { value: await read() };
      crashPoint('chunk:read');
      await emitWatermark(client, { s: this.#stream, id, k: 'high' });
      crashPoint('chunk:high');
      return await done;
    } finally {
      this.#rounds.delete(id);
    }
  }

  /** Called by the apply loop for every watermark in the stream. */
  async arrived(entry: WatermarkEntry): Promise<void> {
    const mark = parseWatermark(entry.content);
    const round = mark && mark.s === this.#stream ? this.#rounds.get(mark.id) : undefined;
    if (!mark || !round) return;
    if (mark.k === 'low') round.window = new ChunkWindow(round.tableOid, this.commits.position);
    else if (round.window) {
      try {
        await round.high?.(round.window);
      } catch (error) {
        round.fail(error);
        throw error;
      }
    }
  }

  /** Called by the apply loop with what it has applied. */
  note(parts: readonly TransactionPart[], steps: readonly Step[]): void {
    if (this.watched.size > 0) for (const part of parts) this.#noteWatched(part);
    for (const round of this.#rounds.values()) round.window?.note(steps);
  }

  #noteWatched(part: TransactionPart): void {
    for (const change of part.changes) {
      const relations = change.kind === 'truncate' ? change.relations : [change.relation];
      for (const relation of relations) this.watched.get(relation.oid)?.add(part.xid);
    }
  }

  /** The stream has ended: every round, also a later one, fails with `reason`. */
  close(reason: Error): void {
    this.#closed ??= reason;
    for (const round of this.#rounds.values()) round.fail(reason);
    this.#rounds.clear();
  }
}

interface Watermark {
  readonly s: string;
  readonly id: string;
  readonly k: 'low' | 'high';
}

function parseWatermark(content: string): Watermark | null {
  try {
    const value: unknown = JSON.parse(content);
    if (typeof value !== 'object' || value === null) return null;
    const { s, id, k } = value as Partial<Watermark>;
    return typeof s === 'string' && typeof id === 'string' && (k === 'low' || k === 'high') ? { s, id, k } : null;
  } catch {
    return null;
  }
}

/**
 * Writes a non-transactional message and makes it reach the walsender at once: a walsender sends flushed WAL only, and
 * nothing flushes a message but the commit of a transaction that has an id (before PostgreSQL 17 there is no flush flag).
 */
async function emitWatermark(client: ClientBase, mark: Watermark): Promise<void> {
  await client.query(`SELECT pg_logical_emit_message(false, $1, $2), pg_current_xact_id()`, [
    WATERMARK_PREFIX,
    JSON.stringify(mark),
  ]);
}
