/**
 * A batch that was folded and compiled while the one before it was under way. Whether that still holds is asked when its
 * turn comes: meanwhile a table may have been paused, bound anew, or found to have rows that it should not have.
 */
import type { Relation } from '../core/change.js';
import { relationsOf } from './assemble.js';
import type { Binding } from './binding.js';
import type { Statement } from './compile.js';
import type { TransactionPart } from './entries.js';
import type { Step } from './fold.js';
import type { TableRegistry } from './registry.js';

export interface Ready {
  /** As they are to be applied. */
  readonly parts: readonly TransactionPart[];
  readonly steps: readonly Step[];
  readonly statements: readonly Statement[];
  /** Nothing that they were made from is another thing now. */
  holds(): boolean;
}

/** What folding and compiling the parts depends on, as it is now. @returns whether it still is like that */
export function remembered(parts: readonly TransactionPart[], registry: TableRegistry): () => boolean {
  const relations = new Set(parts.flatMap((part) => [...relationsOf(part.changes)]));
  const before = [...relations].map((relation) => ({ relation, ...known(registry, relation) }));
  return () =>
    before.every(({ relation, binding, state }) => {
      const now = known(registry, relation);
      return now.binding === binding && now.state === state;
    });
}

function known(
  registry: TableRegistry,
  relation: Relation,
): { binding: Binding | undefined; state: string | undefined } {
  const entry = registry.get(relation);
  return { binding: entry?.bindings.get(relation), state: entry?.state };
}
