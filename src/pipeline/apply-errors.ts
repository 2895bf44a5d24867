/** How applying ends other than well: what the caller tries again, what a load takes to its table, what ends the session. */
import { StatementError } from '../apply/target-session.js';
import { FencedError, StreamHaltError } from '../core/errors.js';
import { classify } from '../core/policy.js';

/** The checkpoint is not where we left it: the epoch was taken, or a COMMIT that seemed lost has taken effect. */
export class CheckpointMovedError extends Error {}

/** The target transaction is lost and its rows are not in memory any more: read them again from the checkpoint. */
export class RestartFromCheckpoint extends Error {}

/** The secondary refuses rows of a chunk: a matter of their table, not of the stream. */
export class DataRefusedError extends Error {
  constructor(cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

/** 22012 from the checkpoint statement, and from no other, means that the checkpoint has moved without us. */
export function throwIfMoved(error: unknown, checkpointIndex: number): void {
  if (error instanceof StatementError && error.index === checkpointIndex && classify(error).sqlstate === '22012') {
    throw new CheckpointMovedError('The checkpoint was moved by another transaction.', { cause: error });
  }
}

export function halted(error: unknown): StreamHaltError {
  const verdict = classify(error);
  const reason = error instanceof Error ? error.message : String(error);
  return new StreamHaltError(`The secondary refused the stream's transaction: ${reason}`, {
    code: 'apply-halted',
    remedy: verdict.hint,
    cause: error,
  });
}

export function fenced(ours: number, theirs: number | null, cause?: unknown): FencedError {
  const now = theirs === null ? 'has moved on' : `is ${theirs} now`;
  return new FencedError(`Another process leads this stream: its epoch ${now}, ours was ${ours}.`, cause);
}
