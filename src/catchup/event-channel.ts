/** A bounded queue between a socket and one consumer. The producer sees when it is full; nothing is ever dropped. */
import type { CatchUpEvent } from './change-source.js';

interface Item {
  readonly event: CatchUpEvent;
  readonly bytes: number;
}

export interface ChannelLimits {
  /** From so many bytes on the channel is full. */
  readonly highBytes: number;
  /** A full channel has room again below this. */
  readonly lowBytes: number;
}

export class EventChannel {
  readonly #limits: ChannelLimits;
  readonly #onFull: () => void;
  readonly #onRoom: () => void;
  readonly #items: Item[] = [];
  #bytes = 0;
  #full = false;
  #ended = false;
  #failure: unknown;
  #takers: { resolve: (event: CatchUpEvent | null) => void; reject: (error: unknown) => void }[] = [];
  #roomWaiters: (() => void)[] = [];

  constructor(limits: ChannelLimits, onFull: () => void = () => undefined, onRoom: () => void = () => undefined) {
    this.#limits = limits;
    this.#onFull = onFull;
    this.#onRoom = onRoom;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get full(): boolean {
    return this.#full;
  }

  /** @param bytes estimate of the memory that the event holds */
  push(event: CatchUpEvent, bytes: number): void {
    if (this.#ended) return;
    const taker = this.#takers.shift();
    if (taker) {
      taker.resolve(event);
      return;
    }
    const last = this.#items.at(-1);
    // Nobody needs the older of two marks with nothing in between.
    if (event.kind === 'resolved' && last?.event.kind === 'resolved') this.#bytes -= this.#items.pop()?.bytes ?? 0;
    this.#items.push({ event, bytes });
    this.#bytes += bytes;
    if (!this.#full && this.#bytes >= this.#limits.highBytes) {
      this.#full = true;
      this.#onFull();
    }
  }

  /** Resolves when the channel is not full, or has ended. */
  async room(): Promise<void> {
    while (this.#full && !this.#ended) await new Promise<void>((resolve) => this.#roomWaiters.push(resolve));
  }

  /** The next event; null after the end. Rejects with the failure when everything before it has been taken. */
  take(): Promise<CatchUpEvent | null> {
    const item = this.#items.shift();
    if (item) {
      this.#bytes -= item.bytes;
      if (this.#full && this.#bytes <= this.#limits.lowBytes) this.#makeRoom();
      return Promise.resolve(item.event);
    }
    if (this.#ended) return this.#failure === undefined ? Promise.resolve(null) : Promise.reject(this.#failure);
    return new Promise((resolve, reject) => this.#takers.push({ resolve, reject }));
  }

  /** No more events. Without a failure what was not taken is dropped; with one it can still be taken. */
  end(failure?: unknown): void {
    if (this.#ended) {
      if (failure === undefined) this.#items.length = 0;
      return;
    }
    this.#ended = true;
    this.#failure = failure;
    if (failure === undefined) this.#items.length = 0;
    for (const taker of this.#takers.splice(0)) {
      if (failure === undefined) taker.resolve(null);
      else taker.reject(failure);
    }
    this.#makeRoom();
  }

  #makeRoom(): void {
    this.#full = false;
    for (const resolve of this.#roomWaiters.splice(0)) resolve();
    this.#onRoom();
  }
}
