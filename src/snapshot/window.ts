/** Keys that the stream changed between a chunk's two watermarks: what the chunk says of them may be old (DBLog). */
import { keyOf } from '../pipeline/binding.js';
import type { Step } from '../pipeline/fold.js';

/** More than this in one window: the chunk is read again rather than remembered (G4). */
const MOST_KEYS = 200_000;

export class ChunkWindow {
  readonly tableOid: number;
  /** Moment of the lower watermark in RecentCommits. */
  readonly openedAt: number;
  readonly touched = new Set<string>();
  /** Touched keys of which the stream knows some columns only: where the row is not there yet, it must be read again. */
  readonly partial = new Set<string>();
  /** The chunk is worthless: the table was emptied, or too much happened. */
  spoiled = false;

  constructor(tableOid: number, openedAt: number) {
    this.tableOid = tableOid;
    this.openedAt = openedAt;
  }

  note(steps: readonly Step[]): void {
    for (const step of steps) {
      if (step.kind === 'truncate') {
        if (step.bindings.some((binding) => binding.relation.oid === this.tableOid)) this.spoiled = true;
      } else if (step.kind === 'move') {
        if (step.binding.relation.oid !== this.tableOid) continue;
        this.touched.add(detached(keyOf(step.binding, step.from)));
        this.#add(keyOf(step.binding, step.row), true);
      } else {
        const table = step.keyed.find((each) => each.binding.relation.oid === this.tableOid);
        if (table) for (const [key, change] of table.changes) this.#add(key, change.op === 'patch');
      }
    }
    if (this.touched.size > MOST_KEYS) {
      this.spoiled = true;
      this.touched.clear();
      this.partial.clear();
    }
  }

  #add(key: string, partial: boolean): void {
    const own = detached(key);
    this.touched.add(own);
    if (partial) this.partial.add(own);
    else this.partial.delete(key);
  }
}

/** A copy: a key may be a part of its row's text, all of which would stay in memory with it. */
function detached(key: string): string {
  return key.length < 13 ? key : Buffer.from(key).toString();
}
