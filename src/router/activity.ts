import type { Clock } from '../core/clock.js';
import type { Side, SideReport } from '../core/route.js';

const NEVER = -1;

/** When queries on one database last succeeded and failed: the controller's guards go by it. */
export class SideActivity {
  readonly #clock: Clock;
  #okMs = NEVER;
  #writeOkMs = NEVER;
  #failedMs = NEVER;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  ok(): void {
    this.#okMs = this.#clock.monotonic();
  }

  wrote(): void {
    this.#writeOkMs = this.#clock.monotonic();
  }

  failed(): void {
    this.#failedMs = this.#clock.monotonic();
  }

  get okMs(): number {
    return this.#okMs;
  }

  report(busy: number): SideReport {
    const now = this.#clock.monotonic();
    const age = (at: number) => (at === NEVER ? null : Math.max(0, now - at));
    return { okAgoMs: age(this.#okMs), writeOkAgoMs: age(this.#writeOkMs), failedAgoMs: age(this.#failedMs), busy };
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
