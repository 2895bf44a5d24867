/** What an ended session means for the status, and how soon the next attempt is due: pure. */
import { FencedError, RedundancyError, StreamHaltError } from '../core/errors.js';
import { classify } from '../core/policy.js';
import { isQuotaExceeded } from '../core/quota.js';
import type { StreamStatus } from '../core/status.js';
import { RestartFromCheckpoint } from '../pipeline/apply-errors.js';
import { BinaryFormError } from '../source/binary-tuples.js';
import { PublicationChangedError } from './primary-watch.js';

export interface Judgement {
  readonly status: StreamStatus;
  readonly detail: string;
  /** Milliseconds; null: the back-off decides. */
  readonly waitMs: number | null;
}

/** The slot is somebody else's: looked at once a second. */
export const STANDBY_POLL_MS = 1000;
/** A person has to mend something; the stream looks so often whether that was done. */
const HALTED_RETRY_MS = 15_000;
/** A primary whose compute time is used up says the same for days; the controller is told by routers and its own probe. */
const QUOTA_RETRY_MS = 900_000;

export function judgeEnd(error: unknown, haltedRetryMs = HALTED_RETRY_MS): Judgement {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof FencedError) return { status: 'fenced', detail: message, waitMs: STANDBY_POLL_MS };
  if (error instanceof PublicationChangedError || error instanceof BinaryFormError)
    return { status: 'starting', detail: message, waitMs: 0 };
  if (isQuotaExceeded(error))
    return { status: 'error', detail: `The primary's compute time is used up: ${message}`, waitMs: QUOTA_RETRY_MS };
  if (error instanceof RestartFromCheckpoint) return { status: 'starting', detail: message, waitMs: null };
  const verdict = classify(error);
  const refused = error instanceof RedundancyError && error.exitCode !== 1;
  if (error instanceof StreamHaltError || refused || verdict.action === 'halt') {
    const remedy = error instanceof RedundancyError ? error.remedy : verdict.hint;
    return { status: 'error', detail: remedy ? `${message} ${remedy}` : message, waitMs: haltedRetryMs };
  }
  const detail = `${message} (${verdict.hint})`;
  // 55006: somebody was quicker; no reason to wait longer each time.
  return { status: 'starting', detail, waitMs: verdict.sqlstate === '55006' ? STANDBY_POLL_MS : null };
}
