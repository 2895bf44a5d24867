/**
 * Loads tables through the watermark path, while the stream runs: several ranges at a time, each resumable at its last
 * finished chunk. The same rounds serve re-synchronisation (with a purge of what the primary does not have) and repair.
 */
import PQueue from 'p-queue';
import type { SqlStatement } from '../apply/target-session.js';
import { crashPoint } from '../core/crash-points.js';
import { ConfigurationError } from '../core/errors.js';
import { displayName } from '../core/ident.js';
import { sqlstateOf } from '../core/policy.js';
import type { Applier } from '../pipeline/applier.js';
import { DataRefusedError } from '../pipeline/apply-errors.js';
import type { TableEntry } from '../pipeline/registry.js';
import type { SourcePool } from '../source/sql-pool.js';
import type { Chunk, Key } from './chunk-reader.js';
import { readGone, readKeys, readLines, readRange } from './chunk-reader.js';
import { chunkLimits, type LoadTable, lastKey, reconcileChunk, rowsThatFit } from './load-table.js';
import type { LoaderOptions } from './loader-options.js';
import { oldWritersGone } from './old-writers.js';
import { PURGE_RANGE, type RangeProgress } from './progress.js';
import { lastPurgeKey, nextPurgePage } from './purge.js';
import { keyRanges } from './ranges.js';
import { loadUnkeyed } from './unkeyed.js';

const ROWS_PER_RANGE = 100_000;
const MOST_RANGES = 8;
const REPAIR_KEYS = 1000;

function isOfTable(error: unknown): boolean {
  return error instanceof ConfigurationError || sqlstateOf(error)?.startsWith('42') === true;
}

/** The table was paused or removed meanwhile: its tasks end quietly. */
class LoadGivenUp extends Error {}

/** The table was made to fit the primary anew while it loaded: what was read of it is read again. */
class TableRefreshed extends Error {}

export class Loader {
  readonly #options: LoaderOptions;
  readonly #tasks: PQueue;
  readonly #active = new Set<TableEntry>();

  constructor(options: LoaderOptions) {
    this.#options = options;
    this.#tasks = new PQueue({ concurrency: options.concurrency });
  }

  get busy(): boolean {
    return this.#active.size > 0;
  }

  /** Loads a table that is pending or loading; resolves when it streams, or was paused. A second call is a no-op. */
  async load(entry: TableEntry): Promise<void> {
    if (this.#active.has(entry)) return;
    this.#active.add(entry);
    let refreshed = false;
    try {
      await this.#options.settled;
      // As few at a time as read: all tables at once would keep the stream from the catalog.
      const table = await this.#soon(() => this.#options.describe(entry));
      const started = this.#options.clock.monotonic();
      if (!(await this.#isPlanned(table))) await oldWritersGone(this.#options, table.chunk);
      if (table.binding.key === null) {
        if (!(await this.#tasks.add(() => loadUnkeyed(this.#options, table)))) throw new LoadGivenUp();
      } else await this.#loadKeyed(table);
      const seconds = (this.#options.clock.monotonic() - started) / 1000;
      this.#options.log.info(
        { table: displayName(entry), rows: entry.rowsLoaded, seconds: Math.round(seconds * 10) / 10 },
        `Table ${displayName(entry)} loaded: ${entry.rowsLoaded} rows`,
      );
    } catch (error) {
      // What this table alone lacks (a right, the table itself) would stop the others again and again.
      if (isOfTable(error)) await this.#options.onUnreadable(entry, error);
      else if (!(error instanceof LoadGivenUp || error instanceof TableRefreshed)) throw error;
      refreshed = error instanceof TableRefreshed;
    } finally {
      this.#active.delete(entry);
    }
    // Ordered again between the hand-over to the stream and here.
    if (entry.state === 'pending' || (refreshed && entry.state === 'loading')) await this.load(entry);
  }

  /** Reads keys again on the primary and makes the secondary equal for them. Resolves when done. */
  async repair(entry: TableEntry, keys: readonly Key[]): Promise<void> {
    await this.#options.settled;
    const table = await this.#describeForRepair(entry);
    if (table === null) return;
    try {
      for (let i = 0; i < keys.length; i += REPAIR_KEYS) {
        await this.#tasks.add(() => this.#keys(table, keys.slice(i, i + REPAIR_KEYS), () => []));
      }
    } catch (error) {
      if (!(error instanceof TableRefreshed)) throw error;
      await this.repair(entry, keys);
    }
  }

  /** Before the ranges that wait: what is left to be done for a table is little, and lets it stream. */
  async #soon<T>(work: () => Promise<T>): Promise<T> {
    // Without a timeout or a signal there is always a result.
    return (await this.#tasks.add(work, { priority: 1 })) as T;
  }

  /** Null when the table lacks something, and was paused for it. */
  async #describeForRepair(entry: TableEntry): Promise<LoadTable | null> {
    try {
      return await this.#soon(() => this.#options.describe(entry));
    } catch (error) {
      if (!isOfTable(error)) throw error;
      await this.#options.onUnreadable(entry, error);
      return null;
    }
  }

  /** Its ranges are stored: whoever had to be waited for has ended before that. */
  async #isPlanned({ binding, entry }: LoadTable): Promise<boolean> {
    return binding.key !== null && (await this.#options.progress.ranges(entry)).length > 0;
  }

  async #loadKeyed(table: LoadTable): Promise<void> {
    const { entry } = table;
    const { progress, source } = this.#options;
    let ranges = await progress.ranges(entry);
    if (ranges.length === 0) {
      const bounds = await this.#soon(() =>
        source.use((client) => keyRanges(client, table.chunk, table.rowEstimate, ROWS_PER_RANGE, MOST_RANGES)),
      );
      const plan = bounds.map((upper, rangeNo) => ({ rangeNo, upper }));
      if (entry.purge) plan.push({ rangeNo: PURGE_RANGE, upper: null });
      await progress.begin(entry, plan, table.rowEstimate);
      ranges = await progress.ranges(entry);
    }
    // Paused by the stream while its load began: it stays so.
    if (entry.state === 'paused') throw new LoadGivenUp();
    entry.state = 'loading';
    entry.rowsExpected = table.rowEstimate;
    entry.rowsLoaded = ranges.reduce((sum, range) => sum + range.rows, 0);
    const passes = ranges.filter((range) => range.rangeNo !== PURGE_RANGE);
    const ended = await Promise.allSettled(
      passes.map((range, i) => {
        const after = i === 0 ? null : (passes[i - 1] as RangeProgress).upper;
        return range.done ? undefined : this.#tasks.add(() => this.#range(table, range, after));
      }),
    );
    // When all have: another load of the table may follow at once.
    for (const range of ended) if (range.status === 'rejected') throw range.reason;
    const purge = ranges.find((range) => range.rangeNo === PURGE_RANGE);
    if (purge && !purge.done) await this.#tasks.add(() => this.#purge(table, purge));
    do {
      for (
        let keys = await progress.rereads(entry, REPAIR_KEYS);
        keys.length > 0;
        keys = await progress.rereads(entry, REPAIR_KEYS)
      ) {
        const batch = keys;
        await this.#tasks.add(() => this.#keys(table, batch, () => [progress.rereadDone(entry, batch)]));
      }
    } while (!(await this.#soon(() => this.#finish(table))));
  }

  async #range(table: LoadTable, range: RangeProgress, lower: Key | null): Promise<void> {
    const { progress, source } = this.#options;
    const limits = chunkLimits(table);
    let cursor = range.cursor ?? lower;
    // How wide rows are is known from those that were read: a first few, and then as many as fit.
    let rows = limits.fetch;
    await source.use(async (client) => {
      for (let done = false; !done; ) {
        const [after, most] = [cursor, { ...limits, rows }];
        const chunk = await this.#round(
          table,
          client,
          () =>
            table.binding.straight
              ? readLines(client, table.chunk, after, range.upper, most)
              : readRange(client, table.chunk, after, range.upper, limits),
          (read, written) => [
            progress.chunkDone(table.entry, range.rangeNo, lastKey(table.binding, read), written, read.complete),
          ],
        );
        cursor = lastKey(table.binding, chunk) ?? cursor;
        rows = rowsThatFit(chunk, limits) ?? rows;
        done = chunk.complete;
      }
    });
  }

  /** Pages over the secondary's own keys; those that the primary does not have are deleted. */
  async #purge(table: LoadTable, range: RangeProgress): Promise<void> {
    const { link, progress } = this.#options;
    let cursor = range.cursor;
    const end = await lastPurgeKey(link, table);
    for (let done = false; !done; ) {
      const page = end === null ? { keys: [], last: true } : await nextPurgePage(link, table, cursor, end);
      const last = page.keys.at(-1) ?? null;
      done = page.last;
      await this.#options.source.use((client) =>
        this.#round(
          table,
          client,
          () => readGone(client, table.chunk, page.keys),
          () => [progress.chunkDone(table.entry, PURGE_RANGE, last, 0, page.last)],
        ),
      );
      cursor = last;
    }
  }

  /** One round over given keys: rows that exist are written, those that do not are deleted. */
  async #keys(table: LoadTable, keys: readonly Key[], extra: () => SqlStatement[]): Promise<void> {
    await this.#options.source.use((client) =>
      this.#round(table, client, () => readKeys(client, table.chunk, keys), extra),
    );
  }

  /** Repeats a round until its chunk was good; keys that the stream knows in part only are read in rounds of their own. */
  async #round(
    table: LoadTable,
    client: Parameters<Parameters<SourcePool['use']>[0]>[0],
    read: () => Promise<Chunk>,
    extra: (chunk: Chunk, rows: number) => SqlStatement[],
  ): Promise<Chunk> {
    const { board, counters, signal } = this.#options;
    for (;;) {
      signal.throwIfAborted();
      const outcome = await board.round(client, table.chunk.oid, read, async (chunk, window, commits) => {
        if (table.entry.state === 'paused') return 'given-up' as const;
        const found = reconcileChunk(table, chunk, window, commits);
        if (found === null) return 'again' as const;
        // Progress may pass over keys that must be read once more only after they were.
        const good = found.again.length === 0;
        const refused = await this.#write(table, found.steps, good ? extra(chunk, found.rows) : []);
        if (refused) return refused;
        // Repairs of a table that streams are no part of its load.
        if (table.entry.state === 'loading') table.entry.rowsLoaded += found.rows;
        counters.chunksApplied += 1;
        return { chunk, again: found.again, rows: found.rows };
      });
      if (outcome === 'given-up') throw new LoadGivenUp();
      if (outcome === 'refreshed') throw new TableRefreshed();
      if (outcome === 'again') continue;
      if (outcome.again.length > 0) {
        await this.#round(
          table,
          client,
          () => readKeys(client, table.chunk, outcome.again),
          () => extra(outcome.chunk, outcome.rows),
        );
      }
      return outcome.chunk;
    }
  }

  async #write(
    table: LoadTable,
    steps: Parameters<Applier['applySteps']>[0],
    extra: SqlStatement[],
  ): Promise<'given-up' | 'refreshed' | null> {
    const { applier, onRefused, refresh, relabeled } = this.#options;
    try {
      crashPoint('chunk:writing');
      await applier.applySteps(steps, extra);
      crashPoint('chunk:durable');
      return null;
    } catch (error) {
      if (!(error instanceof DataRefusedError)) throw error;
      if (table.outdated() || ((await relabeled(table.entry)) && (await refresh(table.entry)))) return 'refreshed';
      await onRefused(table.entry, error);
      return 'given-up';
    }
  }

  /** Hands the table over to the stream, inside the apply loop; false when keys were noted for another read meanwhile. */
  async #finish(table: LoadTable): Promise<boolean> {
    const { board, progress, source } = this.#options;
    return source.use((client) =>
      board.round(
        client,
        0,
        async () => null,
        async () => {
          if (table.entry.state === 'paused') return true;
          if ((await progress.rereads(table.entry, 1)).length > 0) return false;
          crashPoint('load:finishing');
          await this.#write(table, [], progress.finished(table.entry, table.entry.afterLoad(), table.entry.rowsLoaded));
          crashPoint('load:finished');
          table.entry.loaded();
          return true;
        },
      ),
    );
  }
}
