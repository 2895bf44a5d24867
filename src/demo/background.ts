/** Tasks that run beside a main line. The first that fails, or the abort of a signal, ends what the main line waits for. */
import { setTimeout as sleep } from 'node:timers/promises';

export interface BackgroundTask {
  /** Tells the task to end, and waits for it. */
  stop(): Promise<void>;
}

export class Background {
  readonly #tasks = new Set<BackgroundTask>();
  readonly #failed: Promise<never>;
  #fail: (reason: unknown) => void = () => undefined;

  constructor(signal: AbortSignal) {
    this.#failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    // Between two waits of the main line nobody listens.
    this.#failed.catch(() => undefined);
    if (signal.aborted) this.#fail(signal.reason);
    else signal.addEventListener('abort', () => this.#fail(signal.reason), { once: true });
  }

  /** `work` ends in order when its signal is aborted; an end before that counts as a failure only when it rejects. */
  start(work: (signal: AbortSignal) => Promise<void>): BackgroundTask {
    const stop = new AbortController();
    const ended = work(stop.signal).catch((error: unknown) => this.#fail(error));
    const task = {
      stop: async () => {
        stop.abort(new Error('The task was stopped'));
        await ended;
        this.#tasks.delete(task);
      },
    };
    this.#tasks.add(task);
    return task;
  }

  /** The result of `work`, or the rejection of whatever failed first. */
  wait<T>(work: Promise<T>): Promise<T> {
    return Promise.race([this.#failed, work]);
  }

  /** Stops all tasks; one that does not end is left behind after `timeoutMs`. */
  async close(timeoutMs: number): Promise<void> {
    const timer = new AbortController();
    const late = sleep(timeoutMs, undefined, { signal: timer.signal }).catch(() => undefined);
    await Promise.race([Promise.all([...this.#tasks].map((task) => task.stop())), late]);
    timer.abort();
  }
}
