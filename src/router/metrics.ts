import type { Route, Side } from '../core/route.js';
import type { FollowerCounters } from './follower.js';
import type { Vouched } from './gate.js';

/** Totals since the pool was made. */
export interface RouterCounters {
  switches: number;
  holds: number;
  /** Transactions that ended with 40001. */
  transactionsLost: number;
  /** Statements that ended with 40003. */
  outcomesUnknown: number;
  /** Queries that were run again, because they certainly had not been run. */
  silentRetries: number;
  holdTimeouts: number;
  queueFull: number;
  /** Routes with a lower epoch than the known one: a stale controller, or a mirror that was cut off. */
  staleRoutes: number;
}

export interface RouterMetrics extends RouterCounters, Partial<FollowerCounters> {
  readonly route: Route | null;
  /** Who vouches for the route: the controller, its control row, or nobody but `onAuthorityLost: 'trust'`. */
  readonly vouched: Vouched;
  /** Null for a plain pool. */
  readonly leaseRemainingMs: number | null;
  readonly waiting: number;
  readonly busy: Readonly<Record<Side, number>>;
  readonly connections: number;
}

export function newCounters(): RouterCounters {
  return {
    switches: 0,
    holds: 0,
    transactionsLost: 0,
    outcomesUnknown: 0,
    silentRetries: 0,
    holdTimeouts: 0,
    queueFull: 0,
    staleRoutes: 0,
  };
}
