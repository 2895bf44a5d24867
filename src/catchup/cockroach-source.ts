/**
 * The change source of a CockroachDB secondary: changefeeds without a sink, read over ordinary connections. One feed
 * follows all tables; only tables of one bare name in several schemas need a feed each, because a feed's rows do not say
 * the schema. The position is the lowest resolved mark of all feeds.
 */
import type { ClientConfig } from 'pg';
import { Backoff } from '../core/backoff.js';
import type { Clock } from '../core/clock.js';
import { ConfigurationError } from '../core/errors.js';
import type { TableName } from '../core/ident.js';
import type { Log } from '../core/log.js';
import type { CatchUpEvent, ChangeSource } from './change-source.js';
import { ChangefeedLane } from './changefeed-lane.js';
import type { ReadAheadLimits } from './changefeed-query.js';
import { readHlc } from './cockroach-tables.js';
import { EventChannel } from './event-channel.js';
import { earlier, formatHlc, type Hlc, hlcToMs, parseHlc } from './hlc.js';

export interface CockroachSourceOptions {
  /** A role with CONTROLCHANGEFEED, or with CHANGEFEED and SELECT on the tables. */
  readonly connection: ClientConfig;
  readonly tables: readonly TableName[];
  /** From `cockroachPosition`, or the stored one: changes after it are delivered. */
  readonly position: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Why nothing comes at the moment; null when it comes again. */
  readonly onTrouble?: (reason: string | null) => void;
  readonly limits?: Partial<CockroachSourceLimits>;
  /** Keys are handed out as soon as they come, as 'touched', seconds before the mark behind them. */
  readonly early?: boolean;
}

/** Bytes of memory, per feed, and milliseconds. */
export interface CockroachSourceLimits {
  /** Changes that wait for a resolved mark; beyond it keys are delivered as 'touched'. */
  readonly bufferBytes: number;
  /** Events that the consumer has not taken yet. */
  readonly queueBytes: number;
  readonly readAhead: ReadAheadLimits;
  /** First and longest wait before a lost feed is opened again. */
  readonly backoffMs: { readonly initial: number; readonly max: number };
  /** A feed that says nothing for so long counts as lost. */
  readonly silenceMs: number;
}

const LIMITS: CockroachSourceLimits = {
  bufferBytes: 24 << 20,
  queueBytes: 8 << 20,
  readAhead: { highBytes: 2 << 20, lowBytes: 0 },
  backoffMs: { initial: 100, max: 10_000 },
  silenceMs: 60_000,
};

/** Where the cluster is now, as a position: noted at a failover, before the secondary is opened for writes. */
export async function cockroachPosition(connection: ClientConfig): Promise<string> {
  return readHlc(connection);
}

export class CockroachSource implements ChangeSource {
  readonly #options: CockroachSourceOptions;
  readonly #channel: EventChannel;
  readonly #abort = new AbortController();
  readonly #marks: Hlc[];
  readonly #lanes: readonly ChangefeedLane[];
  readonly #running: Promise<void>;
  #delivered: Hlc;

  /** Connects at once, in the background. Throws a ConfigurationError when the position is not one of this database. */
  constructor(options: CockroachSourceOptions) {
    const limits = { ...LIMITS, ...options.limits };
    const start = startOf(options.position);
    this.#options = options;
    this.#delivered = start;
    this.#channel = new EventChannel({ highBytes: limits.queueBytes, lowBytes: limits.queueBytes / 2 });
    const groups = groupByUniqueName(options.tables);
    this.#marks = groups.map(() => start);
    this.#lanes = groups.map(
      (tables, i) =>
        new ChangefeedLane({
          connection: options.connection,
          tables,
          start,
          channel: this.#channel,
          clock: options.clock,
          backoff: new Backoff({ initialMs: limits.backoffMs.initial, maxMs: limits.backoffMs.max }),
          log: options.log,
          signal: this.#abort.signal,
          maxBufferedBytes: options.early ? 0 : limits.bufferBytes,
          readAhead: limits.readAhead,
          silenceMs: limits.silenceMs,
          onResolved: (mark) => this.#resolved(i, mark),
          onTrouble: options.onTrouble ?? (() => undefined),
        }),
    );
    this.#running = this.#run();
  }

  /** Estimate of the bytes that the source keeps in memory. */
  get heldBytes(): number {
    return this.#lanes.reduce((sum, lane) => sum + lane.heldBytes, this.#channel.bytes);
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

  /** Nothing to do: history is kept by the cluster's GC window, whatever was read. */
  stored(_position: string): void {}

  now(): Promise<string> {
    return readHlc(this.#options.connection);
  }

  comparePositions(a: string, b: string): number {
    const difference = parseHlc(a) - parseHlc(b);
    return difference < 0n ? -1 : difference > 0n ? 1 : 0;
  }

  async close(): Promise<void> {
    this.#abort.abort(new Error('The change source was closed'));
    this.#channel.end();
    await this.#running;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The first feed that fails ends the others: what it would have delivered is missing from every later position. */
  async #run(): Promise<void> {
    await Promise.all(
      this.#lanes.map((lane) =>
        lane.run().catch((error: unknown) => {
          this.#channel.end(error);
          this.#abort.abort(error);
        }),
      ),
    );
  }

  #resolved(lane: number, mark: Hlc): void {
    this.#marks[lane] = mark;
    const lowest = this.#marks.reduce(earlier);
    if (lowest <= this.#delivered) return;
    this.#delivered = lowest;
    this.#channel.push({ kind: 'resolved', position: formatHlc(lowest), atMs: hlcToMs(lowest) }, 100);
  }
}

/** As few groups as possible in which no bare name comes twice. */
function groupByUniqueName(tables: readonly TableName[]): TableName[][] {
  const groups: TableName[][] = [];
  const uses = new Map<string, number>();
  for (const table of tables) {
    const group = uses.get(table.name) ?? 0;
    uses.set(table.name, group + 1);
    const members = groups[group] ?? [];
    groups[group] = members;
    members.push(table);
  }
  return groups;
}

function startOf(position: string): Hlc {
  try {
    return parseHlc(position);
  } catch (cause) {
    throw new ConfigurationError(
      `The stored catch-up position ${JSON.stringify(position)} is not one of CockroachDB's.`,
      {
        code: 'catch-up-position',
        remedy:
          'Check that the secondary is the database that the position was taken from; else take a new one and compare.',
        cause,
      },
    );
  }
}
