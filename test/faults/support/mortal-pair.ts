/** Two databases on servers of their own, whose processes a test may kill (SIGKILL) and start again. */
import type { Side } from '../../../src/core/route.js';
import { EmbeddedServer } from '../../../src/demo/embedded.js';
import { createDatabasePair, type DatabasePair } from '../../harness/cluster.js';
import { detectCockroach } from '../../harness/cockroach.js';
import type { SecondaryDialect } from '../../harness/secondary-dialects.js';
import { query } from '../../harness/sql.js';
import { DiskCockroach } from './disk-cockroach.js';

interface Server extends AsyncDisposable {
  url(database: string): string;
  kill(): Promise<void>;
  shutDown(timeoutMs: number): Promise<void>;
  /** Resolves when it answers. */
  startAgain(): Promise<void>;
}

export interface MortalPair extends DatabasePair {
  kill(side: Side): Promise<void>;
  /** In an orderly way, as an administrator does. Rejects where the server has not come to its end by then. */
  shutDown(side: Side, timeoutMs: number): Promise<void>;
  startAgain(side: Side): Promise<void>;
}

const found = await detectCockroach();

/** A CockroachDB that is only known by its address cannot be killed. */
export function canKill(dialect: SecondaryDialect): boolean {
  return dialect === 'postgres' || found.kind === 'binary';
}

/** A server of its own for the primary only: the secondary is on the shared one. */
export async function mortalPrimary(name: string, dialect: SecondaryDialect): Promise<MortalPair> {
  const shared = await createDatabasePair(name, dialect);
  const server = await postgres('primary').catch(async (error: unknown) => {
    await shared[Symbol.asyncDispose]();
    throw error;
  });
  await query(server.url('postgres'), `CREATE DATABASE ${name}`);
  const only = (side: Side) => {
    if (side === 'secondary') throw new Error('The secondary of this pair is on a shared server');
    return server;
  };
  return {
    dialect,
    primary: { name, url: server.url(name) },
    secondary: shared.secondary,
    kill: (side) => only(side).kill(),
    shutDown: (side, timeoutMs) => only(side).shutDown(timeoutMs),
    startAgain: (side) => only(side).startAgain(),
    [Symbol.asyncDispose]: async () => {
      await server[Symbol.asyncDispose]();
      await shared[Symbol.asyncDispose]();
    },
  };
}

export async function mortalPair(name: string, dialect: SecondaryDialect): Promise<MortalPair> {
  const started = await Promise.allSettled([
    postgres('primary'),
    dialect === 'postgres' ? postgres('secondary') : cockroach(),
  ]);
  const close = async () => {
    for (const each of started) if (each.status === 'fulfilled') await each.value[Symbol.asyncDispose]();
  };
  try {
    const [primary, secondary] = started.map((each) => {
      if (each.status === 'rejected') throw each.reason;
      return each.value;
    }) as [Server, Server];
    await query(primary.url('postgres'), `CREATE DATABASE ${name}`);
    await query(secondary.url(dialect === 'postgres' ? 'postgres' : 'defaultdb'), `CREATE DATABASE ${name}`);
    const servers = { primary, secondary };
    return {
      dialect,
      primary: { name, url: primary.url(name) },
      secondary: { name, url: secondary.url(name) },
      kill: (side) => servers[side].kill(),
      shutDown: (side, timeoutMs) => servers[side].shutDown(timeoutMs),
      startAgain: (side) => servers[side].startAgain(),
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function postgres(name: string): Promise<Server> {
  const server = await EmbeddedServer.start({ name, settings: { fsync: 'off', wal_level: 'logical' } });
  return Object.assign(server, { shutDown: (timeoutMs: number) => server.stop('fast', timeoutMs) });
}

/** With the settings of a fresh cluster: its changefeeds resolve some seconds behind the present. */
async function cockroach(): Promise<Server> {
  const server = await DiskCockroach.start(found.kind === 'binary' ? found.path : '');
  await query(server.url(), 'SET CLUSTER SETTING kv.rangefeed.enabled = true');
  return {
    url: (database) => server.url(database),
    kill: () => server.kill(),
    shutDown: () => Promise.reject(new Error('This server is only killed')),
    startAgain: async () => {
      server.startAgain();
      await server.answers();
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
