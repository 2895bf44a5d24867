/**
 * A row as the primary has written it as a line of COPY's text format: decoded when somebody looks at its values, and
 * handed to a COPY as it is. "PostgreSQL manual, COPY, Text Format".
 */
import type { Row } from './change.js';
import type { LineSource } from './line-source.js';

const TAB = 0x09;
const ESCAPES: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

export class CopiedLine implements LineSource {
  readonly binary = false;
  readonly bytes: Buffer;
  readonly start: number;
  /** Behind its line feed. */
  readonly end: number;
  #row: Row | null = null;

  constructor(bytes: Buffer, start: number, end: number) {
    this.bytes = bytes;
    this.start = start;
    this.end = end;
  }

  get row(): Row {
    this.#row ??= this.#fields().map(decoded);
    return this.#row;
  }

  text(column: number): string | null {
    const { bytes } = this;
    let from = this.start;
    for (let i = 0; i < column; i++) from = bytes.indexOf(TAB, from) + 1;
    const tab = bytes.indexOf(TAB, from);
    const field = bytes.toString('utf8', from, tab < 0 || tab >= this.end ? this.end - 1 : tab);
    return decoded(field);
  }

  get mostLineBytes(): number {
    return this.end - this.start;
  }

  writeLine(out: Buffer, at: number): number {
    return at + this.bytes.copy(out, at, this.start, this.end);
  }

  #fields(): string[] {
    return this.bytes.toString('utf8', this.start, this.end - 1).split('\t');
  }
}

function decoded(field: string): string | null {
  if (!field.includes('\\')) return field;
  if (field === '\\N') return null;
  return field.replace(/\\(.)/g, (_, letter: string) => ESCAPES[letter] ?? letter);
}
