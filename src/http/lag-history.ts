/** The replication lag of the last hour, in bounded memory. */
import type { LagHistory, LagSample } from '../core/system.js';

const HOUR_MS = 3_600_000;
export const STEP_MS = 5000;

/** A ring of steps: each keeps the highest lag that was seen in it, so that a short peak is not lost between two looks. */
export class LagRing {
  readonly #samples: LagSample[] = [];
  readonly #capacity: number;
  #oldest = 0;
  #step = Number.NEGATIVE_INFINITY;
  #seconds: number | null = null;
  #bytes: number | null = null;

  constructor(capacity = HOUR_MS / STEP_MS) {
    this.#capacity = capacity;
  }

  /** @param lag null while nothing is streamed */
  note(nowMs: number, lag: { readonly seconds: number; readonly bytes: number } | null): void {
    const step = Math.floor(nowMs / STEP_MS);
    if (step !== this.#step) {
      this.#close();
      this.#step = step;
      this.#seconds = null;
      this.#bytes = null;
    }
    if (lag === null) return;
    this.#seconds = Math.max(this.#seconds ?? 0, lag.seconds);
    this.#bytes = Math.max(this.#bytes ?? 0, lag.bytes);
  }

  history(nowMs: number): LagHistory {
    const all = [...this.#samples.slice(this.#oldest), ...this.#samples.slice(0, this.#oldest)];
    if (Number.isFinite(this.#step)) all.push([this.#step * STEP_MS, this.#seconds, this.#bytes]);
    return { stepMs: STEP_MS, samples: all.filter(([at]) => at > nowMs - HOUR_MS) };
  }

  #close(): void {
    if (!Number.isFinite(this.#step)) return;
    const sample: LagSample = [this.#step * STEP_MS, this.#seconds, this.#bytes];
    if (this.#samples.length < this.#capacity) {
      this.#samples.push(sample);
      return;
    }
    this.#samples[this.#oldest] = sample;
    this.#oldest = (this.#oldest + 1) % this.#capacity;
  }
}
