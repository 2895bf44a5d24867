/** One export from beginning to end. */
import { readFileSync } from 'node:fs';
import type { Writable } from 'node:stream';
import type { ClientConfig } from 'pg';
import { ConfigurationError } from '../core/errors.js';
import { displayName, type TableName } from '../core/ident.js';
import type { Side } from '../reconcile/row-hash.js';
import { readCatalog } from '../schema/catalog.js';
import type { CatalogModel } from '../schema/model.js';
import { probeCapabilities } from '../schema/probe.js';
import { writeExport } from './export-file.js';
import type { ExportPlan } from './export-plan.js';
import { RowLedger } from './export-rows.js';
import { ExportSource } from './export-source.js';
import { exportText } from './export-text.js';
import type { ExportTrailer } from './file-format.js';
import { planFromCockroach } from './plan-cockroach.js';
import { planFromPostgres } from './plan-postgres.js';
import { postponedStatements, withPostponed } from './postponed.js';

export interface ExportOptions {
  readonly side: Side;
  readonly config: ClientConfig;
  /** Whose tables wait for promotion, when the source is a standby. */
  readonly stream: string;
  readonly tables: readonly TableName[] | '*';
  /** `-`: standard output. */
  readonly output: string;
  readonly stdout: Writable;
  readonly signal: AbortSignal;
  readonly now: () => Date;
  readonly onProgress: (progress: readonly TransferProgress[]) => void;
}

export interface TransferProgress extends TableName {
  readonly rows: number;
  readonly expected: number | null;
  readonly state: 'pending' | 'loading' | 'done';
}

export interface ExportResult extends ExportTrailer {
  readonly position: string;
  readonly notes: readonly string[];
}

const PROGRESS_MS = 200;

export async function runExport(options: ExportOptions): Promise<ExportResult> {
  const source = await ExportSource.open(options.config);
  try {
    return await exportFrom(source, options);
  } finally {
    await source.close();
  }
}

async function exportFrom(source: ExportSource, options: ExportOptions): Promise<ExportResult> {
  const { side, signal } = options;
  const plan = await planOf(source, options);
  const ledger = new RowLedger();
  const states = new Map<string, TransferProgress['state']>();
  const report = (): void =>
    options.onProgress(
      plan.rows.map((table) => ({
        ...{ schema: table.schema, name: table.name, rows: ledger.rowsOf(table) },
        ...{ expected: table.rowEstimate, state: states.get(displayName(table)) ?? 'pending' },
      })),
    );
  const text = exportText({
    plan,
    source,
    ledger,
    signal,
    header: {
      ...{ version: packageVersion(), source: side, dialect: source.dialect, server: source.version },
      ...{ at: options.now().toISOString(), position: source.position },
    },
    sequencePositions: side === 'primary' ? 'exact' : 'behind-values',
    onTable: (table, state) => {
      states.set(displayName(table), state);
      report();
    },
  });
  const timer = setInterval(report, PROGRESS_MS);
  try {
    await writeExport(text, options.output, options.stdout, signal);
  } finally {
    clearInterval(timer);
  }
  return { ...ledger.trailer(), position: source.position, notes: plan.notes };
}

async function planOf(source: ExportSource, options: ExportOptions): Promise<ExportPlan> {
  const { tables, stream } = options;
  const postponed = await postponedStatements(source, stream);
  if (source.dialect === 'cockroach') {
    const { plan, missing } = await planFromCockroach(source, tables, stream);
    assertThere(missing, []);
    return withPostponed(plan, postponed, source.dialect);
  }
  const catalog = await readCatalog(source.client, tables);
  assertThere(catalog.missing, tables === '*' ? [] : catalog.skipped);
  await source.hold(catalog.tables);
  return withPostponed(planFromPostgres(catalog, await probeCapabilities(source.client)), postponed, source.dialect);
}

function assertThere(missing: readonly TableName[], skipped: CatalogModel['skipped']): void {
  const wrong = [
    ...missing.map((table) => `${displayName(table)} does not exist`),
    ...skipped.map(({ table, reason }) => `${displayName(table)} cannot be exported: ${reason}`),
  ];
  if (wrong.length === 0) return;
  throw new ConfigurationError(`Not everything that was asked for can be exported: ${wrong.join('; ')}.`, {
    code: 'unknown-table',
    remedy: 'Name other tables with --table or DB_SYNC_TABLES; --table "*" exports all that there are.',
  });
}

function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
