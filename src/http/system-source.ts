/** Puts together what the dashboard shows, from the parts that run in this process. */
import type { BudgetLine, EconomyView } from '../core/economy.js';
import { economyWords } from '../core/economy-words.js';
import type { ControllerSnapshot, ReplicationGap, SideHealth } from '../core/failover.js';
import type { StreamSnapshot, TableStatus } from '../core/status.js';
import type { ControllerView, LagHistory, StreamView, SystemSettings, SystemView } from '../core/system.js';
import { systemWords } from '../core/system-words.js';
import { LagRing } from './lag-history.js';

export interface SystemParts {
  /** Of the stream. */
  readonly name: string;
  readonly settings: SystemSettings;
  readonly controller: {
    snapshot(): ControllerSnapshot;
    replication(): Promise<ReplicationGap | null>;
  } | null;
  readonly routers?: () => number;
  /** The stream of this process; null where it runs elsewhere. */
  readonly stream: { snapshot(): StreamSnapshot } | null;
  /** Where the stream runs elsewhere: what it has stored. Orders for it are taken here all the same, and left there. */
  readonly storedTables?: () => Promise<readonly TableStatus[]>;
  /** True when a control token is set. */
  readonly control: boolean;
  /** Errors of drivers may show a connection string. */
  readonly redact: (text: string) => string;
  readonly economy?: () => EconomyView;
  readonly now?: () => number;
}

export const LOOK_MS = 1000;
/** What costs a query is asked for at these distances: while somebody watches, and else. */
const WATCHED_MS = 5000;
const UNWATCHED_MS = 120_000;

export class SystemSource implements Disposable {
  readonly #parts: SystemParts;
  readonly #now: () => number;
  readonly #ring = new LagRing();
  readonly #timer: NodeJS.Timeout;
  #watchers = 0;
  #askedMs = Number.NEGATIVE_INFINITY;
  /** A question to a database that is away waits for it: one is enough. */
  #asking = false;
  #elsewhere: { lag: SystemView['lag']; tables: readonly TableStatus[] } = { lag: null, tables: [] };

  constructor(parts: SystemParts) {
    this.#parts = parts;
    this.#now = parts.now ?? Date.now;
    this.#timer = setInterval(() => this.look(), LOOK_MS);
    this.#timer.unref();
    this.look();
  }

  /** Takes no more samples. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  get watchers(): number {
    return this.#watchers;
  }

  /** Somebody looks from now on, until the function that comes back is called. */
  watch(): () => void {
    this.#watchers += 1;
    return () => {
      this.#watchers -= 1;
    };
  }

  /** Takes a sample of the lag. */
  look(): void {
    const snapshot = this.#parts.stream?.snapshot() ?? null;
    this.#ring.note(this.#now(), this.#lag(snapshot));
    if (leads(snapshot)) return;
    const now = this.#now();
    if (this.#asking || now - this.#askedMs < (this.#watchers > 0 ? WATCHED_MS : UNWATCHED_MS)) return;
    this.#askedMs = now;
    this.#asking = true;
    // Answers that fail leave the lag unknown.
    void this.#ask()
      .catch(() => {
        this.#elsewhere = { ...this.#elsewhere, lag: null };
      })
      .finally(() => {
        this.#asking = false;
      });
  }

  lagHistory(): LagHistory {
    return this.#ring.history(this.#now());
  }

  view(): SystemView {
    const { control, economy, name, settings, stream } = this.#parts;
    const snapshot = stream?.snapshot() ?? null;
    const seen = economy ? rounded(economy()) : null;
    const controller = this.#controllerView();
    const streamed = snapshot && this.#streamView(snapshot);
    const tables = this.tables();
    const count = (state: string) => tables.filter((table) => table.state === state).length;
    return {
      name,
      words: systemWords(controller, streamed, settings, seen?.rest?.mode === 'resting'),
      controller,
      stream: streamed,
      lag: this.#lag(snapshot),
      tables: { total: tables.length, streaming: count('streaming'), paused: count('paused') },
      settings,
      economy: seen && { ...seen, words: economyWords(seen), rested: economyWords({ ...seen, budget: null }) },
      can: {
        control,
        failover: controller !== null,
        reconcile: stream !== null || this.#parts.storedTables !== undefined,
      },
    };
  }

  tables(): readonly TableStatus[] {
    const { redact, stream } = this.#parts;
    const tables = stream?.snapshot().tables ?? this.#elsewhere.tables;
    return tables.map((table) => (table.reason === null ? table : { ...table, reason: redact(table.reason) }));
  }

  #lag(snapshot: StreamSnapshot | null): SystemView['lag'] {
    if (!leads(snapshot)) return this.#elsewhere.lag;
    // What a fenced stream does not apply is no lag: the primary is not the database that counts.
    if (snapshot.status === 'fenced') return null;
    return { seconds: snapshot.lagSeconds, bytes: snapshot.lagBytes };
  }

  async #ask(): Promise<void> {
    const { controller, storedTables } = this.#parts;
    const [gap, tables] = await Promise.all([
      controller?.replication() ?? null,
      this.#watchers > 0 ? storedTables?.() : undefined,
    ]);
    const lag =
      gap && controller?.snapshot().active === 'primary' ? { seconds: gap.lagSeconds, bytes: gap.lagBytes } : null;
    this.#elsewhere = { lag, tables: tables ?? this.#elsewhere.tables };
  }

  #controllerView(): ControllerView | null {
    const { controller, redact, routers } = this.#parts;
    if (controller === null) return null;
    const { active, alerts, epoch, leads: leading, paused, primary, route, secondary, state } = controller.snapshot();
    const side = (health: SideHealth) => ({ ...health, error: health.error === null ? null : redact(health.error) });
    return {
      ...{
        leads: leading,
        state: epoch > 0 ? state : ('STARTING' as const),
        epoch,
        active,
        paused,
        since: route?.since ?? null,
      },
      ...{ primary: side(primary), secondary: side(secondary), alerts: alerts.map(redact), routers: routers?.() ?? 0 },
    };
  }

  #streamView(snapshot: StreamSnapshot): StreamView {
    const { appliedLsn, counters, deadLetters, detail, dropped, lagBytes, lagSeconds, lastSync, slot, status } =
      snapshot;
    return {
      ...{ status, detail: detail === null ? null : this.#parts.redact(detail), lagSeconds, lagBytes, appliedLsn },
      lastAppliedCommitAt: snapshot.lastAppliedCommitAt,
      rowsApplied: counters.rowsApplied,
      transactionsApplied: counters.transactionsApplied,
      // Without the age of the reading, which changes when nothing does.
      slot: slot && {
        ...{ name: slot.name, active: slot.active, walStatus: slot.walStatus, retainedBytes: slot.retainedBytes },
      },
      ...{ deadLetters, dropped, lastSync: lastSync ?? null },
    };
  }
}

/** Without what moves all the time: each change is sent to everybody who watches. */
function rounded({ budget, neon, rest }: EconomyView): EconomyView {
  const coarse = <T extends BudgetLine>(line: T, digits: number): T => ({
    ...line,
    used: Number(line.used.toPrecision(digits)),
    projected: line.projected === null ? null : Number(line.projected.toPrecision(digits)),
  });
  return {
    rest: rest && { ...rest, restedSeconds: Math.round(rest.restedSeconds / 60) * 60 },
    neon: neon && { ...neon, checkedAt: null },
    budget: budget && {
      ...budget,
      requestUnits: { ...coarse(budget.requestUnits, 3), byClass: {} },
      computeHours: budget.computeHours && {
        ...coarse(budget.computeHours, 3),
        awakeHours: Number(budget.computeHours.awakeHours.toPrecision(3)),
      },
    },
  };
}

/** A stream that stands by has no numbers of its own. */
function leads(snapshot: StreamSnapshot | null): snapshot is StreamSnapshot {
  return snapshot !== null && snapshot.status !== 'standby';
}
