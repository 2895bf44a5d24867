/**
 * From which `updated_at` on a sweep looks, and where the next one begins: pure. All times are milliseconds of the
 * primary's clock, but `elapsedMs`.
 *
 * - A row that commits late shows the time at which its transaction began: the next sweep begins before the oldest
 *   transaction that was still running, however long it has been.
 * - The overlap is for what the server does not know of: times that an application writes by a clock that is behind.
 * - A clock that goes back: the rows written since the last sweep are not older than the time that has really passed.
 */
export interface SweepTimes {
  /** What the last sweep left; null before the first. */
  readonly cursorMs: number | null;
  /** Since the last sweep, by our own clock. */
  readonly elapsedMs: number;
  /** The primary's clock when the sweep begins. */
  readonly nowMs: number;
  /** Start of the oldest transaction that is running then; null when there is none. */
  readonly oldestMs: number | null;
  readonly overlapMs: number;
}

export interface SweepWindow {
  /** Rows from here on are compared. */
  readonly fromMs: number;
  readonly nextCursorMs: number;
}

export function sweepWindow({ cursorMs, elapsedMs, nowMs, oldestMs, overlapMs }: SweepTimes): SweepWindow {
  return {
    fromMs: Math.min(cursorMs ?? nowMs, nowMs - Math.max(0, elapsedMs)) - overlapMs,
    nextCursorMs: Math.min(nowMs, oldestMs ?? nowMs),
  };
}

/**
 * Since the last sweep, at the least: our own clock may go back as well, with the primary's where both are one machine's.
 * @param lastAt ISO time by our clock
 */
export function sinceLast(lastAt: string, intervalMs: number, nowMs: number): number {
  return Math.max(intervalMs, nowMs - Date.parse(lastAt));
}

/** Until what is done every `intervalMs` is due. A last time that is still to come was told by a clock that was wrong. */
export function untilDue(lastAt: string, intervalMs: number, nowMs: number): number {
  const last = Date.parse(lastAt);
  return last > nowMs ? 0 : last + intervalMs - nowMs;
}

export type Swept = 'equal' | 'missing' | 'older' | 'newer';

/**
 * How the secondary's `updated_at` stands to the primary's, as canonical texts; null is SQL NULL, and undefined no row.
 * Texts of years before 1 or beyond 9999 do not sort as times: such a pair counts as older, and the primary's row wins.
 */
export function judgeSwept(primary: string | null, secondary: string | null | undefined): Swept {
  if (secondary === undefined) return 'missing';
  if (primary === secondary) return 'equal';
  if (primary === null || secondary === null) return 'older';
  return [primary, secondary].every((text) => /^(\d{4}-|-?infinity)/.test(text) && !text.endsWith('BC')) &&
    secondary > primary
    ? 'newer'
    : 'older';
}
