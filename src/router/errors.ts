import { RedundancyError } from '../core/errors.js';
import type { Side } from '../core/route.js';

interface RouterErrorDetails {
  readonly code: string;
  readonly remedy: string;
  readonly cause?: unknown;
}

/**
 * An error of the router itself. `code` is an SQLSTATE that a framework's retry logic already knows, and `severity` is
 * there because drivers (Prisma's adapter among them) recognise a database's error by it.
 */
export abstract class RouterError extends RedundancyError {
  readonly severity = 'ERROR';
  /** The database that the work was for; null when none was chosen yet. */
  readonly side: Side | null;

  constructor(message: string, side: Side | null, { code, remedy, cause }: RouterErrorDetails) {
    super(message, { code, remedy, cause });
    this.side = side;
  }
}

const what = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));

/** 40001: the connection was lost inside a transaction that certainly did not commit. */
export class TransactionLostError extends RouterError {
  constructor(side: Side, cause: unknown) {
    super(`${what(cause)}: the transaction was rolled back`, side, {
      code: '40001',
      remedy: 'Run the whole transaction again; nothing of it was kept.',
      cause,
    });
  }
}

/** 40001: the statement was not sent at all. */
export class NotSentError extends RouterError {
  constructor(side: Side, cause: unknown) {
    super(`${what(cause)}: the statement was not sent`, side, {
      code: '40001',
      remedy: 'Run it again on a new connection from the pool.',
      cause,
    });
  }
}

/** 40003: the connection was lost while something was under way that may have been committed. Never repeated here. */
export class OutcomeUnknownError extends RouterError {
  constructor(side: Side, cause: unknown) {
    super(`${what(cause)}: it is not known whether the statement took effect`, side, {
      code: '40003',
      remedy:
        'Look whether the change is there before it is made again; repeat it blindly only where that does no harm.',
      cause,
    });
  }
}

/** 57P03: a flip took longer than holdTimeoutMs. Nothing was sent. */
export class HoldTimeoutError extends RouterError {
  constructor(side: Side | null, waitedMs: number) {
    super(`The databases are being switched, and the query waited ${Math.round(waitedMs)} ms in vain`, side, {
      code: '57P03',
      remedy: 'Try again later; db:status shows what the controller waits for. Raise holdTimeoutMs to wait longer.',
    });
  }
}

/** 57P03: no authority can be reached, and onAuthorityLost is 'hold'. Nothing was sent. */
export class AuthorityLostError extends RouterError {
  constructor(side: Side | null, waitedMs: number) {
    super(
      `Neither the controller nor its control row can be reached, and the query waited ${Math.round(waitedMs)} ms in vain`,
      side,
      {
        code: '57P03',
        remedy: "Bring the controller or the secondary back, or set onAuthorityLost to 'trust'.",
      },
    );
  }
}

/** 53300: more queries wait for the end of a hold than maxWaiting. Nothing was sent. */
export class HoldQueueFullError extends RouterError {
  constructor(side: Side | null, waiting: number) {
    super(`The databases are being switched, and ${waiting} queries wait already`, side, {
      code: '53300',
      remedy: 'Try again later, or raise maxWaiting.',
    });
  }
}
