/**
 * How long a secondary may be silent while answers are due. A network that forgot the connection and a statement that
 * takes long look alike from here: so the time doubles whenever it ran out, and is short again after a success. It is
 * shared by the connections that follow one another.
 */
export class Patience {
  readonly #initialMs: number;
  readonly #maxMs: number;
  #ms: number;

  /** @param initialMs above 0 */
  constructor(initialMs: number, maxMs = 3_600_000) {
    this.#initialMs = initialMs;
    this.#maxMs = Math.max(initialMs, maxMs);
    this.#ms = initialMs;
  }

  /** Milliseconds. */
  get ms(): number {
    return this.#ms;
  }

  ranOut(): void {
    this.#ms = Math.min(2 * this.#ms, this.#maxMs);
  }

  rewarded(): void {
    this.#ms = this.#initialMs;
  }
}
