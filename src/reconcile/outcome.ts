/** What a verify or a sweep found in one table, as it is reported and stored. */
import type { TableName } from '../core/ident.js';
import type { Key } from '../snapshot/chunk-reader.js';

export type DifferenceKind = 'missing' | 'extra' | 'different';

export interface VerifyOutcome extends TableName {
  readonly at: string;
  readonly seconds: number;
  /** Rows of the primary. */
  readonly rows: number;
  /** On the primary only; on the secondary only; on both with different values. Copies, for a table without a key. */
  readonly missing: number;
  readonly extra: number;
  readonly different: number;
  /** Of these, mended by this run. */
  readonly repaired: number;
  /** Rows that changed at every look, so that nothing could be said. */
  readonly unsettled: number;
  /** Why the table was not compared; null when it was. */
  readonly skipped: string | null;
  /** Columns that are not compared, and why. */
  readonly notCompared: readonly string[];
  /** Keys by kind, as the side that has the row prints them; the first thousand of each. */
  readonly keys: Readonly<Record<DifferenceKind, readonly Key[]>>;
}

const MOST_NAMED = 1000;

/** True when the table was compared, and every row is equal now. */
export function isEqual(outcome: VerifyOutcome): boolean {
  const { different, extra, missing, repaired, skipped, unsettled } = outcome;
  return skipped === null && unsettled === 0 && missing + extra + different === repaired;
}

export class Differences {
  rows = 0;
  repaired = 0;
  skipped: string | null = null;
  readonly notCompared: string[] = [];
  readonly #table: TableName;
  readonly #atMs: number;
  readonly #counts: Record<DifferenceKind, number> = { missing: 0, extra: 0, different: 0 };
  readonly #keys: Record<DifferenceKind, Key[]> = { missing: [], extra: [], different: [] };
  #unsettled = 0;

  constructor(table: TableName, atMs: number) {
    this.#table = { schema: table.schema, name: table.name };
    this.#atMs = atMs;
  }

  get total(): number {
    return this.#counts.missing + this.#counts.extra + this.#counts.different;
  }

  get remaining(): number {
    return this.total - this.repaired;
  }

  count(kind: DifferenceKind): void {
    this.#counts[kind] += 1;
  }

  /** Counts a row by its key, which is returned. */
  name(kind: DifferenceKind, key: Key): Key {
    this.count(kind);
    if (this.#keys[kind].length < MOST_NAMED) this.#keys[kind].push(key);
    return key;
  }

  unsettle(keys: readonly Key[]): void {
    this.#unsettled += keys.length;
  }

  outcome(seconds: number): VerifyOutcome {
    return {
      ...this.#table,
      at: new Date(this.#atMs).toISOString(),
      seconds: Math.round(seconds * 1000) / 1000,
      rows: this.rows,
      ...this.#counts,
      repaired: this.repaired,
      unsettled: this.#unsettled,
      skipped: this.skipped,
      notCompared: this.notCompared,
      keys: this.#keys,
    };
  }
}
