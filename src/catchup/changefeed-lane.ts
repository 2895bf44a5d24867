/**
 * One changefeed and its repairs: connect from the last resolved mark, read, hand rows out at each mark, and when the
 * feed ends find out why and go on, or give up with a typed error. The way round a TRUNCATE: no cursor before it works
 * for that table any more, so the feed goes on without it until a mark behind the TRUNCATE, takes it in again there, and
 * says that the table must be compared; no mark is handed out in between, so that a restart meets the TRUNCATE again.
 */
import type { ClientConfig } from 'pg';
import type { Backoff } from '../core/backoff.js';
import type { Clock } from '../core/clock.js';
import { displayName, type TableName } from '../core/ident.js';
import type { Log } from '../core/log.js';
import { SchemaChangedError } from './catchup-errors.js';
import { type ChangedRow, MAX_EVENT_ROWS } from './change-source.js';
import { type ChangefeedConnection, openChangefeed, SilentConnectionError } from './changefeed-connection.js';
import { endingOf } from './changefeed-ending.js';
import {
  type ChangefeedForm,
  type ChangefeedMessage,
  changefeedSql,
  type ReadAheadLimits,
} from './changefeed-query.js';
import { readHlc } from './cockroach-tables.js';
import type { EventChannel } from './event-channel.js';
import { type FollowedTable, FollowedTables } from './followed-tables.js';
import { formatHlc, type Hlc, later, parseHlc } from './hlc.js';
import { objectMembers } from './json-text.js';
import { KeyBuffer } from './key-buffer.js';

export interface LaneOptions {
  readonly connection: ClientConfig;
  /** No two with one bare name: a feed's rows do not say the schema. */
  readonly tables: readonly TableName[];
  readonly start: Hlc;
  readonly channel: EventChannel;
  readonly clock: Clock;
  readonly backoff: Backoff;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** 0: keys go out as they come. */
  readonly maxBufferedBytes: number;
  readonly readAhead: ReadAheadLimits;
  readonly silenceMs: number;
  readonly onResolved: (mark: Hlc) => void;
  readonly onTrouble: (reason: string | null) => void;
}

export class ChangefeedLane {
  readonly #options: LaneOptions;
  readonly #buffer: KeyBuffer;
  readonly #tables: FollowedTables;
  /** Tables that wait for a mark behind their TRUNCATE. */
  readonly #emptied = new Map<FollowedTable, Hlc>();
  #feed: ChangefeedConnection | null = null;
  #form: ChangefeedForm = 'CREATE CHANGEFEED FOR TABLE';
  #resolved: Hlc;
  /** The time of the last change of columns that ended the feed. */
  #boundary: string | null = null;
  #silences = 0;

  constructor(options: LaneOptions) {
    this.#options = options;
    this.#resolved = options.start;
    this.#buffer = new KeyBuffer(options.maxBufferedBytes, options.start);
    this.#tables = new FollowedTables(options.connection, options.tables, (name, columns) =>
      this.#reshaped(name, columns),
    );
  }

  /** Bytes of changes that wait for a resolved mark or to be read. */
  get heldBytes(): number {
    return this.#buffer.bytes + (this.#feed?.query.bufferedBytes ?? 0);
  }

  /** Runs until the signal is aborted. Rejects with a typed error when going on would lose changes. */
  async run(): Promise<void> {
    const { signal } = this.#options;
    let repair: () => Promise<void> = async () => undefined;
    while (!signal.aborted) {
      try {
        await repair();
        repair = async () => undefined;
        await this.#followUntilEnd();
      } catch (error) {
        if (signal.aborted) return;
        const ending = endingOf(error, formatHlc(this.#resolved));
        if (ending.kind === 'fatal') throw ending.error;
        if (ending.kind === 'columns') repair = () => this.#columnsChanged(ending.at);
        else if (ending.kind === 'truncated') repair = () => this.#truncated(ending.table);
        else if (ending.kind === 'syntax') this.#tryOtherForm(error);
        else await this.#waitAfter(error, ending.hint);
      }
    }
  }

  #tryOtherForm(error: unknown): void {
    if (this.#form === 'EXPERIMENTAL CHANGEFEED FOR') throw error;
    this.#form = 'EXPERIMENTAL CHANGEFEED FOR';
  }

  async #waitAfter(error: unknown, hint: string): Promise<void> {
    const { backoff, clock, log, onTrouble, signal } = this.#options;
    const waitMs = backoff.next();
    const reason = error instanceof Error ? error.message : String(error);
    if (error instanceof SilentConnectionError) this.#silences += 1;
    onTrouble(`${reason} (${hint})`);
    log.warn(
      { err: error, waitMs, position: formatHlc(this.#resolved) },
      'The changefeed was lost and is opened again from its last resolved mark',
    );
    await clock.sleep(waitMs, signal).catch(() => undefined);
  }

  /** One connection, from the last mark to its end. Resolves when the feed is to be opened again at once. */
  async #followUntilEnd(): Promise<void> {
    const options = this.#options;
    this.#buffer.clear();
    await this.#tables.lookAtUnread(formatHlc(this.#resolved));
    const names = this.#tables.all.filter((table) => !this.#emptied.has(table)).map((table) => table.name);
    if (names.length === 0) return this.#resolveTo([...this.#emptied.values()].reduce(later));
    const sql = changefeedSql(this.#form, names, formatHlc(this.#resolved));
    // A long history is searched in silence at first: each silent end allows the next attempt twice the time.
    const feed = await openChangefeed(sql, { ...options, silenceMs: options.silenceMs * 2 ** this.#silences });
    this.#feed = feed;
    try {
      await this.#read(feed);
    } finally {
      this.#feed = null;
      feed.destroy();
    }
  }

  async #read(feed: ChangefeedConnection): Promise<void> {
    const { channel, signal } = this.#options;
    for (;;) {
      const messages = await feed.query.take();
      if (messages === null) throw new Error('Connection terminated: the server ended the changefeed');
      for (const message of messages) {
        if (message.key === null) {
          const mark = parseHlc(JSON.parse(objectMembers(message.value).get('resolved') ?? '""') as string);
          if (mark <= this.#resolved) continue;
          const waiting = this.#emptied.size > 0;
          this.#resolveTo(mark);
          if (waiting && this.#emptied.size === 0) return;
        } else {
          await this.#row(message);
        }
        if (channel.full) await channel.room();
        if (signal.aborted) return;
      }
      // With room for nothing: what came together goes out together.
      this.#spill();
    }
  }

  async #row(message: ChangefeedMessage): Promise<void> {
    const row = await this.#tables.read(message, this.#resolved);
    if (row === null) return;
    this.#buffer.add(row.table, message.key as string, row.key, row.updated, row.after, message.bytes);
    if (this.#options.maxBufferedBytes > 0) this.#spill();
  }

  #spill(): void {
    if (this.#buffer.overfull) this.#pushRows(this.#buffer.spill());
  }

  #reshaped(name: TableName, columns: readonly string[]): void {
    const { channel, log } = this.#options;
    log.warn({ table: displayName(name), columns }, `Columns of ${displayName(name)} changed on the secondary`);
    channel.push({ kind: 'schema-changed', table: name, change: 'columns', compare: false, columns }, 1000);
  }

  /**
   * The feed goes on from the mark right before the change, and gives all rows of the table once in the new shape. Should
   * a server end there at once again, it goes on from the change itself.
   */
  async #columnsChanged(at: string): Promise<void> {
    await this.#tables.look(
      this.#tables.all.filter((table) => !this.#emptied.has(table)),
      at,
    );
    if (at === this.#boundary && parseHlc(at) > this.#resolved) this.#resolveTo(parseHlc(at));
    this.#boundary = at;
  }

  async #truncated(name: string): Promise<void> {
    const table = this.#tables.get(name);
    if (!table) throw new SchemaChangedError(`A followed table was truncated under another name, ${name}.`);
    this.#options.log.warn(
      { table: displayName(table.name) },
      `${displayName(table.name)} was truncated on the secondary; it is to be compared as a whole`,
    );
    this.#emptied.set(table, parseHlc(await readHlc(this.#options.connection)));
  }

  /** Everything up to the mark has come. While a truncated table is out of the feed the mark is kept back. */
  #resolveTo(mark: Hlc): void {
    const { backoff, channel, onResolved, onTrouble } = this.#options;
    this.#resolved = mark;
    this.#silences = 0;
    this.#pushRows(this.#buffer.resolve(mark));
    if (backoff.attempt > 0) {
      backoff.reset();
      onTrouble(null);
    }
    if ([...this.#emptied.values()].some((since) => since > mark)) return;
    for (const { name } of this.#emptied.keys())
      channel.push({ kind: 'schema-changed', table: name, change: 'truncated', compare: true, columns: [] }, 1000);
    this.#emptied.clear();
    onResolved(mark);
  }

  #pushRows(rows: readonly ChangedRow[]): void {
    for (let i = 0; i < rows.length; i += MAX_EVENT_ROWS) {
      const slice = rows.slice(i, i + MAX_EVENT_ROWS);
      this.#options.channel.push(
        { kind: 'changes', rows: slice, xid: null },
        slice.reduce((sum, row) => sum + rowBytes(row), 0),
      );
    }
  }
}

/** Estimate of the memory that a row holds. */
function rowBytes({ key, after }: ChangedRow): number {
  let bytes = 400;
  for (const values of after === 'touched' ? [key] : [key, after ?? {}]) {
    for (const value of Object.values(values)) bytes += 40 + (value?.length ?? 0);
  }
  return bytes;
}
