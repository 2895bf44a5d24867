/** What sweeps and verifies have found so far, in memory and on the secondary, and what standing orders there are. */
import { type TableName, tableKey } from '../core/ident.js';
import type { SweepResult, TableStatus } from '../core/status.js';
import type { VerifyOutcome } from './outcome.js';
import { type ResultsStore, type StoredSweep, type StoredVerify, verifyResult } from './results-store.js';
import type { SweepRun } from './sweep-run.js';

export interface VerifyOrder {
  readonly id: string;
  readonly repair: boolean;
}

export class ReconcileState {
  readonly results: ResultsStore;
  readonly #drift = new Map<string, number>();
  readonly #orders = new Map<string, VerifyOrder>();
  #sweeps = new Map<string, StoredSweep>();
  #verifies = new Map<string, StoredVerify>();
  #lastSyncAt: string | null = null;
  #working = 0;

  constructor(results: ResultsStore) {
    this.results = results;
  }

  /** When the last sweep over all tables began; null before the first. */
  get lastSyncAt(): string | null {
    return this.#lastSyncAt;
  }

  /** A sweep or a verify is under way. */
  get busy(): boolean {
    return this.#working > 0;
  }

  async during<T>(work: () => Promise<T>): Promise<T> {
    this.#working += 1;
    try {
      return await work();
    } finally {
      this.#working -= 1;
    }
  }

  get sweeps(): ReadonlyMap<string, StoredSweep> {
    return this.#sweeps;
  }

  /** Takes over what is stored. */
  async load(): Promise<void> {
    this.#sweeps = await this.results.sweeps();
    this.#verifies = await this.results.verifies();
    const times = [...this.#sweeps.values()].map(({ at }) => at).sort();
    this.#lastSyncAt = times.at(-1) ?? null;
  }

  /** To be shown beside a table's state. */
  statusOf(table: TableName): Pick<TableStatus, 'drift' | 'lastSweep' | 'lastVerify'> {
    const sweep = this.#sweeps.get(tableKey(table));
    const verify = this.#verifies.get(tableKey(table));
    return {
      drift: this.#drift.get(tableKey(table)) ?? 0,
      ...(sweep ? { lastSweep: sweepResult(sweep) } : {}),
      ...(verify ? { lastVerify: verifyResult(verify) } : {}),
    };
  }

  lastVerify(table: TableName): StoredVerify | undefined {
    return this.#verifies.get(tableKey(table));
  }

  swept({ at, sweeps }: SweepRun): void {
    for (const sweep of sweeps) {
      this.#sweeps.set(tableKey(sweep), sweep);
      this.#drifted(sweep, sweep.repaired);
    }
    this.#lastSyncAt = at;
  }

  async verified(outcome: VerifyOutcome, runId: string): Promise<void> {
    await this.results.storeVerify(outcome, runId);
    this.#verifies.set(tableKey(outcome), { ...outcome, runId });
    this.#drifted(outcome, outcome.missing + outcome.extra + outcome.different);
  }

  get hasOrders(): boolean {
    return this.#orders.size > 0;
  }

  orderFor(table: TableName): VerifyOrder | undefined {
    return this.#orders.get(tableKey(table));
  }

  /** The orders that stand on the secondary: those that were carried out, by whomever, are gone from there. */
  setOrders(orders: readonly (TableName & { readonly order: VerifyOrder })[]): void {
    this.#orders.clear();
    for (const { order, ...table } of orders) this.#orders.set(tableKey(table), order);
  }

  /** Unless another one has come meanwhile. */
  forgetOrder(table: TableName, order: VerifyOrder): void {
    if (this.orderFor(table)?.id === order.id) this.#orders.delete(tableKey(table));
  }

  #drifted(table: TableName, rows: number): void {
    if (rows > 0) this.#drift.set(tableKey(table), (this.#drift.get(tableKey(table)) ?? 0) + rows);
  }
}

function sweepResult({ at, compared, coveredBy, newerOnSecondary, repaired }: StoredSweep): SweepResult {
  return { at, compared, coveredBy, newerOnSecondary, repaired };
}
