/** What an export or import can be refused for. */
import { RedundancyError } from '../core/errors.js';

/** The file is cut, altered, or no export at all. Nothing was written. */
export class BadExportFile extends RedundancyError {
  constructor(what: string, cause?: unknown) {
    super(`The file is refused: ${what}. Nothing was written.`, {
      code: 'bad-export-file',
      remedy: 'Take another copy of the export, or make a new one with db:export.',
      cause,
    });
  }
}

/** A guard says no; a person may say yes with --force. Exit code 3. */
export class ImportRefused extends RedundancyError {
  constructor(message: string, code: string, remedy: string) {
    super(message, { code, remedy, exitCode: 3 });
  }
}

/** Rejects with a failure of its own when the work ends because of the signal: half a transfer is not done. */
export async function orInterrupted<T>(work: Promise<T>, signal: AbortSignal, remedy: string): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    if (!signal.aborted) throw cause;
    throw new RedundancyError('Interrupted before the end.', { code: 'interrupted', remedy, cause });
  }
}
