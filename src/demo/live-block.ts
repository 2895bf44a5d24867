/** A few lines at the bottom of a terminal that are drawn again in place, with ordinary output above them. */

const UP = (lines: number) => (lines > 0 ? `\x1b[${lines}A` : '');
const CLEAR_BELOW = '\r\x1b[J';
/** A line that is too long is cut by the terminal instead of wrapped, which would spoil the count of lines. */
const NO_WRAP = '\x1b[?7l';
const WRAP = '\x1b[?7h';

export class LiveBlock {
  readonly #output: NodeJS.WriteStream;
  #lines: readonly string[] = [];

  constructor(output: NodeJS.WriteStream) {
    this.#output = output;
  }

  draw(lines: readonly string[]): void {
    const back = UP(this.#lines.length);
    // Lines that have scrolled out of the screen cannot be reached any more: the block keeps below its height.
    this.#lines = lines.slice(0, Math.max(1, (this.#output.rows || 24) - 1));
    this.#write(back, '');
  }

  /** Prints above the block. */
  print(text: string): void {
    this.#write(UP(this.#lines.length), text);
  }

  /** Leaves the block as it is; the next one starts below it. */
  finish(): void {
    this.#lines = [];
  }

  /** Takes the block away. */
  clear(): void {
    const back = UP(this.#lines.length);
    this.#lines = [];
    this.#write(back, '');
  }

  /** In one write, so that an end of the program in between leaves the terminal as it should be. */
  #write(back: string, above: string): void {
    const body = this.#lines.map((line) => `${line}\n`).join('');
    this.#output.write(`${back}${CLEAR_BELOW}${above}${NO_WRAP}${body}${WRAP}`);
  }
}
