/**
 * COPY ... FROM STDIN in a pipeline: statement, data and end are sent at once, without waiting for the server to ask for
 * the data. When the statement fails the server passes over what follows until the next query, as the protocol says
 * ("PostgreSQL manual, Message Flow: COPY Operations"). Touches pg's connection: test/integration/pg-contract.test.ts.
 */
import type { Writable } from 'node:stream';
import pg from 'pg';

interface CopyConnection {
  readonly stream: Writable;
  endCopyFrom(): void;
}

const COPY_DATA = 0x64;
const HEADER_BYTES = 5;

/** What follows a COPY, in its format: a text, or bytes in pieces. */
export type Copied = string | Buffer | readonly Buffer[];

export class CopyQuery extends pg.Query {
  readonly #pieces: readonly Buffer[];

  /** @param rows lines of COPY's text format, each with its line feed, or the whole of its binary one */
  constructor(text: string, rows: Copied) {
    super(text);
    this.#pieces = typeof rows === 'string' ? [Buffer.from(rows)] : Buffer.isBuffer(rows) ? [rows] : rows;
  }

  // pg calls it with its connection, which its types know as another one.
  override submit = (connection: pg.Connection): void => {
    const wire = connection as unknown as CopyConnection;
    pg.Query.prototype.submit.call(this, connection);
    if (!wire.stream.writable) return;
    // As the connection's own method does it, without a copy of the rows: they may be a megabyte.
    const header = Buffer.alloc(HEADER_BYTES);
    header[0] = COPY_DATA;
    const bytes = this.#pieces.reduce((sum, piece) => sum + piece.length, 0);
    header.writeUInt32BE(bytes + HEADER_BYTES - 1, 1);
    wire.stream.cork();
    wire.stream.write(header);
    for (const piece of this.#pieces) wire.stream.write(piece);
    wire.endCopyFrom();
    wire.stream.uncork();
  };

  /** The server asks for what it has been sent already. pg would answer with a failure. */
  handleCopyInResponse(): void {}
}

const SPECIAL = /[\\\n\r\t]/;
const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** A value as COPY's text format has it. */
export function copyText(value: string | null | undefined): string {
  if (value === null || value === undefined) return '\\N';
  return SPECIAL.test(value) ? value.replace(/[\\\n\r\t]/g, (found) => ESCAPES[found] as string) : value;
}
