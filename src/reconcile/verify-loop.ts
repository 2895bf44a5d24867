/** Verifies tables when somebody orders it, and on the schedule; one at a time, for as long as a session lasts. */
import { displayName, type TableName } from '../core/ident.js';
import type { Log } from '../core/log.js';
import { classify } from '../core/policy.js';
import type { TableEntry } from '../pipeline/registry.js';
import { secondaryIsActive } from './active.js';
import { Differences, isEqual, type VerifyOutcome } from './outcome.js';
import type { ReconcilerParts, ReconcileSession } from './parts.js';
import type { ReconcileState, VerifyOrder } from './state.js';
import { untilDue } from './sweep-window.js';
import { type VerifyParts, verifyTable } from './verify-table.js';

const RETRY_MS = 10_000;
const POLL_MS = 1000;
const LOADED_POLL_MS = 100;
const LONGEST_SLEEP_MS = 3_600_000;

export class VerifyLoop {
  readonly #parts: ReconcilerParts;
  readonly #state: ReconcileState;
  #woken = new AbortController();

  constructor(parts: ReconcilerParts, state: ReconcileState) {
    this.#parts = parts;
    this.#state = state;
  }

  /** Orders have come. */
  wake(): void {
    this.#woken.abort(new Error('There is something to do'));
  }

  /** Runs until `signal` is aborted; rejects with its reason. */
  async run(session: ReconcileSession, signal: AbortSignal): Promise<never> {
    const { clock, log } = this.#parts;
    for (;;) {
      this.#woken = new AbortController();
      try {
        const due = this.#next(session);
        if (due) await this.#state.during(() => this.#verify(session, due.entry, due.order, signal));
        else await this.#sleep(session, signal);
      } catch (error) {
        signal.throwIfAborted();
        log.warn({ err: error }, 'Verify was interrupted; it is tried again');
        await clock.sleep(RETRY_MS, signal);
      }
    }
  }

  #next(session: ReconcileSession): { entry: TableEntry; order: VerifyOrder | null } | null {
    const entries = this.#parts.registry.all();
    for (const entry of entries) {
      const order = this.#state.orderFor(entry);
      // A table that is being loaded is verified when it streams.
      if (order && (entry.state === 'streaming' || entry.state === 'paused')) return { entry, order };
    }
    if (!session.caughtUp()) return null;
    const due = entries.find((entry) => entry.state === 'streaming' && this.#dueInMs(entry) <= 0);
    return due ? { entry: due, order: null } : null;
  }

  /** Until the schedule wants the table verified; never verified means now. */
  #dueInMs(entry: TableEntry): number {
    const { pace, verifyIntervalMs = 0 } = this.#parts.schedule ?? {};
    const interval = verifyIntervalMs * (pace?.() ?? 1);
    if (interval === 0) return Number.POSITIVE_INFINITY;
    const last = this.#state.lastVerify(entry);
    return last ? untilDue(last.at, interval, this.#parts.clock.now()) : 0;
  }

  async #sleep(session: ReconcileSession, signal: AbortSignal): Promise<void> {
    const entries = this.#parts.registry.all();
    const dueMs = Math.min(LONGEST_SLEEP_MS, ...entries.map((entry) => this.#dueInMs(entry)));
    const waiting = this.#state.hasOrders || !session.caughtUp() || dueMs <= 0;
    await this.#parts.clock
      .sleep(waiting ? POLL_MS : Math.max(POLL_MS, dueMs), AbortSignal.any([signal, this.#woken.signal]))
      .catch(() => signal.throwIfAborted());
  }

  async #verify(
    session: ReconcileSession,
    entry: TableEntry,
    order: VerifyOrder | null,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock, link, log, orderDone, stream } = this.#parts;
    let outcome: VerifyOutcome;
    if (await secondaryIsActive(link, stream)) {
      if (!order) return clock.sleep(RETRY_MS, signal);
      outcome = this.#notPossible(entry, 'the secondary is the active database');
    } else outcome = await this.#attempt(session, entry, order?.repair ?? false, signal);
    await this.#state.verified(outcome, order?.id ?? outcome.at);
    report(log, outcome);
    if (!order) return;
    await orderDone(entry, order);
    this.#state.forgetOrder(entry, order);
  }

  /** What will not pass by itself is an outcome too: whoever waits for it must be told. */
  async #attempt(
    session: ReconcileSession,
    entry: TableEntry,
    repair: boolean,
    signal: AbortSignal,
  ): Promise<VerifyOutcome> {
    try {
      return await verifyTable(this.#verifyParts(session, signal), entry, repair);
    } catch (error) {
      signal.throwIfAborted();
      if (entry.state === 'paused') return this.#notPossible(entry, `paused: ${entry.reason}`);
      if (['retry', 'reread-checkpoint'].includes(classify(error).action)) throw error;
      return this.#notPossible(entry, error instanceof Error ? error.message : String(error));
    }
  }

  #notPossible(table: TableName, why: string): VerifyOutcome {
    const found = new Differences(table, this.#parts.clock.now());
    found.skipped = why;
    return found.outcome(0);
  }

  #verifyParts(session: ReconcileSession, signal: AbortSignal): VerifyParts {
    const { clock, compared, connectReader, link, resync, source } = this.#parts;
    return {
      ...{ board: session.board, clock, compared, connectReader, link, signal, source },
      repair: (entry, keys) => session.repair(entry, keys),
      resync: async (entry) => {
        await resync(entry);
        while (entry.state !== 'streaming' && entry.state !== 'paused') await clock.sleep(LOADED_POLL_MS, signal);
      },
    };
  }
}

function report(log: Log, outcome: VerifyOutcome): void {
  const { keys: _, ...details } = outcome;
  const { different, extra, missing, repaired, rows, skipped, unsettled } = outcome;
  const name = displayName(outcome);
  if (skipped !== null) log.warn(details, `Verify of ${name} was not possible: ${skipped}`);
  else if (missing + extra + different + unsettled === 0) log.info(details, `Verified ${name}: ${rows} rows are equal`);
  else {
    const rest = unsettled > 0 ? `, ${unsettled} that changed at every look` : '';
    const remedy = isEqual(outcome) ? '' : `; db:verify -- --repair --table ${name} mends them`;
    log.warn(
      details,
      `Verified ${name}: ${missing} rows missing, ${extra} extra, ${different} different${rest}; ${repaired} repaired${remedy}`,
    );
  }
}
