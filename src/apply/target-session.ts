/**
 * One connection to the secondary for the apply pipeline. Statements are pipelined: all of a target transaction is on
 * its way before the first answer, because the target may be a continent away. After any error inside a transaction the
 * server refuses the rest, and COMMIT becomes a rollback, so that nothing half-done is ever committed.
 */
import type { Socket } from 'node:net';
import pg, { type ClientConfig, type QueryResult } from 'pg';
import { RAW_TEXT_TYPES } from '../core/raw-types.js';
import { socketOf } from '../core/socket-of.js';
import { takenInBinary } from './binary-probe.js';
import { type Copied, CopyQuery } from './copy-query.js';
import { type Dialect, dialectOf } from './dialect.js';
import type { Patience } from './patience.js';

export interface SqlStatement {
  readonly text: string;
  /** A buffer is a value in binary. */
  readonly values: readonly (string | Buffer | null)[];
  /** Of a COPY ... FROM STDIN: its lines. */
  readonly copy?: Copied;
}

/** Statements prepared on one connection; what comes after is sent with its text. */
const MOST_PREPARED = 2000;
const CONNECT_TIMEOUT_MS = 10_000;

/** A statement of a pipeline failed: `index` says which one; `cause` is the driver's error. */
export class StatementError extends Error {
  readonly index: number;
  /** The server's SQLSTATE and severity, undefined when the connection was lost. */
  readonly code: string | undefined;
  readonly severity: string | undefined;
  override readonly cause: unknown;

  constructor(index: number, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause));
    const { code, severity } = cause as { code?: string; severity?: string };
    this.index = index;
    this.code = code;
    this.severity = severity;
    this.cause = cause;
  }
}

export class TargetSession {
  readonly dialect: Dialect;
  readonly serverVersion: string;
  readonly #client: pg.Client;
  readonly #names = new Map<string, string>();
  #named = 0;
  readonly #patience: Patience | null;
  readonly #onStatement: (text: string) => void;
  #broken: Error | null = null;
  #unanswered = 0;
  /** Runs while answers are due; every byte that comes sets it back. */
  #silence: NodeJS.Timeout | null = null;

  private constructor(
    client: pg.Client,
    version: string,
    dialect: Dialect,
    patience: Patience | null,
    onStatement: (text: string) => void,
  ) {
    this.#onStatement = onStatement;
    this.#client = client;
    this.#patience = patience;
    this.#stream.on('data', () => this.#silence?.refresh());
    this.serverVersion = version;
    this.dialect = dialect;
    client.on('error', (error) => {
      this.#broken ??= error;
    });
    client.on('end', () => {
      this.#broken ??= new Error('Connection terminated');
    });
  }

  /**
   * Connects, recognises the dialect and fixes the session's settings. Rejects with the driver's error.
   * @param patience a connection that is silent for longer while answers are due counts as lost; null: wait for ever
   * @param onStatement told of each statement that is sent, for those who count what it costs
   */
  static async connect(
    config: ClientConfig,
    patience: Patience | null = null,
    onStatement: (text: string) => void = () => undefined,
  ): Promise<TargetSession> {
    const client = new pg.Client({
      keepAlive: true,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      ...config,
      types: RAW_TEXT_TYPES,
      pipeline: true,
    } as ClientConfig);
    // From the first moment: an error that nobody hears ends the process. What was asked rejects as well.
    client.on('error', () => undefined);
    try {
      await client.connect();
      const version = { text: 'SELECT version()', query_timeout: CONNECT_TIMEOUT_MS };
      const { rows } = await client.query<{ version: string }>(version);
      const serverVersion = rows[0]?.version ?? '';
      const dialect = await spoken(client, serverVersion);
      const session = new TargetSession(client, serverVersion, dialect, patience, onStatement);
      await session.exec(session.dialect.sessionSql);
      return session;
    } catch (error) {
      void client.end().catch(() => undefined);
      throw error;
    }
  }

  get broken(): Error | null {
    return this.#broken;
  }

  /** For metadata and catalog reads that want plain queries. Values are raw text. */
  get client(): pg.Client {
    return this.#client;
  }

  /** One statement, prepared once per text on this connection. */
  async run(statement: SqlStatement): Promise<QueryResult<Record<string, string | null>>> {
    this.#onStatement(statement.text);
    try {
      if (statement.copy !== undefined) return await this.#answered(this.#copy(statement.text, statement.copy));
      return await this.#answered(this.#client.query(this.#prepared(statement)));
    } catch (error) {
      // A table changed under a prepared statement, or a pooler has lost them all: the next run prepares anew.
      const { code } = error as { code?: string };
      if (code === '0A000' || code === '26000') this.#names.clear();
      throw error;
    }
  }

  #copy(text: string, rows: Copied): Promise<QueryResult<Record<string, string | null>>> {
    return new Promise((resolve, reject) => {
      const query = new CopyQuery(text, rows);
      const callback = (error: Error | null, result: QueryResult) => (error ? reject(error) : resolve(result));
      this.#client.query(Object.assign(query, { callback }));
    });
  }

  async exec(text: string): Promise<void> {
    this.#onStatement(text);
    await this.#answered(this.#client.query(text));
  }

  /** What was asked of the session has been done: a slow answer is waited for as long as at first. */
  done(): void {
    this.#patience?.rewarded();
  }

  /** Rolls back if a transaction is open: CockroachDB takes a ROLLBACK outside of one for an error. */
  async rollback(): Promise<void> {
    if (this.#client.getTransactionStatus() !== 'I') await this.exec('ROLLBACK');
  }

  /**
   * Sends all statements at once and waits for every answer. Throws a StatementError for the first that failed.
   * @returns affected rows, statement by statement
   */
  async pipeline(statements: readonly SqlStatement[]): Promise<number[]> {
    const answers = await Promise.allSettled(statements.map((statement) => this.run(statement)));
    const counts: number[] = [];
    for (let i = 0; i < answers.length; i++) {
      const answer = answers[i] as PromiseSettledResult<QueryResult>;
      if (answer.status === 'rejected') throw new StatementError(i, answer.reason);
      counts.push(answer.value.rowCount ?? 0);
    }
    return counts;
  }

  async close(): Promise<void> {
    if (this.#broken) return;
    await Promise.race([
      this.#client.end().catch(() => undefined),
      new Promise((resolve) => setTimeout(resolve, 1000).unref()),
    ]);
    this.destroy();
  }

  /** Cuts the connection without a word: an open transaction is rolled back by the server. */
  destroy(): void {
    this.#broken ??= new Error('Connection destroyed');
    this.#stream.destroy();
  }

  get #stream(): Socket {
    return socketOf(this.#client);
  }

  async #answered<T>(answer: Promise<T>): Promise<T> {
    this.#unanswered += 1;
    if (this.#patience) this.#silence ??= setTimeout(() => this.#giveUp(), this.#patience.ms).unref();
    try {
      return await answer;
    } finally {
      this.#unanswered -= 1;
      if (this.#unanswered === 0 && this.#silence) {
        clearTimeout(this.#silence);
        this.#silence = null;
      }
    }
  }

  #giveUp(): void {
    const seconds = (this.#patience?.ms ?? 0) / 1000;
    this.#patience?.ranOut();
    this.#broken ??= new Error(`Connection terminated: the secondary has not answered for ${seconds} s`);
    this.#stream.destroy(this.#broken);
  }

  #prepared(statement: SqlStatement): { text: string; values: (string | Buffer | null)[]; name?: string } {
    const values = statement.values as (string | Buffer | null)[];
    if (values.length === 0) return { text: statement.text, values };
    let name = this.#names.get(statement.text);
    if (name === undefined) {
      // Counted with those that were forgotten, whose names stay taken on the server.
      if (this.#named >= MOST_PREPARED) return { text: statement.text, values };
      name = `dbr${this.#named}`;
      this.#named += 1;
      this.#names.set(statement.text, name);
    }
    return { text: statement.text, values, name };
  }
}

async function spoken(client: pg.Client, version: string): Promise<Dialect> {
  const dialect = dialectOf(version);
  if (!dialect.asksForBinary) return dialect;
  return { ...dialect, binaryElements: await takenInBinary(client, version, CONNECT_TIMEOUT_MS) };
}
