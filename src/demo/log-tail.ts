/** The last lines that a server wrote, kept for the error that a person reads when it did not start. */
export class LogTail {
  readonly #limit: number;
  #lines: string[] = [];
  #partial = '';
  /** Complete lines ever added. */
  #total = 0;

  constructor(limit = 200) {
    this.#limit = limit;
  }

  add(text: string): void {
    const parts = (this.#partial + text).split('\n');
    this.#partial = parts.pop() ?? '';
    this.#total += parts.length;
    this.#lines.push(...parts);
    if (this.#lines.length > this.#limit) this.#lines = this.#lines.slice(-this.#limit);
  }

  /** A position for `text`: what is added from now on. */
  mark(): number {
    return this.#total;
  }

  lines(since = 0): string[] {
    const kept = this.#lines.slice(Math.max(0, this.#lines.length - (this.#total - since)));
    return this.#partial === '' ? kept : [...kept, this.#partial];
  }

  text(since = 0): string {
    return this.lines(since).join('\n');
  }
}
