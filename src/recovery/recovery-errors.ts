/** Ends of a recovery that need a person. Each says which statement or command mends it. */

import { RedundancyError, StreamHaltError } from '../core/errors.js';
import { displayName, type TableName } from '../core/ident.js';

/** Rows of the secondary that the primary refuses, whatever the order in which they are written. */
export class CopyRefusedError extends RedundancyError {
  constructor(count: number, first: string, cause?: unknown) {
    super(`The primary refuses ${count} rows that were written on the secondary; the first is ${first}.`, {
      code: 'copy-refused',
      remedy:
        'Mend the row on the secondary (the active database), or the constraint on the primary that it breaks; the copying goes on by itself, and db:failback can be run again.',
      cause,
    });
  }
}

/** Rows that differ after they were written: something on the primary changes what is written there. */
export class CopyDiffersError extends RedundancyError {
  constructor(table: TableName, count: number) {
    super(`${count} rows of ${displayName(table)} on the primary differ from what was written there.`, {
      code: 'copy-differs',
      remedy: `Disable triggers of ${displayName(table)} on the primary that change rows, or let the role of DATABASE_URL own the table so that the copying can do it.`,
    });
  }
}

/** The secondary holds columns that the primary has no place for. */
export class ColumnsMissingError extends RedundancyError {
  constructor(table: TableName, columns: readonly string[]) {
    super(`${displayName(table)} has columns on the secondary that the primary lacks: ${columns.join(', ')}.`, {
      code: 'columns-missing-on-primary',
      remedy: `Run on the primary: ALTER TABLE ${displayName(table)} ADD COLUMN for each, then db:failback again.`,
    });
  }
}

/** A test's interruption, or another process that owns the recovery: nothing more may be written. */
export class RecoveryEndedError extends StreamHaltError {
  constructor(message: string, cause?: unknown) {
    super(message, {
      code: 'recovery-ended',
      remedy: 'Nothing to do: the process that owns the recovery now goes on with it.',
      cause,
    });
  }
}

/** Changes of the secondary were missed while rows were being decided upon by the journal. */
export class JournalGapError extends RedundancyError {
  constructor() {
    super('Changes of the secondary were missed; the tables are compared.', {
      code: 'journal-gap',
      remedy: 'Nothing to do: the recovery goes on with a comparison.',
    });
  }
}
