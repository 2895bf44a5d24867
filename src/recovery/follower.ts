/**
 * Follows the secondary's changes all through a failover and stores which keys they touched. A resolved position is
 * stored in the transaction that stores the last of its keys, before the source hears of it: a restart loses nothing.
 * Positions without changes are stored seldom, because storing is itself a write to the secondary that the source sees.
 */
import type { ChangedRow, ChangeSource, SchemaChangedEvent } from '../catchup/change-source.js';
import type { Clock } from '../core/clock.js';
import type { TableName } from '../core/ident.js';
import type { TargetLink } from '../meta/target-link.js';
import { parseSnapshot } from '../source/pg-snapshot.js';
import type { CatchupStore } from './catchup-store.js';
import { inTransaction } from './connections.js';
import { type Journal, type TableMark, type TouchedKey, touchedId } from './journal.js';
import type { CrashPoint } from './options.js';

/** Keys that wait in memory for their resolved mark; more are stored before it, without the position. */
const MOST_WAITING = 20_000;
const IDLE_STORE_MS = 10_000;
/** Keys of a source whose marks are seconds behind are stored so often, so that they are copied before the mark comes. */
const EARLY_STORE_MS = 500;
const VISIBLE_POLL_MS = 2;

export interface FollowerOptions {
  readonly source: ChangeSource;
  readonly start: string;
  readonly link: TargetLink;
  readonly store: CatchupStore;
  readonly journal: Journal;
  readonly clock: Clock;
  /** The journal's name of a row; null for a row of a table that is compared as a whole. */
  readonly rowKey: (row: ChangedRow) => string | null;
  /** Milliseconds, where a position tells them; null: the resolved mark behind it does. */
  readonly timeOf: (at: string) => number | null;
  /** Changes come long before the mark behind them. */
  readonly early: boolean;
  readonly at: (point: CrashPoint) => Promise<void>;
  /** The source works. */
  readonly onResolved: () => void;
}

export class Follower {
  readonly #options: FollowerOptions;
  #waiting = new Map<string, { key: TouchedKey; timed: boolean }>();
  /** Transactions of the keys that wait, as far as queries may not see them yet. */
  #xids = new Set<number>();
  /** The newest resolved mark that is not stored yet; what arrives while one is stored goes together with the next. */
  #newest: { readonly position: string; readonly atMs: number } | null = null;
  #storing: Promise<void> | null = null;
  #failed: { readonly error: unknown } | null = null;
  readonly #waiters = new Set<{ goal: string; resolve: () => void; reject: (error: unknown) => void }>();
  #ended: { readonly error: unknown } | null = null;
  #storedAtMs: number;
  #flushedAtMs = Number.NEGATIVE_INFINITY;
  /** Keys were stored without the position behind them. */
  #ahead = false;
  /** Everything before it is in the journal. */
  position: string;
  /** The secondary's clock there; null before the first resolved mark. */
  positionMs: number | null = null;

  constructor(options: FollowerOptions) {
    this.#options = options;
    this.position = options.start;
    this.#storedAtMs = options.clock.monotonic();
  }

  /** Until the source is closed (resolves) or cannot go on (rejects with its typed error). */
  async run(): Promise<void> {
    try {
      for await (const event of this.#options.source) {
        if (event.kind === 'changes') {
          for (const row of event.rows) this.#touch(row);
          if (event.xid !== null) this.#xids.add(event.xid);
          this.#storeEarly();
        } else if (event.kind === 'schema-changed') this.#mark(event);
        else this.#resolved(event.position, event.atMs);
        if (this.#waiting.size >= MOST_WAITING) {
          await this.#storing;
          await this.#flush(null);
        }
        if (this.#failed) throw this.#failed.error;
      }
      await this.#storing;
      if (this.#failed) throw this.#failed.error;
      this.#end(new Error('The change source was closed'));
    } catch (error) {
      this.#end(error);
      throw error;
    }
  }

  /** Resolves when everything that was committed on the secondary before the call is in the journal. */
  async caughtUp(signal: AbortSignal): Promise<void> {
    const goal = await abortable(this.#options.source.now(), signal);
    await this.#reached(goal, signal);
  }

  #reached(goal: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#options.source.comparePositions(this.position, goal) >= 0) return Promise.resolve();
    if (this.#ended) return Promise.reject(this.#ended.error);
    return new Promise((resolve, reject) => {
      const waiter = { goal, resolve: () => settle(resolve), reject: (error: unknown) => settle(() => reject(error)) };
      const onAbort = () => waiter.reject(signal.reason);
      const settle = (then: () => void) => {
        signal.removeEventListener('abort', onAbort);
        this.#waiters.delete(waiter);
        then();
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiters.add(waiter);
    });
  }

  #touch(row: ChangedRow): void {
    const rowKey = this.#options.rowKey(row) ?? ('*changed' satisfies TableMark);
    const atMs = this.#options.timeOf(row.at);
    const key: TouchedKey = { table: row.table, rowKey, at: row.at, atMs: atMs ?? 0 };
    this.#waiting.set(touchedId(key), { key, timed: atMs !== null });
  }

  #mark({ change, table }: SchemaChangedEvent): void {
    this.#markTable(table, change === 'truncated' ? '*truncated' : '*columns');
  }

  #markTable(table: TableName, rowKey: TableMark): void {
    const key: TouchedKey = { table, rowKey, at: this.position, atMs: 0 };
    this.#waiting.set(touchedId(key), { key, timed: false });
  }

  #resolved(position: string, atMs: number): void {
    // On PostgreSQL every transaction has a mark of its own, with its commit time; a changefeed's marks are a second apart.
    for (const entry of this.#waiting.values()) {
      if (entry.timed) continue;
      entry.key = { ...entry.key, atMs };
      entry.timed = true;
    }
    this.#newest = { position, atMs };
    // Storing one transaction after the other would be slower than an application that commits on many connections.
    this.#storeBeside(async () => undefined);
  }

  /** Without a position: a key that is known too early is a key that was touched. */
  #storeEarly(): void {
    const { clock, early } = this.#options;
    if (!early || clock.monotonic() - this.#flushedAtMs < EARLY_STORE_MS) return;
    this.#storeBeside(() => this.#flush(null));
  }

  #storeBeside(first: () => Promise<void>): void {
    this.#storing ??= first()
      .then(() => this.#storeMarks())
      .catch((error: unknown) => {
        this.#failed = { error };
        void this.#options.source.close().catch(() => undefined);
      })
      .finally(() => {
        this.#storing = null;
        // One that came when the last had just been stored.
        if (this.#newest && !this.#failed) this.#storeBeside(async () => undefined);
      });
  }

  async #storeMarks(): Promise<void> {
    for (let mark = this.#newest; mark !== null; mark = this.#newest) {
      this.#newest = null;
      await this.#store(mark.position, mark.atMs);
    }
  }

  async #store(position: string, atMs: number): Promise<void> {
    const { clock, source } = this.#options;
    const idle = this.#waiting.size === 0 && !this.#ahead && clock.monotonic() - this.#storedAtMs < IDLE_STORE_MS;
    if (!idle) {
      await this.#flush(position);
      await this.#options.at('journal-stored');
      source.stored(position);
      this.#storedAtMs = clock.monotonic();
    }
    this.position = position;
    this.positionMs = atMs;
    this.#options.onResolved();
    for (const waiter of this.#waiters) if (source.comparePositions(position, waiter.goal) >= 0) waiter.resolve();
  }

  async #flush(position: string | null): Promise<void> {
    const { clock, early, journal, link, store } = this.#options;
    this.#flushedAtMs = clock.monotonic();
    const [taken, xids] = [this.#waiting, this.#xids];
    this.#waiting = new Map();
    this.#xids = new Set();
    this.#ahead = position === null;
    const keys = [...taken.values()].map(({ key, timed }) => (timed ? key : { ...key, atMs: clock.now() }));
    await this.#visible(xids);
    await inTransaction(link, async (session) => {
      // First: whoever settles rows holds this lock before it writes to the journal, and waits for nothing more.
      await store.lock(session);
      for (let i = 0; i < keys.length; i += 2000) await session.run(journal.touched(keys.slice(i, i + 2000), early));
      if (position !== null) await store.setPosition(session, position);
    });
  }

  /**
   * A commit is in the WAL, and so known here, a moment before queries see it. Whoever finds a key in the journal reads
   * its row, and would read that of before, or none (docs/decisions/0002-watermarks-and-visibility.md).
   */
  async #visible(xids: ReadonlySet<number>): Promise<void> {
    if (xids.size === 0) return;
    const { clock, link } = this.#options;
    const seen = async () => {
      const { rows } = await link.run('SELECT pg_current_snapshot()::text AS snapshot');
      const snapshot = parseSnapshot(rows[0]?.snapshot ?? '');
      return [...xids].every((xid) => snapshot.isVisible(xid));
    };
    while (!(await seen())) await clock.sleep(VISIBLE_POLL_MS);
  }

  #end(error: unknown): void {
    this.#ended = { error };
    for (const waiter of [...this.#waiters]) waiter.reject(error);
  }
}

/** The promise, or the signal's reason as soon as it is aborted. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
