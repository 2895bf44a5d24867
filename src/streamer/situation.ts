/** Where a stream stands, as the world is told of it, and the waiting that news cuts short. */
import type { Clock } from '../core/clock.js';
import type { StreamStatus } from '../core/status.js';
import type { Ledger } from '../pipeline/ledger.js';
import type { SlotInfo } from '../source/slot.js';

export class Situation {
  readonly #clock: Clock;
  readonly #over: AbortSignal;
  #wake: AbortController | null = null;
  #status: StreamStatus = 'starting';
  #detail: string | null = null;
  #slot: (SlotInfo & { readonly atMs: number }) | null = null;
  /** Why nothing can be applied at the moment; null: it can. */
  trouble: string | null = null;
  epoch: number | null = null;
  /** Of the last session: what it knew is true until the next one knows better. */
  ledger: Ledger | null = null;

  /** @param over ends every waiting */
  constructor(clock: Clock, over: AbortSignal) {
    this.#clock = clock;
    this.#over = over;
  }

  get status(): StreamStatus {
    return this.#status;
  }

  get detail(): string | null {
    return this.trouble ?? this.#detail;
  }

  /** As it was found at `atMs` (wall clock). */
  get slot(): (SlotInfo & { readonly atMs: number }) | null {
    return this.#slot;
  }

  become(status: StreamStatus, detail: string | null = null): void {
    this.#status = status;
    this.#detail = detail;
  }

  sawSlot(slot: SlotInfo | null): void {
    this.#slot = slot && { ...slot, atMs: this.#clock.now() };
  }

  /** We have let go of it ourselves. */
  freedSlot(): void {
    this.#slot = this.#slot && { ...this.#slot, active: false };
  }

  /** Waits so long, or until it is nudged or all is over. Never rejects. */
  async doze(ms: number): Promise<void> {
    this.#wake = new AbortController();
    await this.#clock.sleep(ms, AbortSignal.any([this.#over, this.#wake.signal])).catch(() => undefined);
  }

  /** Something has changed: whoever dozes looks now instead of at the next turn. */
  nudge(): void {
    this.#wake?.abort();
  }
}
