/** What the probes of one side have shown. */
import type { SideHealth } from '../core/failover.js';

export class SideRecord {
  #connected = false;
  #latencyMs: number | null = null;
  #lastCheck: string | null = null;
  #error: string | null = null;
  #failures = 0;
  #successes = 0;
  #probes = 0;
  #failedProbes = 0;

  get connected(): boolean {
    return this.#connected;
  }

  succeeded<T>(nowMs: number, latencyMs: number, answer: T): T {
    this.#connected = true;
    this.#latencyMs = Math.round(latencyMs * 10) / 10;
    this.#lastCheck = new Date(nowMs).toISOString();
    this.#error = null;
    this.#failures = 0;
    this.#successes += 1;
    this.#probes += 1;
    return answer;
  }

  /** Nobody was asked: by what others say, nothing has changed. */
  hearsay(nowMs: number): void {
    this.#lastCheck = new Date(nowMs).toISOString();
  }

  failed(nowMs: number, error: unknown): null {
    this.#connected = false;
    this.#latencyMs = null;
    this.#lastCheck = new Date(nowMs).toISOString();
    this.#error = messageOf(error);
    this.#failures += 1;
    this.#successes = 0;
    this.#probes += 1;
    this.#failedProbes += 1;
    return null;
  }

  health(): SideHealth {
    return {
      connected: this.#connected,
      latencyMs: this.#latencyMs,
      lastCheck: this.#lastCheck,
      error: this.#error,
      failures: this.#failures,
      successes: this.#successes,
      probes: this.#probes,
      failedProbes: this.#failedProbes,
    };
  }
}

/** An AggregateError of several addresses has no message of its own. */
function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(messageOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}
