/**
 * Which transactions the stream has seen commit lately. A commit is in the WAL (and so in the stream) a moment before it
 * becomes visible to queries; where commits wait for a quorum, as on Neon, that moment lasts milliseconds. A chunk that
 * is read in that moment misses a change that the stream has already applied, and would overwrite it. The window between
 * watermarks cannot see this; the snapshot's list of running transactions, held against this memory, can.
 * Commits wait for one another, so those in that state are at most as many as there are connections.
 */
const REMEMBERED = 65_536;

export class RecentCommits {
  readonly #ring = new Uint32Array(REMEMBERED);
  readonly #order = new Map<number, number>();
  #next = 0;

  /** Number of commits seen: a moment in the stream. */
  get position(): number {
    return this.#next;
  }

  add(xid: number): void {
    const slot = this.#next % REMEMBERED;
    if (this.#next >= REMEMBERED) {
      const old = this.#ring[slot] as number;
      if (this.#order.get(old) === this.#next - REMEMBERED) this.#order.delete(old);
    }
    this.#ring[slot] = xid;
    this.#order.set(xid, this.#next);
    this.#next += 1;
  }

  /** Transactions that were seen to commit at or after the moment `position`, as far as they are remembered. */
  since(position: number): number[] {
    const from = Math.max(0, position, this.#next - REMEMBERED);
    return Array.from({ length: this.#next - from }, (_, i) => this.#ring[(from + i) % REMEMBERED] as number);
  }

  /** More has happened since the moment `position` than is remembered. */
  hasForgotten(position: number): boolean {
    return this.#next - position > REMEMBERED;
  }

  /** True when one of `running` was seen to commit before the moment `position`. */
  anyBefore(running: readonly number[], position: number): boolean {
    return running.some((xid) => (this.#order.get(xid) ?? Number.POSITIVE_INFINITY) < position);
  }
}
