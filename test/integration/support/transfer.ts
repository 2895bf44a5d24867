/** The command line of export and import as a test runs it. */
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
