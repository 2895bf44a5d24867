/**
 * A changefeed without a sink as a query of pg that never ends: rows are handed out in the order in which they come, and
 * the socket is paused while they are not taken, so that the server waits instead of this process filling up (G4).
 * Relies on what pg calls on a query and on `connection.stream`; test/integration/catchup-pg-contract.test.ts pins both.
 */
import type { Connection, Submittable } from 'pg';
import { quoteLiteral, quoteTable, type TableName } from '../core/ident.js';

export type ChangefeedForm = 'CREATE CHANGEFEED FOR TABLE' | 'EXPERIMENTAL CHANGEFEED FOR';

/**
 * `stop` with `column_changes` ends the feed exactly at a change of columns, with the time of it. `resolved` alone would
 * tick every 30 s: the checkpoint frequency is what it waits for.
 */
export function changefeedSql(form: ChangefeedForm, tables: readonly TableName[], cursor: string): string {
  const names = tables.map((table) => quoteTable(table.schema, table.name)).join(', ');
  const options = [
    'updated',
    `resolved = '1s'`,
    `min_checkpoint_frequency = '1s'`,
    `schema_change_events = 'column_changes'`,
    `schema_change_policy = 'stop'`,
    `cursor = ${quoteLiteral(cursor)}`,
  ];
  return `${form} ${names} WITH ${options.join(', ')}`;
}

/** One message of the feed. A resolved mark has neither table nor key. */
export interface ChangefeedMessage {
  /** Bare name, without schema. */
  readonly table: string | null;
  /** JSON text. */
  readonly key: string | null;
  readonly value: string;
  readonly bytes: number;
}

export interface ReadAheadLimits {
  readonly highBytes: number;
  readonly lowBytes: number;
}

export class ChangefeedQuery implements Submittable {
  readonly #text: string;
  readonly #limits: ReadAheadLimits;
  #stream: Connection['stream'] | null = null;
  #messages: ChangefeedMessage[] = [];
  #bytes = 0;
  #paused = false;
  #ended = false;
  #failure: unknown;
  #wake: (() => void) | null = null;
  /** Rows so far, and whether the socket waits for the consumer: what a watch over a silent connection looks at. */
  rows = 0;

  constructor(text: string, limits: ReadAheadLimits) {
    this.#text = text;
    this.#limits = limits;
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** Bytes that are read and not taken. */
  get bufferedBytes(): number {
    return this.#bytes;
  }

  /**
   * All that has come since the last call, waiting for the first; null when the server ended the feed. Rejects with the
   * server's error, or with `fail`'s, after everything before it has been handed out.
   */
  async take(): Promise<readonly ChangefeedMessage[] | null> {
    while (this.#messages.length === 0) {
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#ended) return null;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const taken = this.#messages;
    this.#messages = [];
    this.#bytes = 0;
    if (this.#paused) {
      this.#paused = false;
      this.#stream?.resume();
    }
    return taken;
  }

  /** Ends the query from this side: the connection is of no more use. */
  fail(error: unknown): void {
    this.#failure ??= error;
    this.#ended = true;
    this.#wakeUp();
  }

  // What pg calls, in the order of the protocol.

  submit(connection: Connection): void {
    this.#stream = connection.stream;
    connection.query(this.#text);
  }

  handleRowDescription(): void {}

  handleDataRow(message: { fields: readonly (string | null)[] }): void {
    const [table = null, key = null, value = null] = message.fields;
    if (value === null || this.#ended) return;
    const json = fromBytea(value);
    const row = { table, key: key === null ? null : fromBytea(key), value: json, bytes: json.length };
    this.rows += 1;
    this.#messages.push(row);
    this.#bytes += row.bytes;
    if (!this.#paused && this.#bytes >= this.#limits.highBytes) {
      this.#paused = true;
      this.#stream?.pause();
    }
    this.#wakeUp();
  }

  handleCommandComplete(): void {}

  handleError(error: unknown): void {
    this.fail(error);
  }

  handleReadyForQuery(): void {
    this.#ended = true;
    this.#wakeUp();
  }

  #wakeUp(): void {
    this.#wake?.();
    this.#wake = null;
  }
}

/** `\x7b7d` to `{}`; the session has `bytea_output = 'hex'`. */
function fromBytea(text: string): string {
  return text.startsWith('\\x') ? Buffer.from(text.slice(2), 'hex').toString('utf8') : text;
}
