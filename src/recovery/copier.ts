/**
 * Copies what the journal holds to the primary, continuously while the secondary is in use, and to the end once it is
 * fenced. Whole tables that were marked are compared first: that turns a mark into keys.
 */
import type { TargetSession } from '../apply/target-session.js';
import type { Clock } from '../core/clock.js';
import { displayName, tableKey } from '../core/ident.js';
import type { Log } from '../core/log.js';
import type { Link } from '../meta/target-link.js';
import { syncBag } from './bags.js';
import { type CompareSides, differingKeys } from './compare.js';
import type { CopyContext } from './copy-context.js';
import { copyRows } from './copy-rows.js';
import { type JournalRow, type TouchedKey, touchedId } from './journal.js';
import type { CrashPoint } from './options.js';
import { ColumnsMissingError, CopyDiffersError, CopyRefusedError } from './recovery-errors.js';
import { isKept } from './settle-table.js';
import { type RecoveryTable, rowName } from './tables.js';
import { differingRows } from './verify-copied.js';
import type { RefusedRow } from './write-rows.js';

export interface CopierOptions extends CopyContext {
  readonly primary: TargetSession;
  readonly sides: CompareSides;
  readonly link: Link;
  readonly clock: Clock;
  readonly log: Log;
  readonly at: (point: CrashPoint) => Promise<void>;
  /** What `settled` says of a row that was decided upon since the primary was fenced. */
  readonly fence: string;
  /** Rows of stale tables are decided upon before they are copied; returns those that are to be. */
  readonly settleStale: (keys: readonly JournalRow[]) => Promise<JournalRow[]>;
  readonly settleStaleTable: (table: RecoveryTable) => Promise<void>;
}

/** Keys of one transaction: few while rows are large, so that memory stays bounded (G4). */
const FEWEST_KEYS = 20;
const MOST_KEYS = 2000;
/** To begin with, where the catalog says that rows are small. */
const FIRST_KEYS = 500;
const LARGE_BYTES = 8 << 20;
const SMALL_BYTES = 2 << 20;
/** A table that is compared as a whole, again and again while it is written: a tenth of the time at most. */
const SHARE = 10;
const MEND_ROUNDS = 3;

export class Copier {
  readonly #options: CopierOptions;
  #keys: number;
  readonly #comparedAgain = new Map<RecoveryTable, number>();

  constructor(options: CopierOptions) {
    this.#options = options;
    const widest = Math.max(1, ...options.tables.ordered.map((table) => table.averageBytes));
    this.#keys = Math.max(FEWEST_KEYS, Math.min(FIRST_KEYS, Math.floor(SMALL_BYTES / widest)));
  }

  /**
   * One pass over everything that waits. Rows that the primary refuses wait for the next.
   * @param all also the tables that were compared a moment ago
   */
  async round(signal: AbortSignal, all: boolean): Promise<RefusedRow[]> {
    await this.#marks(signal, all);
    const { journal, link } = this.#options;
    const refused: RefusedRow[] = [];
    // While the application writes, there is always more: what came after the beginning is the next pass's.
    const begunMs = this.#options.clock.now();
    let after: JournalRow | null = null;
    for (;;) {
      signal.throwIfAborted();
      const keys: JournalRow[] = await link.with((session) => journal.pending(session, after, this.#keys));
      const [first] = keys;
      if (first === undefined || (!all && first.atMs > begunMs)) return refused;
      refused.push(...(await this.#copy(keys)).slice(0, 1000));
      after = keys.at(-1) ?? null;
    }
  }

  /** The secondary is fenced, and the journal holds everything: until nothing waits, and both sides are the same. */
  async finish(signal: AbortSignal): Promise<{ compared: number; mended: number }> {
    for (const table of this.#options.tables.ordered)
      if (table.unknown.length > 0) throw new ColumnsMissingError(table, table.unknown);
    await this.#untilCopied(signal);
    let mended = 0;
    for (let round = 0; ; round++) {
      const { compared, differing } = await this.#verify(signal);
      if (differing.length === 0) return { compared, mended };
      const [first] = differing as [JournalRow];
      if (round === MEND_ROUNDS) throw new CopyDiffersError(first.table, differing.length);
      mended += differing.length;
      this.#options.log.warn(
        { rows: differing.length, first: rowName(first.table, first.rowKey) },
        `${differing.length} rows differ after the copy and are copied once more`,
      );
      await this.#untilCopied(signal);
    }
  }

  async #untilCopied(signal: AbortSignal): Promise<void> {
    for (let before = Number.POSITIVE_INFINITY; ; ) {
      const refused = await this.round(signal, true);
      const marks = await this.#options.link.with((session) => this.#options.journal.marks(session));
      if (refused.length === 0 && marks.every((mark) => mark.rowKey === '*tail')) return;
      if (refused.length === 0) continue;
      if (refused.length >= before) throw refusal(refused);
      before = refused.length;
    }
  }

  async #copy(waiting: readonly JournalRow[]): Promise<readonly RefusedRow[]> {
    const { at, clock, journal, link, primary } = this.#options;
    const keys = await this.#decided(waiting);
    const { bytes, copied, leftBehind, refused } = await copyRows(this.#options, primary, keys);
    if (bytes > LARGE_BYTES) this.#keys = Math.max(FEWEST_KEYS, this.#keys >> 1);
    else if (bytes < SMALL_BYTES) this.#keys = Math.min(MOST_KEYS, this.#keys << 1);
    await at('rows-copied');
    if (leftBehind.length > 0) {
      const atMs = clock.now();
      const again = leftBehind.map(({ rowKey, table }) => ({ table, rowKey: rowKey ?? '*changed', at: '', atMs }));
      await link.with((session) => session.run(journal.toBeCopied(unique(again))));
    }
    if (copied.length > 0) await link.with((session) => session.run(journal.copied(copied)));
    return refused;
  }

  async #decided(waiting: readonly JournalRow[]): Promise<readonly JournalRow[]> {
    const { clock, fence, journal, link, settleStale, tables } = this.#options;
    const stale = waiting.filter((row) => tables.get(row.table)?.complete === false);
    if (stale.length === 0) return waiting;
    // By its key on the secondary, which is none on the primary any more: a row can only be told by all its values.
    const nameless = stale.filter((row) => tables.get(row.table)?.key === null);
    const marks = unique(nameless.map(({ table }) => ({ table, rowKey: '*changed', at: '', atMs: clock.now() })));
    if (marks.length > 0) await link.with((session) => session.run(journal.toBeCopied(marks)));
    const undecided = stale.filter((row) => row.settled !== fence && !nameless.includes(row));
    const wanted = new Set(await settleStale(undecided));
    const kept = undecided.filter((row) => !wanted.has(row));
    if (kept.length > 0) await link.with((session) => session.run(journal.copied(kept)));
    return waiting.filter((row) => !kept.includes(row));
  }

  async #marks(signal: AbortSignal, all: boolean): Promise<void> {
    const { clock, journal, link, log, tables } = this.#options;
    const marks = (await link.with((session) => journal.marks(session))).filter((mark) => mark.rowKey !== '*tail');
    for (const name of new Set(marks.map((mark) => tableKey(mark.table)))) {
      signal.throwIfAborted();
      const ofTable = marks.filter((mark) => tableKey(mark.table) === name);
      const table = tables.get((ofTable[0] as JournalRow).table);
      if (table && !all && clock.monotonic() < (this.#comparedAgain.get(table) ?? 0)) continue;
      const started = clock.monotonic();
      if (table) await this.compareTable(table, signal);
      const took = clock.monotonic() - started;
      if (table) this.#comparedAgain.set(table, clock.monotonic() + SHARE * took);
      await link.with((session) => session.run(journal.copied(ofTable)));
      if (table)
        log.debug({ table: displayName(table), tookMs: took }, `${displayName(table)} was compared as a whole`);
    }
  }

  /** What differs is the secondary's doing: its rows go to the journal, and a table without a key is made the same at once. */
  async compareTable(table: RecoveryTable, signal: AbortSignal): Promise<void> {
    const { clock, journal, link, primary, sides } = this.#options;
    if (table.key === null) {
      await syncBag(this.#options, sides, primary, table, null);
      return;
    }
    if (!table.complete) {
      await this.#options.settleStaleTable(table);
      return;
    }
    for await (const keys of differingKeys(sides, table)) {
      signal.throwIfAborted();
      const atMs = clock.now();
      const touched = keys.map((rowKey) => ({ table, rowKey, at: '', atMs }));
      await link.with((session) => session.run(journal.toBeCopied(touched)));
    }
  }

  async #verify(signal: AbortSignal): Promise<{ compared: number; differing: JournalRow[] }> {
    const { journal, link, primary } = this.#options;
    const differing: JournalRow[] = [];
    let compared = 0;
    let after: JournalRow | null = null;
    for (;;) {
      signal.throwIfAborted();
      const keys: JournalRow[] = await link.with((session) => journal.page(session, after, MOST_KEYS));
      if (keys.length === 0) return { compared, differing };
      const shared = keys.filter((key) => !isKept(key));
      const unlike = await differingRows(this.#options, primary, shared);
      if (unlike.length > 0) await link.with((session) => session.run(journal.toBeCopied(unlike)));
      differing.push(...unlike.slice(0, MOST_KEYS));
      compared += shared.length;
      after = keys.at(-1) ?? null;
    }
  }
}

/** A statement may name a row once. */
function unique<T extends TouchedKey>(keys: readonly T[]): T[] {
  return [...new Map(keys.map((key) => [touchedId(key), key])).values()];
}

export function refusal(refused: readonly RefusedRow[]): CopyRefusedError {
  const [{ error, write }] = refused as [RefusedRow];
  const reason = error instanceof Error ? error.message : String(error);
  return new CopyRefusedError(refused.length, `${rowName(write.table, write.rowKey)} (${reason})`, error);
}
