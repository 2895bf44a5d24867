/**
 * A value that must not be printed: passwords, tokens, whole database URLs. Every way of turning it into text by
 * accident (template string, JSON, console.log, a logger) gives `[redacted]`; only `reveal()` gives the value, so
 * that each place that needs it is found by a search for that word.
 */
export const REDACTED = '[redacted]';

export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return REDACTED;
  }

  toJSON(): string {
    return REDACTED;
  }

  /** What `util.inspect`, and so console.log, prints. */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return REDACTED;
  }
}
