/**
 * COPY ... FROM STDIN in a pipeline: statement, data and end are sent at once, without waiting for the server to ask for
 * the data. When the statement fails the server passes over what follows until the next query, as the protocol says
 * ("PostgreSQL manual, Message Flow: COPY Operations"). Touches pg's connection: test/integration/pg-contract.test.ts.
 */
import pg from 'pg';

interface CopyConnection {
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
}

export class CopyQuery extends pg.Query {
  readonly #rows: Buffer;

  /** @param rows lines of COPY's text format, each with its line feed */
  constructor(text: string, rows: string) {
    super(text);
    this.#rows = Buffer.from(rows);
  }

  // pg calls it with its connection, which its types know as another one.
  override submit = (connection: pg.Connection): void => {
    const wire = connection as unknown as CopyConnection;
    pg.Query.prototype.submit.call(this, connection);
    wire.sendCopyFromChunk(this.#rows);
    wire.endCopyFrom();
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
