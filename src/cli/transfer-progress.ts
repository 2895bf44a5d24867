/** The progress of an export or import in the form that the bars and lines of a load take. */
import type { TableStatus } from '../core/status.js';
import type { TransferProgress } from '../transfer/run-export.js';

const STATES = { pending: 'pending', loading: 'loading', done: 'streaming' } as const;

export function asTableStatus({ schema, name, rows, expected, state }: TransferProgress): TableStatus {
  return {
    ...{ schema, name, state: STATES[state], reason: null, rowsApplied: 0, rowsLoaded: rows },
    ...{ rowsExpected: expected, lastChangeAt: null },
  };
}
