/**
 * Keeps a follower running: opens the change source where the journal ends, and when history in between is lost says so
 * in the stored state, takes a new position and goes on from there. Only a comparison mends such a gap.
 */
import { CursorTooOldError } from '../catchup/catchup-errors.js';
import { Backoff } from '../core/backoff.js';
import { tableKey } from '../core/ident.js';
import { classify } from '../core/policy.js';
import type { TargetLink } from '../meta/target-link.js';
import { TablesStore } from '../streamer/tables-store.js';
import type { CatchupStore } from './catchup-store.js';
import { abortable, Follower } from './follower.js';
import type { Journal } from './journal.js';
import { rowKeyFrom } from './key-shape.js';
import type { RecoveryOptions } from './options.js';
import { RecoveryEndedError } from './recovery-errors.js';
import { beginPosition, openSource, readKeyShapes, timeOf } from './secondary-source.js';

export interface FollowingOptions {
  readonly options: RecoveryOptions;
  readonly link: TargetLink;
  readonly store: CatchupStore;
  readonly journal: Journal;
  readonly signal: AbortSignal;
  readonly onTrouble: (reason: string | null) => void;
}

/** What refuses to be followed now (rangefeeds off, a privilege) is asked again after so long. */
const REFUSED_RETRY_MS = 15_000;

export class Following {
  readonly #parts: FollowingOptions;
  #follower: Follower | null = null;
  #refused: unknown = null;
  #ended: unknown = null;
  readonly #waiters = new Set<() => void>();

  constructor(parts: FollowingOptions) {
    this.#parts = parts;
  }

  /** Changes cannot be followed at the moment, and trying again did not help. */
  get refused(): boolean {
    return this.#refused !== null;
  }

  /** What ended it for good: another process owns the recovery. */
  get ended(): unknown {
    return this.#ended;
  }

  /** Until the signal is aborted. Does not reject. */
  async run(): Promise<void> {
    const { onTrouble, options, signal } = this.#parts;
    const backoff = new Backoff({
      initialMs: options.backoffMs?.initial ?? 100,
      maxMs: options.backoffMs?.max ?? 10_000,
    });
    while (!signal.aborted) {
      try {
        await this.#once(() => backoff.reset());
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof RecoveryEndedError) {
          this.#ended = error;
          onTrouble(error.message);
          this.#wake();
          return;
        }
        await this.#failed(error, backoff).catch((again: unknown) => onTrouble(messageOf(again)));
      }
    }
  }

  /** Everything that was committed on the secondary before the call is in the journal. */
  async caughtUp(signal: AbortSignal): Promise<void> {
    while (!this.#follower) {
      if (this.#ended) throw this.#ended;
      await abortable(new Promise<void>((resolve) => this.#waiters.add(resolve)), signal);
    }
    await this.#follower.caughtUp(signal);
  }

  async #once(onOpen: () => void): Promise<void> {
    const { journal, link, onTrouble, options, signal, store } = this.#parts;
    const row = await store.claim(link);
    if (!row) {
      await options.clock.sleep(options.pollMs ?? 1000, signal);
      return;
    }
    const tables = await new TablesStore(link, options.stream).list();
    const { dialect, shapes } = await link.with(async (session) => ({
      dialect: session.dialect.name,
      shapes: await readKeyShapes(session, tables),
    }));
    const source = openSource(options, dialect, shapes, row.position, onTrouble);
    const close = () => void source.close().catch(() => undefined);
    signal.addEventListener('abort', close, { once: true });
    try {
      // While the catalog was read: nobody would ever close the source.
      signal.throwIfAborted();
      const follower = new Follower({
        source,
        start: row.position,
        link,
        store,
        journal,
        clock: options.clock,
        timeOf: timeOf(dialect),
        early: dialect === 'cockroach',
        rowKey: (change) => rowKeyFrom(shapes.get(tableKey(change.table)), change.key),
        at: options.at ?? (async () => undefined),
        onResolved: () => {
          if (this.#refused !== null) onTrouble(null);
          this.#refused = null;
          onOpen();
        },
      });
      this.#follower = follower;
      this.#wake();
      await follower.run();
    } finally {
      this.#follower = null;
      signal.removeEventListener('abort', close);
      await source.close();
    }
  }

  async #failed(error: unknown, backoff: Backoff): Promise<void> {
    const { link, onTrouble, options, signal, store } = this.#parts;
    const { action } = classify(error);
    const passing = action === 'retry' || action === 'reread-checkpoint';
    onTrouble(messageOf(error));
    if (!passing) {
      const lost = error instanceof CursorTooOldError;
      if (!lost) this.#refused = error;
      options.log.error({ err: error }, `Changes of the secondary cannot be followed: ${messageOf(error)}`);
      await this.#gap(link, store);
      if (lost) return onTrouble(null);
    }
    await options.clock.sleep(passing ? backoff.next() : REFUSED_RETRY_MS, signal).catch(() => undefined);
  }

  /** What changes from now on is seen again; what changed before, only a comparison finds. */
  async #gap(link: TargetLink, store: CatchupStore): Promise<void> {
    const { options } = this.#parts;
    const tables = await new TablesStore(link, options.stream).list();
    await link.with(async (session) => {
      const position = await beginPosition(options, session, await readKeyShapes(session, tables));
      await store.setGap(session, position);
    });
  }

  #wake(): void {
    for (const resolve of this.#waiters) resolve();
    this.#waiters.clear();
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
