/**
 * While the secondary works on a batch of a backlog, the next one is folded and compiled. Nothing is taken out of the
 * queue for it, and it is used only where what it rests on is still so: otherwise it was work for nothing.
 */
import type { Relation } from '../core/change.js';
import type { Binding } from './binding.js';
import type { Statement } from './compile.js';
import type { TransactionPart } from './entries.js';
import type { Step } from './fold.js';

export interface Compiled {
  readonly steps: readonly Step[];
  readonly statements: readonly Statement[];
}

/** What a table's statements depend on beside the changes themselves. */
export interface TableView {
  readonly binding: Binding | null;
  /** May change without another binding: loading or streaming, COPY or not. */
  readonly manner: string;
}

interface Ready extends Compiled {
  readonly parts: readonly TransactionPart[];
  readonly views: ReadonlyMap<Relation, TableView>;
}

export interface AheadOptions {
  /** Null where the relation is not prepared. */
  readonly view: (relation: Relation) => TableView | null;
  /** May throw: then there is nothing ready, and the batch will find out for itself. */
  readonly compile: (parts: readonly TransactionPart[]) => Compiled;
}

export class Ahead {
  #ready: Ready | null = null;
  readonly #options: AheadOptions;

  constructor(options: AheadOptions) {
    this.#options = options;
  }

  prepare(parts: readonly TransactionPart[]): void {
    this.#ready = null;
    const views = new Map<Relation, TableView>();
    for (const { changes } of parts) {
      for (const change of changes) {
        for (const relation of change.kind === 'truncate' ? change.relations : [change.relation]) {
          if (views.has(relation)) continue;
          const view = this.#options.view(relation);
          // What the primary generates is worked out first, which makes other parts of these.
          if (view === null || view.binding?.derivation) return;
          views.set(relation, view);
        }
      }
    }
    try {
      this.#ready = { ...this.#options.compile(parts), parts, views };
    } catch {
      this.#ready = null;
    }
  }

  /** What was made ready, when it was for these very parts; only once. */
  take(parts: readonly TransactionPart[]): Compiled | null {
    const ready = this.#ready;
    this.#ready = null;
    if (ready === null || ready.parts.length !== parts.length) return null;
    if (!ready.parts.every((part, i) => part === parts[i])) return null;
    for (const [relation, { binding, manner }] of ready.views) {
      const now = this.#options.view(relation);
      if (now === null || now.binding !== binding || now.manner !== manner) return null;
    }
    return ready;
  }
}
