import { check, type PreflightResult } from './result.js';
import type { ServerIdentity } from './session.js';

/** Last write wins by timestamps of both sides: beyond this, clocks decide wrongly where people would notice. */
const LARGEST_SKEW_MS = 5000;

/** What only shows when both sides are looked at together. Pure. */
export function compareSides(primary: ServerIdentity, secondary: ServerIdentity): PreflightResult[] {
  const same = primary.database !== null && primary.database === secondary.database;
  const skewMs = secondary.clockOffsetMs - primary.clockOffsetMs;
  // Only what exceeds the uncertainty of the measurement is held against the clocks.
  const certainMs = Math.abs(skewMs) - primary.clockErrorMs - secondary.clockErrorMs;
  const seconds = (Math.abs(skewMs) / 1000).toFixed(1);
  return [
    check('both-different', 'Primary and secondary are different databases', {
      detail: 'two databases',
      problem: same
        ? {
            detail: 'both URLs reach the same database of the same server',
            remedy: 'Correct DATABASE_URL or DATABASE_URL_SECONDARY.',
          }
        : null,
    }),
    check('both-clocks', 'Clocks agree', {
      detail: `they differ by ${seconds} s`,
      problem:
        certainMs > LARGEST_SKEW_MS
          ? {
              severity: 'warning',
              detail: `the clock of the secondary is ${seconds} s ${skewMs > 0 ? 'ahead of' : 'behind'} the primary's`,
              remedy: 'Synchronise the clocks (NTP) on both servers; conflicts are decided by updated_at.',
            }
          : null,
    }),
  ];
}
