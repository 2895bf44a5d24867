/**
 * Changes to statements, in the fastest form that each table allows: COPY in binary, COPY as text, upserts. Which form
 * was refused is remembered per table for a while.
 */
import type { CopyFormat } from '../apply/statements.js';
import { StatementError, type TargetSession } from '../apply/target-session.js';
import type { Change } from '../core/change.js';
import type { Clock } from '../core/clock.js';
import { UnfitChangeError } from '../core/errors.js';
import type { Binding } from './binding.js';
import { compileSteps, rereadStatements, type Statement } from './compile.js';
import { fold, type Step } from './fold.js';
import type { TableEntry, TableRegistry } from './registry.js';

export interface FormsOptions {
  readonly stream: string;
  readonly registry: TableRegistry;
  readonly clock: Clock;
}

/** Statements before the compiled ones of a pipeline: BEGIN, or SAVEPOINT. */
export const CONTROL_STATEMENTS_BEFORE = 1;
const NO_COPY_MS = 60_000;

export class Forms {
  readonly #options: FormsOptions;
  /** Tables, by oid, whose inserts were found on the secondary already: until when they are upserts. */
  readonly #noCopy = new Map<number, number>();
  /** The same of tables whose columns had other types than were known. */
  readonly #noBinary = new Map<number, number>();

  constructor(options: FormsOptions) {
    this.#options = options;
  }

  /** Null when a change does not say which row it means: the careful way finds it. */
  folded(changes: readonly Change[]): Step[] | null {
    try {
      return this.fold(changes);
    } catch (error) {
      if (error instanceof UnfitChangeError) return null;
      throw error;
    }
  }

  /** @throws UnfitChangeError for a change that does not say which row it means */
  fold(changes: readonly Change[]): Step[] {
    return fold(changes, (relation) => this.#options.registry.lookup(relation));
  }

  /** Statements for changes of the stream. A table that is being loaded has its rows already, perhaps: upserts. */
  ofStream(steps: readonly Step[], session: TargetSession): Statement[] {
    const { registry, stream } = this.#options;
    const isLoading = (binding: Binding) => registry.get(binding.relation)?.state !== 'streaming';
    const copies = (binding: Binding) => (isLoading(binding) ? null : this.#now(binding));
    return [...compileSteps(steps, session.dialect, copies), ...rereadStatements(steps, stream, isLoading)];
  }

  /** Statements for the rows of a chunk. */
  ofChunk(steps: readonly Step[], session: TargetSession): Statement[] {
    return compileSteps(steps, session.dialect, (binding) => this.#now(binding));
  }

  /** @returns whether the statements would still have these forms */
  remember(statements: readonly Statement[]): () => boolean {
    const copied = statements.filter(({ copy }) => copy !== undefined);
    const formats = copied.map(({ binding }) => binding && this.#now(binding));
    return () => copied.every(({ binding }, i) => (binding && this.#now(binding)) === formats[i]);
  }

  /**
   * True when a COPY was refused because a row is there already (a repair brought it, somebody wrote to the standby), or
   * one in binary because columns have other types now: the same rows can go in as upserts, or as text, and those of the
   * table do for a while.
   */
  hasAnother(error: unknown, statements: readonly Statement[]): boolean {
    const failed = failedOf(error, statements);
    const until = this.#options.clock.monotonic() + NO_COPY_MS;
    if (failed?.checks) {
      const inBinary = failed.checks.filter((binding) => this.#now(binding) === 'binary');
      for (const { relation } of inBinary) this.#noBinary.set(relation.oid, until);
      return inBinary.length > 0;
    }
    if (failed?.copy === undefined || !failed.binding || this.#now(failed.binding) === null) return false;
    this.#noCopy.set(failed.binding.relation.oid, until);
    return true;
  }

  /** The table whose statement was refused; null or undefined when the error does not say which. */
  refusedTable(error: unknown, statements: readonly Statement[]): TableEntry | null | undefined {
    const binding = failedOf(error, statements)?.binding;
    return binding && this.#options.registry.get(binding.relation);
  }

  #now({ relation }: Binding): CopyFormat | null {
    const now = this.#options.clock.monotonic();
    const refused = (until: ReadonlyMap<number, number>) => (until.get(relation.oid) ?? 0) > now;
    if (refused(this.#noCopy)) return null;
    return refused(this.#noBinary) ? 'text' : 'binary';
  }
}

function failedOf(error: unknown, statements: readonly Statement[]): Statement | undefined {
  return error instanceof StatementError ? statements[error.index - CONTROL_STATEMENTS_BEFORE] : undefined;
}
