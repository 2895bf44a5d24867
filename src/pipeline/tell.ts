/** What is told of rows that are on the secondary: how many they are, and which were not found there. */
import type { ApplierOptions } from './applier-options.js';
import type { Statement } from './compile.js';
import type { TransactionPart } from './entries.js';
import { CONTROL_STATEMENTS_BEFORE } from './forms.js';

/** Patches and moves whose rows were not all there. @param counts rows per statement of the pipeline, control statements too */
export function tellMissing(
  { onMissing }: Pick<ApplierOptions, 'onMissing'>,
  statements: readonly Statement[],
  counts: readonly number[],
): void {
  statements.forEach(({ binding, mustMatch, rows }, i) => {
    if (mustMatch && binding && (counts[i + CONTROL_STATEMENTS_BEFORE] ?? 0) < rows) onMissing(binding, mustMatch);
  });
}

export function countRows(
  { counters, registry }: Pick<ApplierOptions, 'counters' | 'registry'>,
  statements: readonly Statement[],
  parts: readonly TransactionPart[],
): void {
  const at = parts.at(-1)?.commitAtMs ?? null;
  for (const { binding, rows } of statements) {
    const entry = binding && registry.get(binding.relation);
    if (!entry) continue;
    entry.rowsApplied += rows;
    entry.lastChangeAtMs = at;
    counters.rowsApplied += rows;
  }
}
