/** What sweeps and verifies found, table by table. */
import type { StreamSnapshot, SweepResult, TableStatus, VerifyResult } from '../core/status.js';

type Labels = Record<string, string>;
/** A value of null is left out. */
export type Sample = readonly [labels: Labels, value: number | null];

export type AddGauge = (
  name: string,
  help: string,
  labelNames: string[],
  read: (snapshot: StreamSnapshot, ready: boolean) => Sample[],
) => void;

const SWEEP: Readonly<Record<string, readonly [help: string, read: (sweep: SweepResult) => number]>> = {
  sweep_rows_compared: ['Rows that the last sweep compared.', (sweep) => sweep.compared],
  sweep_rows_repaired: ['Rows that the last sweep repaired; 0 in a healthy system.', (sweep) => sweep.repaired],
  sweep_timestamp_seconds: ['When the last sweep began, Unix seconds.', ({ at }) => Date.parse(at) / 1000],
};

const VERIFY: Readonly<Record<string, readonly [help: string, read: (verify: VerifyResult) => number]>> = {
  verify_rows: ['Rows that the last verify compared.', (verify) => verify.rows],
  verify_differences: [
    'Rows that the last verify found to differ and did not repair; 0 in a healthy system.',
    ({ different, extra, missing, repaired }) => missing + extra + different - repaired,
  ],
  verify_unsettled: ['Rows of which the last verify could say nothing.', (verify) => verify.unsettled],
  verify_skipped: ['1 when the last verify could not compare the table.', ({ skipped }) => (skipped === null ? 0 : 1)],
  verify_timestamp_seconds: ['When the last verify began, Unix seconds.', ({ at }) => Date.parse(at) / 1000],
  verify_duration_seconds: ['Duration of the last verify, seconds.', (verify) => verify.seconds],
};

export function reconcileMetrics(gauge: AddGauge): void {
  const perTable = (name: string, help: string, read: (table: TableStatus) => number | null) =>
    gauge(name, help, ['schema', 'table'], ({ tables }) =>
      tables.map((table) => [{ schema: table.schema, table: table.name }, read(table)]),
    );
  perTable(
    'sync_drift',
    'Rows that sweeps and verifies found to differ from the primary since the process started; 0 in a healthy system.',
    ({ drift }) => drift ?? null,
  );
  for (const [name, [help, read]] of Object.entries(SWEEP))
    perTable(name, help, ({ lastSweep }) => (lastSweep ? read(lastSweep) : null));
  for (const [name, [help, read]] of Object.entries(VERIFY))
    perTable(name, help, ({ lastVerify }) => (lastVerify ? read(lastVerify) : null));
}
