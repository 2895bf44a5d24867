/**
 * The change source of a PostgreSQL secondary: a logical slot on it, created at promotion. The slot keeps what was not
 * stored yet, so nothing ages as in a changefeed; it also keeps WAL on the secondary for as long as nobody reads it.
 */
import pg, { type Client, type ClientConfig } from 'pg';
import { Backoff } from '../core/backoff.js';
import type { Clock } from '../core/clock.js';
import { ConfigurationError } from '../core/errors.js';
import type { TableName } from '../core/ident.js';
import type { Log } from '../core/log.js';
import { formatLsn, type Lsn, parseLsn } from '../core/lsn.js';
import { classify, sqlstateOf } from '../core/policy.js';
import { openReplicationSession, type ReplicationSession } from '../source/replication-session.js';
import { createSlot, dropSlot, ensurePublication, readSlot, readSourceState } from '../source/slot.js';
import { statusIntervalMs } from '../source/standby-status.js';
import { CursorTooOldError } from './catchup-errors.js';
import type { CatchUpEvent, ChangeSource } from './change-source.js';
import { EventChannel } from './event-channel.js';
import { PostgresRows } from './postgres-rows.js';

export interface PostgresSourceOptions {
  /** A role with REPLICATION. */
  readonly connection: ClientConfig;
  readonly slot: string;
  readonly publication: string;
  /** From `createCatchUpSlot`, or the stored one: changes after it are delivered. */
  readonly position: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Why nothing comes at the moment; null when it comes again. */
  readonly onTrouble?: (reason: string | null) => void;
  /** Bytes of events that the consumer has not taken yet; 8 MiB by default. */
  readonly queueBytes?: number;
  /** First and longest wait before a lost connection is opened again, milliseconds. */
  readonly backoffMs?: { readonly initial: number; readonly max: number };
}

/** The catch-up's slot and publication on the secondary. Returns the position from which changes will be delivered. */
export async function createCatchUpSlot(
  connection: ClientConfig,
  slot: string,
  publication: string,
  tables: readonly TableName[],
): Promise<string> {
  return withPostgres(connection, async (client) => {
    await ensurePublication(client, publication, tables);
    const existing = await readSlot(client, slot);
    return formatLsn(existing?.confirmedFlushLsn ?? (await createSlot(client, slot)));
  });
}

/** After a failback: the slot would keep WAL for ever. Does nothing where there is none. */
export async function dropCatchUpSlot(connection: ClientConfig, slot: string): Promise<void> {
  await withPostgres(connection, async (client) => {
    if (await readSlot(client, slot)) await dropSlot(client, slot);
  });
}

export class PostgresSource implements ChangeSource {
  readonly #options: PostgresSourceOptions;
  readonly #channel: EventChannel;
  readonly #rows: PostgresRows;
  readonly #abort = new AbortController();
  readonly #running: Promise<void>;
  #stored: Lsn;
  #session: ReplicationSession | null = null;

  /** Connects at once, in the background. Throws a ConfigurationError when the position is not an LSN. */
  constructor(options: PostgresSourceOptions) {
    this.#options = options;
    const start = startOf(options.position);
    this.#stored = start;
    const high = options.queueBytes ?? 8 << 20;
    this.#channel = new EventChannel(
      { highBytes: high, lowBytes: high / 2 },
      () => this.#session?.pause(),
      () => this.#session?.resume(),
    );
    this.#rows = new PostgresRows(start, (event, bytes) => this.#channel.push(event, bytes));
    this.#running = this.#run();
  }

  next(): Promise<CatchUpEvent | null> {
    return this.#channel.take();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<CatchUpEvent, void, void> {
    for (;;) {
      const event = await this.next();
      if (event === null) return;
      yield event;
    }
  }

  stored(position: string): void {
    const lsn = parseLsn(position);
    if (lsn <= this.#stored) return;
    this.#stored = lsn;
    this.#session?.confirm(lsn);
  }

  now(): Promise<string> {
    return withPostgres(this.#options.connection, async (client) => {
      // A record of its own: the end of WAL as a query tells it may lie behind a page header, where no record ends yet.
      const { rows } = await client.query<{ lsn: string }>(
        `SELECT pg_logical_emit_message(false, 'db_redundancy.position', '')::text AS lsn`,
      );
      return rows[0]?.lsn ?? '0/0';
    });
  }

  comparePositions(a: string, b: string): number {
    const difference = parseLsn(a) - parseLsn(b);
    return difference < 0n ? -1 : difference > 0n ? 1 : 0;
  }

  async close(): Promise<void> {
    this.#abort.abort(new Error('The change source was closed'));
    this.#channel.end();
    await this.#session?.close();
    await this.#running;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #run(): Promise<void> {
    const { backoffMs, clock, log, onTrouble } = this.#options;
    const { signal } = this.#abort;
    const backoff = new Backoff({ initialMs: backoffMs?.initial ?? 100, maxMs: backoffMs?.max ?? 10_000 });
    while (!signal.aborted) {
      try {
        await this.#follow(() => {
          backoff.reset();
          onTrouble?.(null);
        });
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof CursorTooOldError) return this.#channel.end(error);
        if (isLost(error)) return this.#channel.end(new CursorTooOldError(formatLsn(this.#stored), error));
        const { action, hint } = classify(error);
        if (action !== 'retry' && action !== 'reread-checkpoint') return this.#channel.end(error);
        const waitMs = backoff.next();
        onTrouble?.(`${error instanceof Error ? error.message : String(error)} (${hint})`);
        log.warn({ err: error, waitMs }, 'The catch-up slot was lost from sight and is opened again');
        await clock.sleep(waitMs, signal).catch(() => undefined);
      }
    }
  }

  /** One connection. Rejects when it ends, unless the source was closed. */
  async #follow(onOpen: () => void): Promise<void> {
    const { connection, publication, slot } = this.#options;
    const state = await withPostgres(connection, async (client) => {
      const info = await readSlot(client, slot);
      // A slot that is ahead of what was stored is another one, or somebody else has read it: changes are missing.
      if (!info || info.walStatus === 'lost' || (info.confirmedFlushLsn ?? 0n) > this.#stored)
        throw new CursorTooOldError(formatLsn(this.#stored));
      return readSourceState(client);
    });
    this.#rows.restart();
    // A session confirms its start to the slot, so that is what was stored; what was handed out since is passed over.
    const session = await openReplicationSession({
      connection,
      slot,
      publication,
      startLsn: this.#stored,
      statusIntervalMs: statusIntervalMs(state.walSenderTimeoutMs),
      serverVersion: state.serverVersion,
      handler: {
        message: (message, bytes) => this.#rows.message(message, bytes),
        keepalive: (lsn, serverNowMs) => this.#rows.keepalive(lsn, serverNowMs),
      },
    });
    this.#session = session;
    if (this.#abort.signal.aborted) return session.close();
    if (this.#channel.full) session.pause();
    onOpen();
    try {
      await session.ended;
    } finally {
      this.#session = null;
    }
  }
}

/** 42704: no such slot; 55000: the slot was invalidated; 58P01: its WAL is gone. */
function isLost(error: unknown): boolean {
  return ['42704', '55000', '58P01'].includes(sqlstateOf(error) ?? '');
}

async function withPostgres<T>(connection: ClientConfig, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({
    keepAlive: true,
    connectionTimeoutMillis: 10_000,
    query_timeout: 60_000,
    ...connection,
  });
  // The statement's own rejection is what the caller sees.
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await work(client);
  } finally {
    void client.end().catch(() => undefined);
  }
}

function startOf(position: string): Lsn {
  try {
    return parseLsn(position);
  } catch (cause) {
    throw new ConfigurationError(
      `The stored catch-up position ${JSON.stringify(position)} is not one of PostgreSQL's.`,
      {
        code: 'catch-up-position',
        remedy:
          'Check that the secondary is the database that the position was taken from; else take a new one and compare.',
        cause,
      },
    );
  }
}
