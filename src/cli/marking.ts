/**
 * When V8 marks its heap. The bytes of rows that are copied as they came lie outside of it, and after some ten MiB of them
 * a task would mark all of it, long before its limit: docs/decisions/0011-performance.md. Where rows are loaded, or written
 * anew, to leave that task out costs some 40 MB and gains nothing.
 */
import { setFlagsFromString } from 'node:v8';
import type { RowsKind } from '../core/status.js';

const FLAG: Readonly<Record<RowsKind, string>> = {
  'copied-bytes': '--no-incremental-marking-task',
  others: '--incremental-marking-task',
};

/** @param set V8's: known to Node 20 to 26, and read by V8 each time. */
export function markFor(set: (flag: string) => void = setFlagsFromString): (kind: RowsKind) => void {
  let now: RowsKind = 'others';
  return (kind) => {
    if (kind === now) return;
    now = kind;
    set(FLAG[kind]);
  };
}
