/** One direction of one proxied connection: a queue of chunks, each with the time at which it may go on. */
import type { Socket } from 'node:net';

export type Direction = 'toTarget' | 'toClient';

export interface LaneRules {
  readonly delayMs: () => number;
  readonly bytesPerSecond: () => number | undefined;
  readonly stalled: () => boolean;
  readonly swallowing: () => boolean;
  /** Asked once per chunk; false drops it. */
  readonly seen: (data: Buffer) => boolean;
  readonly delivered: (bytes: number) => void;
}

/** As much may be under way as on a fast line across an ocean; then the sender is held back. */
const WINDOW_BYTES = 4 * 1024 * 1024;

interface Parcel {
  /** Null is the end of the stream. */
  readonly data: Buffer | null;
  readonly due: number;
}

export class Lane {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #rules: LaneRules;
  readonly #queue: Parcel[] = [];
  #queued = 0;
  #lastDue = 0;
  #timer: NodeJS.Timeout | undefined;
  /** Something was swallowed: what follows would be garbage without it. */
  #dead = false;

  constructor(from: Socket, to: Socket, rules: LaneRules) {
    this.#from = from;
    this.#to = to;
    this.#rules = rules;
    from.on('data', (data: Buffer) => this.#take(data));
    from.on('end', () => this.#take(null));
    to.on('drain', () => this.pump());
    to.on('close', () => clearTimeout(this.#timer));
  }

  /** Nothing of the sender reaches the receiver, a reset neither. */
  get silent(): boolean {
    return this.#dead || this.#rules.swallowing() || this.#rules.stalled();
  }

  /** Sends what waits, then this, at once, and ends the stream. */
  finish(data: Buffer): void {
    for (const parcel of this.#queue.splice(0)) this.#deliver(parcel.data);
    this.#queued = 0;
    this.#deliver(data);
    this.#deliver(null);
  }

  /** Sends what is due. */
  pump(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    while (!this.#rules.stalled() && !this.#to.destroyed) {
      const parcel = this.#queue[0];
      if (parcel === undefined) break;
      const wait = this.#isFree ? 0 : parcel.due - performance.now();
      if (wait > 0) {
        this.#timer = setTimeout(() => this.pump(), Math.ceil(wait));
        break;
      }
      if (this.#to.writableNeedDrain) break;
      this.#queue.shift();
      this.#queued -= parcel.data?.length ?? 0;
      this.#deliver(parcel.data);
    }
    if (this.#queued < WINDOW_BYTES && this.#from.isPaused()) this.#from.resume();
  }

  /** Nothing slows the line any more: what waits because it was slow goes at once, and not for minutes as it was reckoned. */
  get #isFree(): boolean {
    if (this.#rules.bytesPerSecond() !== undefined || this.#rules.delayMs() > 0) return false;
    this.#lastDue = 0;
    return true;
  }

  #take(data: Buffer | null): void {
    if (data !== null && !this.#rules.seen(data)) return;
    // The receiver is gone: reading goes on, so that the sender's end is seen.
    if (this.#to.destroyed || this.#to.writableEnded) return;
    const rate = this.#rules.bytesPerSecond();
    const transfer = rate === undefined || data === null ? 0 : (data.length / rate) * 1000;
    const now = performance.now();
    // Behind what went before: a throttled line sends one byte after the other, and order is kept when a delay shrinks.
    this.#lastDue = Math.max(now + this.#rules.delayMs() + transfer, this.#lastDue + transfer);
    this.#queue.push({ data, due: this.#lastDue });
    this.#queued += data?.length ?? 0;
    if (this.#queued >= WINDOW_BYTES) this.#from.pause();
    this.pump();
  }

  #deliver(data: Buffer | null): void {
    if (this.#dead || this.#rules.swallowing()) {
      this.#dead = true;
      return;
    }
    if (this.#to.destroyed || this.#to.writableEnded) return;
    if (data === null) {
      this.#to.end();
      return;
    }
    this.#to.write(data);
    this.#rules.delivered(data.length);
  }
}
