/**
 * Changes since the last resolved mark, by key. A changefeed repeats itself (after internal restarts, and from the
 * cursor after a reconnect) and orders nothing but the first emission of one key's versions; a resolved mark is the only
 * line behind which nothing is missing. So versions wait here, each once, and go out at the mark, the latest of each key.
 *
 * What waits is bounded: beyond `maxBytes` the keys go out at once as 'touched', without values, and are forgotten. That
 * loses no key; it only gives up telling repetitions apart until the next mark, and values, which are read again anyway.
 */
import type { After, ChangedRow, RowValues } from './change-source.js';
import type { FollowedTable } from './followed-tables.js';
import { formatHlc, type Hlc } from './hlc.js';

interface Version {
  readonly updated: Hlc;
  readonly after: RowValues | null;
  readonly bytes: number;
}

interface Entry {
  readonly table: FollowedTable;
  readonly key: RowValues;
  /** In the order of `updated`; never two of one time. */
  readonly versions: Version[];
}

/** What an entry costs beside its texts: objects, map slot, big integer. */
const OVERHEAD_BYTES = 400;

export class KeyBuffer {
  readonly #maxBytes: number;
  #entries = new Map<string, Entry>();
  #bytes = 0;
  #resolved: Hlc;

  constructor(maxBytes: number, resolved: Hlc) {
    this.#maxBytes = maxBytes;
    this.#resolved = resolved;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** More waits than should: call `spill`. */
  get overfull(): boolean {
    return this.#bytes > this.#maxBytes;
  }

  /**
   * @param keyText the key as JSON text, the same for every change of one row
   * @returns false for a repetition
   */
  add(
    table: FollowedTable,
    keyText: string,
    key: RowValues,
    updated: Hlc,
    after: RowValues | null,
    size: number,
  ): boolean {
    if (updated <= this.#resolved) return false;
    const id = `${table.id}:${keyText}`;
    const bytes = size + OVERHEAD_BYTES;
    const version = { updated, after, bytes };
    const entry = this.#entries.get(id);
    if (!entry) {
      this.#entries.set(id, { table, key, versions: [version] });
    } else {
      const { versions } = entry;
      let at = versions.length;
      while (at > 0 && (versions[at - 1] as Version).updated > updated) at--;
      if (at > 0 && (versions[at - 1] as Version).updated === updated) return false;
      versions.splice(at, 0, version);
    }
    this.#bytes += bytes;
    return true;
  }

  /** Everything up to the mark, one row a key. Later versions stay. */
  resolve(mark: Hlc): ChangedRow[] {
    this.#resolved = mark;
    const rows: ChangedRow[] = [];
    for (const [id, { table, key, versions }] of this.#entries) {
      let count = 0;
      while (count < versions.length && (versions[count] as Version).updated <= mark) count++;
      if (count === 0) continue;
      const { updated, after } = versions[count - 1] as Version;
      rows.push(row(table, key, after, updated));
      for (const { bytes } of versions.splice(0, count)) this.#bytes -= bytes;
      if (versions.length === 0) this.#entries.delete(id);
    }
    return rows;
  }

  /** All keys that wait, without their values; the buffer is empty afterwards. */
  spill(): ChangedRow[] {
    const rows = [...this.#entries.values()].map(({ table, key, versions }) =>
      row(table, key, 'touched', (versions.at(-1) as Version).updated),
    );
    this.clear();
    return rows;
  }

  /** Forgets what waits: it comes again from the cursor. */
  clear(): void {
    this.#entries = new Map();
    this.#bytes = 0;
  }
}

function row(table: FollowedTable, key: RowValues, after: After, updated: Hlc): ChangedRow {
  return { table: table.name, key, after, at: formatHlc(updated) };
}
