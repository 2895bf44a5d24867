/**
 * What the running stream knows of its tables: state, target shape and one binding per relation version. The apply loop
 * prepares relations at a barrier; folding then only looks up.
 */
import type { TargetTable } from '../apply/target-table.js';
import type { Change, Relation } from '../core/change.js';
import { displayName, type TableName, tableKey } from '../core/ident.js';
import type { TableState, TableStatus } from '../core/status.js';
import type { Binding } from './binding.js';

export class TableEntry implements TableName {
  readonly schema: string;
  readonly name: string;
  state: TableState;
  /** Why paused; null otherwise. */
  reason: string | null = null;
  /** A reload that also removes what the primary does not have. */
  purge = false;
  /** The load that is under way is to be followed by another one. */
  again = false;
  target: TargetTable | null = null;
  readonly bindings = new Map<Relation, Binding>();
  #expired = false;
  rowsApplied = 0;
  rowsLoaded = 0;
  rowsExpected: number | null = null;
  lastChangeAtMs: number | null = null;

  constructor(table: TableName, state: TableState) {
    this.schema = table.schema;
    this.name = table.name;
    this.state = state;
  }

  /**
   * The secondary's table is another one, or may be: what is known of it is read anew. From anywhere: a batch that the
   * apply loop has in its hands keeps its bindings, and the next one is bound anew.
   */
  expire(): void {
    this.target = null;
    this.#expired = true;
  }

  get expired(): boolean {
    return this.#expired;
  }

  /** Inside the apply loop, between target transactions. */
  bindAnew(): void {
    this.bindings.clear();
    this.#expired = false;
  }

  /** The state that follows a load. */
  afterLoad(): 'streaming' | 'pending' {
    return this.again ? 'pending' : 'streaming';
  }

  /** The load is over, and stored as such. */
  loaded(): void {
    this.state = this.afterLoad();
    this.purge = this.again;
    this.again = false;
  }

  status(): TableStatus {
    return {
      schema: this.schema,
      name: this.name,
      state: this.state,
      reason: this.reason,
      rowsApplied: this.rowsApplied,
      rowsLoaded: this.rowsLoaded,
      rowsExpected: this.rowsExpected,
      lastChangeAt: this.lastChangeAtMs === null ? null : new Date(this.lastChangeAtMs).toISOString(),
    };
  }
}

export class TableRegistry {
  readonly #entries = new Map<string, TableEntry>();
  /** Dead letters of the stream on the secondary. */
  deadLetters = 0;

  add(table: TableName, state: TableState): TableEntry {
    const entry = new TableEntry(table, state);
    this.#entries.set(tableKey(table), entry);
    return entry;
  }

  get(table: TableName): TableEntry | undefined {
    return this.#entries.get(tableKey(table));
  }

  remove(table: TableName): void {
    this.#entries.delete(tableKey(table));
  }

  all(): readonly TableEntry[] {
    return [...this.#entries.values()];
  }

  /** The tables' states and the dead letters as they are now; called, the answer puts them back: the transaction was not kept. */
  remember(): () => void {
    const { deadLetters } = this;
    const states = this.all().map((entry) => ({ entry, state: entry.state, reason: entry.reason }));
    return () => {
      for (const { entry, reason, state } of states) Object.assign(entry, { state, reason });
      this.deadLetters = deadLetters;
    };
  }

  /** Of these changes, how many are counted only, because their table is paused or waits for its load. */
  countSkipped(changes: readonly Change[]): number {
    if (this.all().every((entry) => entry.state === 'streaming')) return 0;
    const skipped = (relation: Relation) => this.lookup(relation) === null;
    return changes.filter((change) =>
      change.kind === 'truncate' ? change.relations.every(skipped) : skipped(change.relation),
    ).length;
  }

  isPrepared(relation: Relation): boolean {
    const entry = this.get(relation);
    return entry !== undefined && (entry.state === 'paused' || (!entry.expired && entry.bindings.has(relation)));
  }

  /**
   * Null for a table whose changes are counted and not applied: a paused one, and one without a key before its load
   * (which is one snapshot, and takes over at an exact position).
   */
  lookup(relation: Relation): Binding | null {
    const entry = this.get(relation);
    if (!entry || entry.state === 'paused') return null;
    const binding = entry.bindings.get(relation);
    if (!binding) throw new RangeError(`${displayName(relation)} was not prepared before its changes were folded.`);
    return binding.key === null && entry.state !== 'streaming' ? null : binding;
  }
}
