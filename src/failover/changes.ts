/** Whoever waits for something to become true is woken at every change, and looks again. */
export class Changes {
  readonly #waiting = new Set<() => void>();

  /** Rejects with the signal's reason. */
  async until(condition: () => boolean, signal?: AbortSignal): Promise<void> {
    while (!condition()) {
      signal?.throwIfAborted();
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.#waiting.delete(wake);
          signal?.removeEventListener('abort', wake);
          resolve();
        };
        this.#waiting.add(wake);
        signal?.addEventListener('abort', wake, { once: true });
      });
    }
  }

  happened(): void {
    for (const wake of [...this.#waiting]) wake();
  }
}
