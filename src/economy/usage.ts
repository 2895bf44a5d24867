/**
 * Counts what this process costs both providers, adds it to what the secondary remembers of the month, and says when a
 * budget will not last. An estimate: it errs to the high side, and knows nothing of the application's own work.
 */
import type { Clock } from '../core/clock.js';
import { type BudgetView, UNIT_CLASSES, type UnitClass } from '../core/economy.js';
import type { Log } from '../core/log.js';
import type { StreamSnapshot } from '../core/status.js';
import { line, monthOf } from './projection.js';
import { classOf, UNITS, unitsOfRows } from './request-units.js';

/** What a month has cost by name: the classes of units, and `awake-seconds`. */
export interface StoredUsage {
  readonly amounts: ReadonlyMap<string, number>;
  readonly sinceMs: number;
}

export interface UsageStore {
  read(month: string): Promise<StoredUsage | null>;
  /** Adds, and gives the sums of all processes of what was added to. */
  add(month: string, amounts: ReadonlyMap<string, number>, sinceMs: number): Promise<StoredUsage>;
}

export interface Budgets {
  readonly requestUnits: number;
  readonly computeHours: number;
}

export interface UsageOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly store: UsageStore;
  readonly budgets: Budgets;
  /** Whether the primary's compute is kept awake now, by anybody; null where this process does not see it. */
  readonly awake: (() => boolean) | null;
  readonly snapshot: () => StreamSnapshot | null;
}

const AWAKE = 'awake-seconds';
/** Neon's smallest compute. */
const COMPUTE_UNITS = 0.25;
/** It sleeps so long after the last use. */
const SUSPEND_MS = 300_000;
const SAMPLE_MS = 10_000;
const STORE_MS = 300_000;
/** So much more seldom come sweep and verify above a budget. */
const SLOWER = 4;

interface Seen {
  rows: number;
  bytes: number;
  loaded: number;
  readonly swept: Map<string, string>;
  readonly verified: Map<string, string>;
}

export class Usage {
  readonly #options: UsageOptions;
  readonly #pending = new Map<string, number>();
  #stored: StoredUsage | null = null;
  #month: string;
  #sinceMs: number;
  #sampledMs: number;
  /** Monotonic; when the compute will have been left alone for long enough. */
  #awakeUntilMs = Number.NEGATIVE_INFINITY;
  #seen: Seen | null = null;
  #slowed = false;

  constructor(options: UsageOptions) {
    this.#options = options;
    this.#sinceMs = options.clock.now();
    this.#month = monthOf(this.#sinceMs);
    this.#sampledMs = options.clock.monotonic();
  }

  /** A statement was sent to the secondary. */
  statement(text: string): void {
    const kind = classOf(text);
    this.#add(kind, UNITS[kind]);
  }

  /** How many times as seldom sweep and verify come now. */
  get pace(): number {
    return this.#slowed ? SLOWER : 1;
  }

  view(): BudgetView {
    const { awake, budgets, clock } = this.#options;
    const now = clock.now();
    const sinceMs = this.#stored?.sinceMs ?? this.#sinceMs;
    const of = (what: string) => (this.#stored?.amounts.get(what) ?? 0) + (this.#pending.get(what) ?? 0);
    const byClass = Object.fromEntries(UNIT_CLASSES.map((each) => [each, Math.round(of(each))]));
    const used = UNIT_CLASSES.reduce((sum, each) => sum + of(each), 0);
    const awakeHours = of(AWAKE) / 3600;
    return {
      month: this.#month,
      since: new Date(sinceMs).toISOString(),
      requestUnits: { ...line({ used, once: of('load'), sinceMs }, budgets.requestUnits, now), byClass },
      computeHours: awake && {
        ...line({ used: awakeHours * COMPUTE_UNITS, once: 0, sinceMs }, budgets.computeHours, now),
        awakeHours,
      },
      slowed: this.#slowed,
    };
  }

  /** Takes over what is stored of the month. @returns false when there is nothing */
  async load(): Promise<boolean> {
    this.#stored = await this.#options.store.read(this.#month);
    return this.#stored !== null;
  }

  /** Runs until `signal` is aborted. What was counted since it was last stored, five minutes at most, is forgotten then. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log, store } = this.#options;
    let storedMs = Number.NEGATIVE_INFINITY;
    let read = false;
    while (!signal.aborted) {
      await clock.sleep(SAMPLE_MS, signal).catch(() => undefined);
      this.sample();
      this.#judge();
      if (clock.monotonic() - storedMs < STORE_MS && !signal.aborted) continue;
      storedMs = clock.monotonic();
      try {
        if (!read) await this.load();
        read = true;
        await this.#store(store);
      } catch (error) {
        log.debug({ err: error }, 'The usage of the month was not stored');
      }
    }
  }

  /** Counts what has happened since the last time. */
  sample(): void {
    const { awake, clock, snapshot } = this.#options;
    this.#turnMonth();
    const now = clock.monotonic();
    if (awake) {
      const from = this.#sampledMs;
      if (awake()) this.#awakeUntilMs = now + SUSPEND_MS;
      this.#add(AWAKE, Math.max(0, Math.min(now, this.#awakeUntilMs) - from) / 1000);
    }
    this.#sampledMs = now;
    const stream = snapshot();
    if (stream) this.#rows(stream);
  }

  #rows({ counters, tables }: StreamSnapshot): void {
    const loaded = tables.reduce((sum, table) => sum + table.rowsLoaded, 0);
    const seen = this.#seen;
    if (seen === null) {
      // What a former process has found is no work of this one.
      this.#seen = { rows: 0, bytes: 0, loaded, swept: new Map(), verified: new Map() };
      for (const { lastSweep, lastVerify, ...table } of tables) this.#news(this.#seen, table, lastSweep, lastVerify);
      return;
    }
    const rows = counters.rowsApplied - seen.rows;
    this.#add('change', unitsOfRows(rows, rows === 0 ? 0 : counters.bytesReceived - seen.bytes));
    if (loaded > seen.loaded) this.#add('load', unitsOfRows(loaded - seen.loaded, 0));
    Object.assign(seen, { rows: counters.rowsApplied, bytes: counters.bytesReceived, loaded });
    for (const { lastSweep, lastVerify, ...table } of tables) {
      const news = this.#news(seen, table, lastSweep, lastVerify);
      this.#add('sweep', news.swept * UNITS.sweep);
      this.#add('verify', news.verified * UNITS.verify);
    }
  }

  #news(
    { swept, verified }: Seen,
    { name, schema }: { readonly schema: string; readonly name: string },
    sweep: { readonly at: string; readonly compared: number } | undefined,
    verify: { readonly runId: string; readonly rows: number } | undefined,
  ): { swept: number; verified: number } {
    const key = JSON.stringify([schema, name]);
    const news = {
      swept: sweep && swept.get(key) !== sweep.at ? sweep.compared : 0,
      verified: verify && verified.get(key) !== verify.runId ? verify.rows : 0,
    };
    if (sweep) swept.set(key, sweep.at);
    if (verify) verified.set(key, verify.runId);
    return news;
  }

  #turnMonth(): void {
    const now = this.#options.clock.now();
    if (monthOf(now) === this.#month) return;
    this.#month = monthOf(now);
    this.#sinceMs = now;
    this.#stored = null;
    this.#pending.clear();
  }

  #judge(): void {
    const { log } = this.#options;
    const { computeHours, requestUnits } = this.view();
    const slowed = requestUnits.exceeded || computeHours?.exceeded === true;
    if (slowed === this.#slowed) return;
    this.#slowed = slowed;
    const details = { requestUnits, computeHours };
    if (slowed)
      log.warn(
        details,
        `The month's projection exceeds ${which(requestUnits.exceeded)}: sweep and verify come ${SLOWER} times as seldom`,
      );
    else
      log.info(
        details,
        "The month's projection is within the budgets again: sweep and verify come as often as configured",
      );
  }

  async #store(store: UsageStore): Promise<void> {
    const month = this.#month;
    const amounts = new Map([...this.#pending].filter(([, amount]) => amount > 0));
    if (amounts.size === 0) return;
    const sums = await store.add(month, amounts, this.#sinceMs);
    if (month !== this.#month) return;
    for (const [what, amount] of amounts) this.#pending.set(what, (this.#pending.get(what) ?? 0) - amount);
    const before = this.#stored;
    this.#stored = {
      amounts: new Map([...(before?.amounts ?? []), ...sums.amounts]),
      sinceMs: Math.min(sums.sinceMs, before?.sinceMs ?? sums.sinceMs),
    };
  }

  #add(what: UnitClass | typeof AWAKE, amount: number): void {
    if (amount > 0) this.#pending.set(what, (this.#pending.get(what) ?? 0) + amount);
  }
}

function which(units: boolean): string {
  return units ? 'DB_MONTHLY_RU_BUDGET' : 'DB_MONTHLY_COMPUTE_HOURS';
}
