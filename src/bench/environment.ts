/** The servers of a run: those that were named, or two embedded PostgreSQL servers and a CockroachDB where one is found. */
import { cpus, loadavg, platform, release, totalmem } from 'node:os';
import { EmbeddedServer } from '../demo/embedded.js';
import { CockroachPlace } from './cockroach-place.js';
import type { FoundCockroach } from './cockroach-server.js';
import { BenchDatabase } from './database.js';
import type { MachineFacts } from './report.js';
import { DROP_SQL } from './rows.js';

/**
 * Replication is compared, not this machine's disk: no fsync, on both sides and for both opponents. More room between
 * checkpoints than a turn needs, so that none falls into one by chance.
 */
const SETTINGS = {
  ...{ fsync: 'off', full_page_writes: 'off', shared_buffers: '256MB' },
  ...{ max_wal_size: '8GB', min_wal_size: '1GB', checkpoint_timeout: '1h' },
  // Its workers come when they like, and would be counted among the transactions of an idle secondary.
  autovacuum: 'off',
};

export interface BenchServers {
  readonly primary: BenchDatabase;
  readonly secondary: BenchDatabase;
  readonly cockroach: CockroachPlace | null;
  readonly embedded: boolean;
  /** Drops what the benchmark made, closes every connection, ends the servers of this run. */
  close(): Promise<void>;
}

export interface ServerChoice {
  readonly primary?: string | undefined;
  readonly secondary?: string | undefined;
  readonly cockroach: FoundCockroach | null;
}

export async function openServers(choice: ServerChoice): Promise<BenchServers> {
  const closers: (() => Promise<unknown>)[] = [];
  const close = async () => {
    for (const each of closers.reverse()) await each().catch(() => undefined);
  };
  try {
    const url = async (given: string | undefined, name: string) => {
      if (given !== undefined) return given;
      const server = await EmbeddedServer.start({ name, settings: SETTINGS });
      closers.push(() => server.close());
      return server.createDatabase('bench');
    };
    const primary = await open(await url(choice.primary, 'bench-primary'), closers);
    const secondary = await open(await url(choice.secondary, 'bench-secondary'), closers);
    const found = secondary.isCockroach ? secondary : choice.cockroach;
    const cockroach = found && new CockroachPlace(found);
    return { primary, secondary, cockroach, embedded: choice.primary === undefined, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function open(url: string, closers: (() => Promise<unknown>)[]): Promise<BenchDatabase> {
  const database = await BenchDatabase.open(url);
  const hadMetadata = (await database.value(METADATA_SQL)) !== null;
  closers.push(async () => {
    await database.release();
    await database.run(DROP_SQL).catch(() => undefined);
    if (!hadMetadata) await database.run('DROP SCHEMA IF EXISTS db_redundancy CASCADE').catch(() => undefined);
    await database.close();
  });
  return database;
}

const METADATA_SQL = `SELECT 1 FROM information_schema.schemata WHERE schema_name = 'db_redundancy'`;

export function machineFacts(loadBefore: number): MachineFacts {
  const processors = cpus();
  return {
    cores: processors.length,
    processor: processors[0]?.model.trim() ?? '',
    memoryBytes: totalmem(),
    platform: `${platform()} ${release()}`,
    node: process.version,
    loadBefore,
    loadAfter: loadAverage(),
  };
}

export function loadAverage(): number {
  return Math.round((loadavg()[0] ?? 0) * 100) / 100;
}
