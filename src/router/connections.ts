import type { Clock } from '../core/clock.js';
import type { Side } from '../core/route.js';
import type { RoutedClient } from './client.js';
import { Deadline } from './deadline.js';

/** All connections of a router, and those of them whose next statement waits. */
export class Connections {
  readonly #clock: Clock;
  readonly #holdTimeoutMs: number;
  readonly #refusal: (waitedMs: number) => Error;
  readonly #deadline: Deadline;
  readonly #all = new Set<RoutedClient>();
  readonly #held = new Set<RoutedClient>();

  constructor(clock: Clock, holdTimeoutMs: number, refusal: (waitedMs: number) => Error) {
    this.#clock = clock;
    this.#holdTimeoutMs = holdTimeoutMs;
    this.#refusal = refusal;
    this.#deadline = new Deadline(clock, (now) => this.#sweep(now));
  }

  get count(): number {
    return this.#all.size;
  }

  get held(): number {
    return this.#held.size;
  }

  get busy(): boolean {
    for (const client of this.#all) if (client.busy) return true;
    return false;
  }

  busyOn(side: Side): number {
    let count = 0;
    for (const client of this.#all) if (client.side === side && client.busy) count += 1;
    return count;
  }

  /** Whether nothing is under way that was begun under a lower epoch. */
  idleBelow(epoch: number): boolean {
    for (const client of this.#all) if (client.busy && client.workEpoch < epoch) return false;
    return true;
  }

  add(client: RoutedClient): void {
    this.#all.add(client);
  }

  remove(client: RoutedClient): void {
    this.#all.delete(client);
    this.#held.delete(client);
  }

  hold(client: RoutedClient): void {
    if (this.#held.has(client)) return;
    // One that is held again after a wake goes on waiting since the first time.
    client.heldSinceMs ||= this.#clock.monotonic();
    this.#held.add(client);
    this.#deadline.arm(client.heldSinceMs + this.#holdTimeoutMs);
  }

  unhold(client: RoutedClient): void {
    this.#held.delete(client);
  }

  wake(which: (client: RoutedClient) => boolean): void {
    for (const client of [...this.#held]) {
      if (!which(client)) continue;
      this.#held.delete(client);
      client.resume();
    }
  }

  cut(reason: Error, which: (client: RoutedClient) => boolean): void {
    for (const client of [...this.#all]) if (which(client)) client.cut(reason);
  }

  close(): void {
    this.#deadline.cancel();
  }

  #sweep(now: number): number | null {
    let next: number | null = null;
    for (const client of [...this.#held]) {
      const due = client.heldSinceMs + this.#holdTimeoutMs;
      if (due <= now) {
        this.#held.delete(client);
        client.refuse(this.#refusal(now - client.heldSinceMs));
      } else next = Math.min(next ?? due, due);
    }
    return next;
  }
}
