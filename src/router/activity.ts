import type { Clock } from '../core/clock.js';
import { isQuotaExceeded } from '../core/quota.js';
import type { Side, SideReport } from '../core/route.js';

const NEVER = -1;
/** A side that was not used for so long may be asleep, and a standby detached: the next use is news. */
const QUIET_MS = 10_000;

/** When queries on one database last succeeded and failed: the controller's guards and its economy mode go by it. */
export class SideActivity {
  readonly #clock: Clock;
  readonly #onStir: () => void;
  #okMs = NEVER;
  #writeOkMs = NEVER;
  #failedMs = NEVER;
  #writes = 0;
  #failures = 0;
  #quota = false;

  /** @param onStir the side is used after a quiet time, or begins to fail: the controller should know at once */
  constructor(clock: Clock, onStir: () => void = () => undefined) {
    this.#clock = clock;
    this.#onStir = onStir;
  }

  ok(): void {
    const now = this.#clock.monotonic();
    const news = this.#failures > 0 || this.#okMs === NEVER || now - this.#okMs >= QUIET_MS;
    this.#okMs = now;
    this.#failures = 0;
    if (news) this.#onStir();
  }

  wrote(): void {
    this.#writeOkMs = this.#clock.monotonic();
    this.#writes += 1;
  }

  /** A query that was under way, or a connection that somebody waited for; not one that was idle and is closed. */
  failed(error: unknown): void {
    this.#failedMs = this.#clock.monotonic();
    this.#failures += 1;
    this.#quota = isQuotaExceeded(error);
    if (this.#failures === 1) this.#onStir();
  }

  get okMs(): number {
    return this.#okMs;
  }

  report(busy: number): SideReport {
    const now = this.#clock.monotonic();
    const age = (at: number) => (at === NEVER ? null : Math.max(0, now - at));
    return {
      ...{ okAgoMs: age(this.#okMs), writeOkAgoMs: age(this.#writeOkMs), failedAgoMs: age(this.#failedMs), busy },
      ...(this.#writes > 0 ? { writes: this.#writes } : {}),
      ...(this.#failures > 0 ? { failures: this.#failures, quota: this.#quota } : {}),
    };
  }
}

export type Activities = Readonly<Record<Side, SideActivity>>;

/**
 * A command tag that says that rows were written: `INSERT 0 1`, `UPDATE 3`, `DELETE 1`, `MERGE 2`. A function that
 * writes inside a SELECT is not seen; that errs towards allowing a failover, never towards a false report of a write.
 */
export function isWriteTag(tag: string): boolean {
  switch (tag.charCodeAt(0)) {
    case 73: // I
      return tag.startsWith('INSERT');
    case 85: // U
      return tag.startsWith('UPDATE');
    case 68: // D
      return tag.startsWith('DELETE');
    case 77: // M
      return tag.startsWith('MERGE');
    default:
      return false;
  }
}
