/** The second pass of an import: statement after statement, each in one transaction with the progress behind it. */
import type { ClientConfig } from 'pg';
import { Backoff } from '../core/backoff.js';
import type { Clock } from '../core/clock.js';
import { RedundancyError } from '../core/errors.js';
import { type TableName, tableKey } from '../core/ident.js';
import { classify, sqlstateOf } from '../core/policy.js';
import type { Side } from '../reconcile/row-hash.js';
import { PART_PREFIX, type Part } from './export-text.js';
import type { ExportHeader } from './file-format.js';
import { positionSql } from './import-sequences.js';
import { insertSql, parseInsert } from './import-statement.js';
import type { ImportTarget, TargetColumns } from './import-target.js';
import type { OpenExport } from './read-file.js';
import type { TransferProgress } from './run-export.js';
import { SqlReader } from './sql-reader.js';
import { BadExportFile } from './transfer-errors.js';
import type { VerifiedExport } from './verify-file.js';

export interface ImportOptions {
  readonly side: Side;
  readonly config: ClientConfig;
  /** Which knows the active side. */
  readonly secondary: ClientConfig;
  readonly stream: string;
  readonly input: string;
  readonly force: boolean;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: readonly TransferProgress[]) => void;
}

export interface ImportResult {
  readonly header: ExportHeader;
  readonly tables: readonly (TableName & { readonly rows: number })[];
  /** Rows that this run wrote. */
  readonly written: number;
  /** Rows whose keys were there already, and that were left as they are (--force). */
  readonly kept: number;
  /** Statements that an earlier run had done. */
  readonly resumedAfter: number;
  /** Foreign keys, triggers and the like that a standby does not get. */
  readonly leftOut: number;
}

export interface RunState {
  readonly done: number;
  readonly merge: boolean;
  readonly standby: boolean;
}

/** What is there already, made by an earlier run or by the application: tables, types, indexes, constraints. */
const THERE_ALREADY = new Set(['42P06', '42P07', '42710']);
const LEFT_OUT_ON_STANDBY: ReadonlySet<Part> = new Set(['constraints']);
const PROGRESS_MS = 200;
const MOST_ATTEMPTS = 10;

export class ImportRun {
  readonly #options: ImportOptions;
  readonly #verified: VerifiedExport;
  readonly #target: ImportTarget;
  readonly #columns: Map<string, TargetColumns>;
  readonly #state: RunState;
  readonly #rows = new Map<string, number>();
  #part: Part | null = null;
  #position = 0;
  #written = 0;
  #kept = 0;
  #leftOut = 0;
  #lastProgress = 0;

  constructor(
    options: ImportOptions,
    verified: VerifiedExport,
    target: ImportTarget,
    columns: Map<string, TargetColumns>,
    state: RunState,
  ) {
    this.#options = options;
    this.#verified = verified;
    this.#target = target;
    this.#columns = columns;
    this.#state = state;
  }

  async all(file: OpenExport): Promise<void> {
    const reader = new SqlReader(this.#target.dialect);
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    for await (const bytes of file.text(false)) {
      for (const item of reader.push(decoder.decode(bytes, { stream: true }))) {
        this.#options.signal.throwIfAborted();
        if (item.kind === 'comment') this.#comment(item.text);
        else await this.#statement(item.text);
      }
    }
    if (!reader.atEnd) throw new BadExportFile('it has changed while it was read');
    this.#report(true);
  }

  result(): ImportResult {
    const { header } = this.#verified;
    return {
      header,
      tables: header.tables.map(({ schema, name }) => ({ schema, name, rows: this.#rowsOf({ schema, name }) })),
      ...{ written: this.#written, kept: this.#kept, resumedAfter: this.#state.done, leftOut: this.#leftOut },
    };
  }

  #comment(text: string): void {
    if (text.startsWith(PART_PREFIX)) this.#part = text.slice(PART_PREFIX.length) as Part;
  }

  async #statement(sql: string): Promise<void> {
    // Settings are the connection's: every run needs them.
    if (this.#part === null) return this.#target.run(sql);
    this.#position += 1;
    const insert = this.#part === 'rows' ? parseInsert(sql) : null;
    if (insert) this.#rows.set(tableKey(insert.table), this.#rowsOf(insert.table) + insert.rows);
    this.#report(false);
    if (this.#position <= this.#state.done) return;
    if (insert) {
      const written = await this.#attempt(async () => {
        const columns = await this.#columnsOf(insert.table);
        const rules = {
          overriding: this.#target.dialect === 'postgres',
          merge: this.#state.merge,
          generated: columns.generated,
          types: columns.types,
        };
        return this.#target.write(insertSql(insert, rules), this.#verified.sha256, this.#position);
      });
      this.#written += written ?? 0;
      this.#kept += written === null ? 0 : insert.rows - written;
      return;
    }
    await this.#attempt(() => this.#define(sql));
  }

  async #define(sql: string): Promise<void> {
    const { sha256 } = this.#verified;
    const skip = async (): Promise<void> => this.#target.define('SELECT 1', sha256, this.#position);
    if (this.#state.standby && this.#part !== null && LEFT_OUT_ON_STANDBY.has(this.#part)) {
      this.#leftOut += 1;
      return skip();
    }
    try {
      const statement = this.#part === 'sequences' && this.#state.merge ? await positionSql(this.#target, sql) : sql;
      await this.#target.define(statement, sha256, this.#position);
    } catch (error) {
      if (!THERE_ALREADY.has(sqlstateOf(error) ?? '')) throw error;
      await skip();
    }
  }

  /** Repeats what the server asks to be repeated; null: it is done already. A lost connection ends the run. */
  async #attempt<T>(work: () => Promise<T>): Promise<T | null> {
    const backoff = new Backoff({ initialMs: 50, maxMs: 5_000 });
    for (;;) {
      try {
        return await work();
      } catch (error) {
        const { action, sqlstate } = classify(error);
        if (action === 'retry' && sqlstate !== null && backoff.attempt < MOST_ATTEMPTS) {
          await this.#options.clock.sleep(backoff.next(), this.#options.signal);
          continue;
        }
        if (sqlstate !== NOT_OURS) throw importFailed(error, this.#position);
        // A session of a run that was killed may have ended its last statement after that: this very one.
        const progress = await this.#target.progress(this.#verified.sha256);
        if (progress?.statements !== this.#position) throw takenOver(error);
        return null;
      }
    }
  }

  async #columnsOf(table: TableName): Promise<TargetColumns> {
    const known = this.#columns.get(tableKey(table));
    if (known) return known;
    const read = await this.#target.columns(table);
    const columns = read ?? { names: new Set(), generated: new Set(), types: new Map() };
    this.#columns.set(tableKey(table), columns);
    return columns;
  }

  #rowsOf(table: TableName): number {
    return this.#rows.get(tableKey(table)) ?? 0;
  }

  #report(now: boolean): void {
    const at = this.#options.clock.monotonic();
    if (!now && at - this.#lastProgress < PROGRESS_MS) return;
    this.#lastProgress = at;
    const counts = new Map(this.#verified.trailer.counts.map((count) => [tableKey(count), count.rows]));
    this.#options.onProgress(
      this.#verified.header.tables.map(({ schema, name }) => {
        const rows = this.#rowsOf({ schema, name });
        const expected = counts.get(tableKey({ schema, name })) ?? 0;
        const begun = rows > 0 || this.#part === 'rows';
        return {
          schema,
          name,
          rows,
          expected,
          state: rows >= expected && begun ? 'done' : rows > 0 ? 'loading' : 'pending',
        };
      }),
    );
  }
}

/** Division by zero, of the statement that moves the progress: see ImportTarget.write. */
const NOT_OURS = '22012';

function takenOver(cause: unknown): RedundancyError {
  return new RedundancyError('Another import of this file has gone on where this one was.', {
    code: 'import-taken-over',
    remedy: 'Let the other one end. Nothing was written twice.',
    cause,
  });
}

function importFailed(cause: unknown, position: number): RedundancyError {
  const message = cause instanceof Error ? cause.message : String(cause);
  return new RedundancyError(`The import stopped at statement ${position} of the file: ${message}`, {
    code: 'import-stopped',
    remedy: 'What came before it is written. Mend the cause and repeat the command: it continues there.',
    cause,
  });
}
