/**
 * Takes an export file's SQL apart: whole statements, comments between them, and of `\if` the branch that is for the
 * database at hand. It knows every form of quoting that an export has, so that no value and no name can end a statement.
 */
import type { Dialect } from '../schema/capabilities.js';
import { IF_COCKROACH } from './portable-sql.js';

export type SqlItem =
  | { readonly kind: 'statement'; readonly text: string }
  | { readonly kind: 'comment'; readonly text: string };

type State = 'plain' | 'string' | 'escape-string' | 'name' | 'dollar' | 'comment' | 'meta';

const INTERESTING = /['"$;\\]|--/g;
const DOLLAR_TAG = /\$[A-Za-z_0-9\u0080-\uffff]*\$/y;
const NAME_CHAR = /[\w$\u0080-\uffff]/;
const LONGEST_TAG = 64;

export class SqlReader {
  readonly #dialect: Dialect;
  #text = '';
  /** Where the next look begins; everything before it belongs to the statement that is open. */
  #at = 0;
  /** Where the open quote, comment or command began. */
  #opened = 0;
  #state: State = 'plain';
  #tag = '';
  #taken = true;
  #inside = false;
  #items: SqlItem[] = [];

  constructor(dialect: Dialect) {
    this.#dialect = dialect;
  }

  /** @returns what has become whole; a statement is given when its semicolon has come */
  push(text: string): SqlItem[] {
    this.#text += text;
    while (this.#step());
    const items = this.#items;
    this.#items = [];
    return items;
  }

  /** True when nothing is left open. */
  get atEnd(): boolean {
    return this.#state === 'plain' && this.#text.trim() === '' && !this.#inside;
  }

  /** False when more text is needed. */
  #step(): boolean {
    switch (this.#state) {
      case 'plain':
        return this.#plain();
      case 'string':
        return this.#to(this.#text.indexOf("'", this.#at), 1);
      case 'name':
        return this.#to(this.#text.indexOf('"', this.#at), 1);
      case 'dollar':
        return this.#to(this.#text.indexOf(this.#tag, this.#at), this.#tag.length);
      case 'escape-string':
        return this.#escapeString();
      default:
        return this.#line();
    }
  }

  /** A doubled quote closes and opens again, which comes to the same. */
  #to(end: number, length: number): boolean {
    if (end < 0) {
      this.#at = Math.max(this.#at, this.#text.length - length + 1);
      return false;
    }
    this.#at = end + length;
    this.#state = 'plain';
    return true;
  }

  #escapeString(): boolean {
    const text = this.#text;
    for (; this.#at < text.length; this.#at++) {
      const char = text[this.#at];
      if (char === '\\') {
        if (this.#at + 1 >= text.length) return false;
        this.#at += 1;
      } else if (char === "'") {
        if (this.#at + 1 >= text.length) return false;
        if (text[this.#at + 1] === "'") this.#at += 1;
        else return this.#to(this.#at, 1);
      }
    }
    return false;
  }

  #plain(): boolean {
    const text = this.#text;
    INTERESTING.lastIndex = this.#at;
    const match = INTERESTING.exec(text);
    if (!match) {
      // A hyphen may be the first of two.
      this.#at = text.endsWith('-') ? text.length - 1 : text.length;
      return false;
    }
    const { index, 0: found } = match;
    if (found === ';') return this.#statement(index);
    if (found === '--' || found === '\\') return this.#open(index, found === '--' ? 'comment' : 'meta');
    if (found === '$') return this.#dollar(index);
    this.#at = index + 1;
    this.#state = found === '"' ? 'name' : this.#escapes(index) ? 'escape-string' : 'string';
    return true;
  }

  #open(index: number, state: State): boolean {
    this.#opened = index;
    this.#at = index;
    this.#state = state;
    return true;
  }

  /** E'...', and not a name that ends in e. */
  #escapes(index: number): boolean {
    return /[eE]/.test(this.#text[index - 1] ?? '') && !NAME_CHAR.test(this.#text[index - 2] ?? '');
  }

  #dollar(index: number): boolean {
    DOLLAR_TAG.lastIndex = index;
    const tag = DOLLAR_TAG.exec(this.#text)?.[0];
    const partOfName = NAME_CHAR.test(this.#text[index - 1] ?? '');
    if (tag === undefined && !partOfName && this.#text.length - index < LONGEST_TAG && this.#mayBecomeTag(index)) {
      this.#at = index;
      return false;
    }
    this.#at = index + (tag === undefined || partOfName ? 1 : tag.length);
    if (tag === undefined || partOfName) return true;
    this.#tag = tag;
    this.#state = 'dollar';
    return true;
  }

  #mayBecomeTag(index: number): boolean {
    return /^\$[A-Za-z_0-9\u0080-\uffff]*$/.test(this.#text.slice(index));
  }

  #statement(end: number): boolean {
    const text = this.#text.slice(0, end).trim();
    if (this.#taken && text !== '') this.#items.push({ kind: 'statement', text });
    this.#cut(end + 1);
    return true;
  }

  /** A comment or a command of psql: to the end of its line. Before a statement it is an item of its own. */
  #line(): boolean {
    const end = this.#text.indexOf('\n', this.#at);
    if (end < 0) {
      this.#at = this.#text.length;
      return false;
    }
    const line = this.#text.slice(this.#opened, end).trim();
    const before = this.#text.slice(0, this.#opened).trim();
    if (this.#state === 'meta') this.#command(line);
    if (this.#state === 'comment' && before !== '') {
      this.#at = end + 1;
    } else {
      if (this.#state === 'comment' && this.#taken) this.#items.push({ kind: 'comment', text: line });
      this.#cut(end + 1);
    }
    this.#state = 'plain';
    return true;
  }

  /** `\gset` ends the statement that recognises the database; we know it already. */
  #command(line: string): void {
    const cockroach = this.#dialect === 'cockroach';
    if (line === IF_COCKROACH) {
      this.#inside = true;
      this.#taken = cockroach;
    } else if (line === '\\else') this.#taken = !cockroach;
    else if (line === '\\endif') {
      this.#inside = false;
      this.#taken = true;
    }
  }

  #cut(at: number): void {
    this.#text = this.#text.slice(at);
    this.#at = 0;
  }
}
