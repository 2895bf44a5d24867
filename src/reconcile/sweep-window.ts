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
