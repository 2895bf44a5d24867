/** Export and import as a test runs them: by the command line, or in this process, which is faster. */
import { systemClock } from '../../../src/core/clock.js';
import type { Side } from '../../../src/reconcile/row-hash.js';
import type { ImportResult } from '../../../src/transfer/import-run.js';
import { type ExportResult, runExport } from '../../../src/transfer/run-export.js';
import { runImport } from '../../../src/transfer/run-import.js';
import type { DatabasePair } from '../../harness/cluster.js';
import { spawnCli } from '../../harness/process.js';

export function transferEnvironment(pair: DatabasePair, more: Record<string, string> = {}): Record<string, string> {
  return {
    DATABASE_URL: pair.primary.url,
    DATABASE_URL_SECONDARY: pair.secondary.url,
    DB_SYNC_TABLES: '*',
    DB_REPLICATION_SLOT: `dbr_${pair.primary.name}`,
    DB_PUBLICATION: 'db_redundancy',
    ...more,
  };
}

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly peakRssBytes: number;
}

export async function runCli(args: readonly string[], env: Record<string, string>): Promise<CliResult> {
  await using cli = await spawnCli(args, { env });
  const { code } = await cli.exit;
  const peakRssBytes = await cli.peakRssBytes();
  return { code, stdout: cli.output('stdout'), stderr: cli.output('stderr'), peakRssBytes };
}

const STREAM = 'db_redundancy';

export function exportFile(pair: DatabasePair, side: Side, output: string): Promise<ExportResult> {
  return runExport({
    ...{ side, config: { connectionString: pair[side].url }, stream: STREAM, tables: '*', output },
    ...{ stdout: process.stdout, signal: new AbortController().signal, now: () => new Date() },
    onProgress: () => undefined,
  });
}

export function importFile(
  pair: DatabasePair,
  side: Side,
  input: string,
  { force = false }: { force?: boolean } = {},
): Promise<ImportResult> {
  return runImport({
    ...{ side, config: { connectionString: pair[side].url }, secondary: { connectionString: pair.secondary.url } },
    ...{ stream: STREAM, input, force, clock: systemClock, signal: new AbortController().signal },
    onProgress: () => undefined,
  });
}
