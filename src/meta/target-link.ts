/** A second connection to the secondary for metadata: one idempotent statement at a time, reconnecting by itself. */
import type { QueryResult } from 'pg';
import type { SqlStatement, TargetSession } from '../apply/target-session.js';
import type { Backoff } from '../core/backoff.js';
import type { Clock } from '../core/clock.js';
import { classify, spoilsSession } from '../core/policy.js';

export interface TargetLinkOptions {
  readonly connect: () => Promise<TargetSession>;
  readonly clock: Clock;
  readonly backoff: Backoff;
  readonly signal: AbortSignal;
  /** Told why a statement is asked again, each time; waits of minutes must not be silent. */
  readonly onRetry?: (error: unknown, waitMs: number) => void;
}

/** What the users of a link need of it. */
export interface Link {
  /** Runs a statement that may be repeated. Retries while the secondary is out of reach, until the link is closed. */
  run(text: string, values?: readonly (string | null)[]): Promise<QueryResult<Record<string, string | null>>>;
  /** The same for several statements; calls are served one after the other. */
  with<T>(work: (session: TargetSession) => Promise<T>): Promise<T>;
}

/** A connection that work on a link uses as well. */
export interface OtherConnection {
  readonly broken: Error | null;
}

export class TargetLink implements Link {
  readonly #options: TargetLinkOptions;
  #session: TargetSession | null = null;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(options: TargetLinkOptions) {
    this.#options = options;
  }

  run(text: string, values: readonly (string | null)[] = []): Promise<QueryResult<Record<string, string | null>>> {
    return this.with((session) => session.run({ text, values } satisfies SqlStatement));
  }

  with<T>(work: (session: TargetSession) => Promise<T>): Promise<T> {
    return this.#take(work, null);
  }

  /**
   * The same link for work that uses another connection too: what fails when that one is lost is not tried again here,
   * where it would fail without end.
   */
  beside(other: OtherConnection): Link {
    const take = <T>(work: (session: TargetSession) => Promise<T>) => this.#take(work, other);
    return {
      run: (text, values = []) => take((session) => session.run({ text, values })),
      with: take,
    };
  }

  async close(): Promise<void> {
    const session = this.#session;
    this.#session = null;
    await session?.close();
  }

  #take<T>(work: (session: TargetSession) => Promise<T>, other: OtherConnection | null): Promise<T> {
    const turn = this.#queue.then(() => this.#attempt(work, other));
    this.#queue = turn.catch(() => undefined);
    return turn;
  }

  async #attempt<T>(work: (session: TargetSession) => Promise<T>, other: OtherConnection | null): Promise<T> {
    const { backoff, clock, connect, onRetry, signal } = this.#options;
    for (;;) {
      signal.throwIfAborted();
      try {
        if (this.#session?.broken) this.#session = null;
        this.#session ??= await connect();
        const session = this.#session;
        const result = await work(session);
        backoff.reset();
        session.done();
        return result;
      } catch (error) {
        const verdict = classify(error);
        if (verdict.action !== 'retry' && verdict.action !== 'reread-checkpoint') throw error;
        if (spoilsSession(verdict) || this.#session?.broken) {
          this.#session?.destroy();
          this.#session = null;
        }
        if (other?.broken) throw error;
        const waitMs = backoff.next();
        onRetry?.(error, waitMs);
        await clock.sleep(waitMs, signal);
      }
    }
  }
}
