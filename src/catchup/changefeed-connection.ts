/** One connection with one running changefeed, and a watch over its silence. */
import pg, { type ClientConfig, type QueryConfig } from 'pg';
import type { Clock, Timer } from '../core/clock.js';
import { RAW_TEXT_TYPES } from '../core/raw-types.js';
import { ChangefeedQuery, type ReadAheadLimits } from './changefeed-query.js';

/** The text form of values, and no limit of the server's on a statement that never ends. */
const SESSION_SQL = `SET bytea_output = 'hex'; SET intervalstyle = 'postgres'; SET datestyle = 'ISO, MDY'; SET timezone = 'UTC'; SET extra_float_digits = 1; SET statement_timeout = 0; SET idle_in_session_timeout = 0`;

/** A limit for this one query: one for the connection would end the feed as well. */
const SETTINGS: QueryConfig & { query_timeout: number } = { text: SESSION_SQL, query_timeout: 30_000 };

/** Not even a resolved mark has come: taken for a lost connection, which the message says to the table of errors. */
export class SilentConnectionError extends Error {
  constructor(silenceMs: number) {
    super(`Connection terminated: the changefeed was silent for ${silenceMs} ms`);
  }
}

export interface ChangefeedConnection {
  readonly query: ChangefeedQuery;
  /** Cuts the connection: the server stops the feed when it next writes. */
  destroy(): void;
}

export interface ConnectionOptions {
  readonly connection: ClientConfig;
  readonly clock: Clock;
  readonly readAhead: ReadAheadLimits;
  /** A running feed says something every second; after so many milliseconds of silence the connection counts as lost. */
  readonly silenceMs: number;
  readonly signal: AbortSignal;
}

/** Connects and starts the feed. Rejects with the driver's error; errors of the feed itself come from `query.take()`. */
export async function openChangefeed(sql: string, options: ConnectionOptions): Promise<ChangefeedConnection> {
  const { clock, silenceMs, signal } = options;
  signal.throwIfAborted();
  const client = new pg.Client({
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    ...options.connection,
    types: RAW_TEXT_TYPES,
  } as ClientConfig);
  const query = new ChangefeedQuery(sql, options.readAhead);
  let timer: Timer | undefined;
  const destroy = (): void => {
    timer?.cancel();
    signal.removeEventListener('abort', abort);
    (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
  };
  const end = (error: unknown): void => {
    query.fail(error);
    destroy();
  };
  const abort = (): void => end(signal.reason);
  client.on('error', (error) => query.fail(error));
  client.on('end', () => query.fail(new Error('Connection terminated: the changefeed has ended')));
  signal.addEventListener('abort', abort, { once: true });
  try {
    await client.connect();
    await client.query(SETTINGS);
    signal.throwIfAborted();
    client.query(query);
  } catch (error) {
    destroy();
    throw error;
  }
  let seen = 0;
  const watch = (): void => {
    timer = clock.setTimer(silenceMs, () => {
      // A consumer that keeps the socket paused is slow, not silent.
      if (query.rows === seen && !query.paused) end(new SilentConnectionError(silenceMs));
      else {
        seen = query.rows;
        watch();
      }
    });
  };
  watch();
  return { query, destroy };
}
