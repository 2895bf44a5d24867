/** The rows of db_redundancy.reconcile for one stream: what sweeps and verifies found, for whoever asks and for the next run. */
import { arrayLiteral } from '../apply/array-literal.js';
import { type TableName, tableKey } from '../core/ident.js';
import type { SweepResult, VerifyResult } from '../core/status.js';
import type { TargetLink } from '../meta/target-link.js';
import type { VerifyOutcome } from './outcome.js';

export interface StoredVerify extends VerifyOutcome {
  readonly runId: string;
}

export interface StoredSweep extends TableName, SweepResult {
  /** Where the next sweep begins, milliseconds of the primary's clock; null where verify alone covers the table. */
  readonly cursorMs: number | null;
}

const UPSERT_SQL = `
INSERT INTO db_redundancy.reconcile (stream, schema_name, table_name, kind, run_id, at, cursor_ms, outcome)
SELECT $1, u.s, u.t, $2, $3, $4::timestamptz, u.c, u.o FROM unnest($5::text[], $6::text[], $7::int8[], $8::text[]) AS u(s, t, c, o)
ON CONFLICT (stream, schema_name, table_name, kind)
DO UPDATE SET run_id = excluded.run_id, at = excluded.at, cursor_ms = excluded.cursor_ms, outcome = excluded.outcome`;

export class ResultsStore {
  readonly #link: TargetLink;
  readonly #stream: string;

  constructor(link: TargetLink, stream: string) {
    this.#link = link;
    this.#stream = stream;
  }

  async verifies(): Promise<Map<string, StoredVerify>> {
    const rows = await this.#read('verify');
    return new Map(
      rows.map((row) => {
        const outcome = { ...(JSON.parse(row.outcome ?? '{}') as VerifyOutcome), runId: row.run_id ?? '' };
        return [tableKey(outcome), outcome];
      }),
    );
  }

  async sweeps(): Promise<Map<string, StoredSweep>> {
    const rows = await this.#read('sweep');
    return new Map(
      rows.map((row) => {
        const sweep = JSON.parse(row.outcome ?? '{}') as Omit<StoredSweep, 'cursorMs'>;
        return [tableKey(sweep), { ...sweep, cursorMs: row.cursor_ms == null ? null : Number(row.cursor_ms) }];
      }),
    );
  }

  async storeVerify(outcome: VerifyOutcome, runId: string): Promise<void> {
    await this.#write('verify', runId, outcome.at, [{ table: outcome, cursorMs: null, outcome }]);
  }

  /** All tables of one sweep in one statement. */
  async storeSweeps(sweeps: readonly StoredSweep[], at: string): Promise<void> {
    const lines = sweeps.map(({ cursorMs, ...outcome }) => ({ table: outcome, cursorMs, outcome }));
    if (lines.length > 0) await this.#write('sweep', at, at, lines);
  }

  async #read(kind: string) {
    const { rows } = await this.#link.run(
      `SELECT run_id, cursor_ms::text, outcome FROM db_redundancy.reconcile WHERE stream = $1 AND kind = $2`,
      [this.#stream, kind],
    );
    return rows;
  }

  async #write(
    kind: string,
    runId: string,
    at: string,
    lines: readonly { table: TableName; cursorMs: number | null; outcome: object }[],
  ): Promise<void> {
    const list = (texts: readonly string[]) =>
      arrayLiteral(
        texts.map((text) => [text]),
        0,
        'quoted',
      );
    await this.#link.run(UPSERT_SQL, [
      ...[this.#stream, kind, runId, at],
      list(lines.map(({ table }) => table.schema)),
      list(lines.map(({ table }) => table.name)),
      `{${lines.map(({ cursorMs }) => (cursorMs === null ? 'NULL' : String(Math.round(cursorMs)))).join(',')}}`,
      list(lines.map(({ outcome }) => JSON.stringify(outcome))),
    ]);
  }
}

/** What the status surface shows of a verify: counts, without the keys. */
export function verifyResult(verify: StoredVerify): VerifyResult {
  const { at, different, extra, missing, repaired, rows, runId, seconds, skipped, unsettled } = verify;
  return { at, different, extra, missing, repaired, rows, runId, seconds, skipped, unsettled };
}
