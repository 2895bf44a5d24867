/**
 * Every error that reaches a person: one sentence that says what is wrong, and the remedy.
 * `exitCode` follows SPEC section 10: 1 failed or differences found, 2 wrong usage or configuration, 3 refused by a guard.
 */
export type ExitCode = 1 | 2 | 3;

export interface ErrorDetails {
  /** Machine-readable, stable, lower-case with hyphens: `slot-missing`. */
  code: string;
  /** What the reader should do, as one sentence or one statement. */
  remedy?: string;
  exitCode?: ExitCode;
  cause?: unknown;
}

export class RedundancyError extends Error {
  readonly code: string;
  readonly remedy: string | undefined;
  readonly exitCode: ExitCode;

  constructor(message: string, details: ErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.code = details.code;
    this.remedy = details.remedy;
    this.exitCode = details.exitCode ?? 1;
  }
}

/** Configuration, usage or environment is wrong: nothing was changed. Exit code 2. */
export class ConfigurationError extends RedundancyError {
  constructor(message: string, details: Omit<ErrorDetails, 'exitCode'>) {
    super(message, { ...details, exitCode: 2 });
  }
}

/** The stream met something that it must not skip (G9): it stops, and nothing is acknowledged. */
export class StreamHaltError extends RedundancyError {}

/**
 * A change does not say which row of the secondary it means: guessing would make a wrong row, passing it over would lose
 * one (G9). A matter of its table, not of the stream.
 */
export class UnfitChangeError extends RedundancyError {}

/** Another process leads this stream now: the epoch in the secondary is not ours any more. */
export class FencedError extends RedundancyError {
  constructor(message: string, cause?: unknown) {
    super(message, { code: 'fenced', remedy: 'Nothing to do: the new leader of the stream continues.', cause });
  }
}

/** A replication message that is malformed or unknown. Carries the LSN at which it came. */
export class DecodeError extends StreamHaltError {
  constructor(
    message: string,
    cause?: unknown,
    remedy = 'Report the message with its LSN; nothing was acknowledged, and the stream resumes at the same position after an upgrade.',
  ) {
    super(message, { code: 'decode', remedy, cause });
  }
}
