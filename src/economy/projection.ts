/** What a month will have cost at its end, from what it has cost so far: pure. */
import type { BudgetLine } from '../core/economy.js';

const HOUR_MS = 3_600_000;

export interface Spent {
  /** All that is known of the month. */
  readonly used: number;
  /** Of it, what will not come again: the first load. */
  readonly once: number;
  /** Since when it was counted. */
  readonly sinceMs: number;
}

export function monthOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 7);
}

export function monthEnd(ms: number): number {
  const at = new Date(ms);
  return Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + 1, 1);
}

/** Null before an hour was seen: one sweep is no rate. */
export function project({ once, sinceMs, used }: Spent, nowMs: number): number | null {
  const seen = nowMs - sinceMs;
  if (seen < HOUR_MS) return null;
  return used + ((used - once) / seen) * Math.max(0, monthEnd(nowMs) - nowMs);
}

export function line(spent: Spent, budget: number, nowMs: number): BudgetLine {
  const projected = project(spent, nowMs);
  return { used: spent.used, projected, budget, exceeded: Math.max(spent.used, projected ?? 0) > budget };
}
