/** Server-sent events out of chunks of text; the part of the format that the route stream uses. */
export interface SseEvent {
  readonly event: string;
  readonly data: string;
}

/** A line longer than this is no route: the connection is given up. */
const LONGEST_LINE = 64 * 1024;

export class SseParser {
  #rest = '';
  #event = '';
  #data: string[] = [];

  /** @throws RangeError when a line does not end. */
  push(chunk: string): SseEvent[] {
    const lines = (this.#rest + chunk).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? '';
    if (this.#rest.length > LONGEST_LINE) throw new RangeError('A line of the event stream is too long.');
    return lines.flatMap((line) => this.#line(line));
  }

  #line(line: string): SseEvent[] {
    if (line === '') {
      const complete = this.#data.length > 0 ? [{ event: this.#event || 'message', data: this.#data.join('\n') }] : [];
      this.#event = '';
      this.#data = [];
      return complete;
    }
    const [, field = '', value = ''] = /^([^:]*):? ?([\s\S]*)$/.exec(line) ?? [];
    if (field === 'event') this.#event = value;
    if (field === 'data') this.#data.push(value);
    return [];
  }
}
