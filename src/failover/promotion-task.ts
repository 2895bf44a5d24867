/** Foreign keys and triggers of the active secondary: made in the background, since they may take as long as they like. */
import type { Log } from '../core/log.js';
import { createPromoted, dropPromoted, type Failure } from '../promotion/constraints.js';
import type { Database, Session } from './database.js';

/** A unique index over a large table takes hours. */
const LIMIT_MS = 24 * 3_600_000;
/** One that waits for a lock makes everybody behind it wait; it is tried again at the next settling. */
const LOCK_TIMEOUT = '5s';

export class PromotionTask {
  readonly #database: Database;
  readonly #stream: string;
  readonly #log: Log;
  readonly #onFailures: (failures: readonly Failure[]) => void;
  #abort: AbortController | null = null;
  #running: Promise<void> = Promise.resolve();

  /** @param database a connection of its own */
  constructor(database: Database, stream: string, log: Log, onFailures: (failures: readonly Failure[]) => void) {
    this.#database = database;
    this.#stream = stream;
    this.#log = log;
    this.#onFailures = onFailures;
  }

  /** Begins, unless it has begun. Resolves when all is done that can be, and never rejects. */
  start(): Promise<void> {
    if (this.#abort !== null) return this.#running;
    const abort = new AbortController();
    this.#abort = abort;
    this.#running = this.#create(abort.signal).catch((error: unknown) => {
      // The next settling begins anew.
      this.#log.warn({ err: error }, 'Foreign keys and triggers were not all created on the secondary');
      if (this.#abort === abort) this.#abort = null;
    });
    return this.#running;
  }

  /** Stops between two objects, then drops what there is. */
  async undo(): Promise<void> {
    await this.stop();
    await this.#database.use(LIMIT_MS, async (session) => {
      await setLockTimeout(session);
      await dropPromoted(session, this.#stream);
    });
  }

  async stop(): Promise<void> {
    this.#abort?.abort(new Error('the secondary is not active any more'));
    this.#abort = null;
    await this.#running;
  }

  async #create(signal: AbortSignal): Promise<void> {
    const failures = await this.#database.use(LIMIT_MS, async (session) => {
      await setLockTimeout(session);
      return createPromoted(session, this.#stream, this.#log, signal);
    });
    this.#onFailures(failures);
  }
}

async function setLockTimeout(session: Session): Promise<void> {
  if (session.dialect === 'postgres') await session.run(`SET lock_timeout = '${LOCK_TIMEOUT}'`);
}
