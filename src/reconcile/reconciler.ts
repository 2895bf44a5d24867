/**
 * Keeps watch over what the stream might have missed, while this process leads it: a sweep every few minutes, a verify on
 * its schedule or when somebody orders one. Two loops beside the stream, neither of which can end it. Results outlive the
 * process in db_redundancy.reconcile.
 */
import type { TableName } from '../core/ident.js';
import type { ReconcilerParts, ReconcileSession } from './parts.js';
import { ResultsStore } from './results-store.js';
import { ReconcileState, type VerifyOrder } from './state.js';
import { runSweeps } from './sweep-loop.js';
import { VerifyLoop } from './verify-loop.js';

export class Reconciler {
  readonly state: ReconcileState;
  readonly #parts: ReconcilerParts;
  readonly #verifies: VerifyLoop;

  constructor(parts: ReconcilerParts) {
    this.#parts = parts;
    this.state = new ReconcileState(new ResultsStore(parts.link, parts.stream));
    this.#verifies = new VerifyLoop(parts, this.state);
  }

  /** The orders that stand, as they are stored. */
  setOrders(orders: readonly (TableName & { readonly order: VerifyOrder })[]): void {
    this.state.setOrders(orders);
    if (orders.length > 0) this.#verifies.wake();
  }

  /** Runs until the session ends; rejects with the signal's reason. */
  async run(session: ReconcileSession, signal: AbortSignal): Promise<void> {
    const { schedule } = this.#parts;
    await Promise.all([this.state.load(), session.settled]);
    const sweeps = schedule ? runSweeps(this.#parts, this.state, session, schedule, signal) : null;
    await Promise.all([this.#verifies.run(session, signal), sweeps]);
  }
}
