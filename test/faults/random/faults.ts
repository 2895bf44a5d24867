/** What may go wrong, each with its mending: chosen by a seed, applied to a running cluster. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { CHUNK_POINTS, STREAM_POINTS } from '../../../src/core/crash-points.js';
import { STEP_POINTS } from '../../../src/failover/crash-points.js';
import { RECOVERY_POINTS } from '../../../src/recovery/options.js';
import type { SecondaryDialect } from '../../harness/secondary-dialects.js';
import { query } from '../../harness/sql.js';
import { waitFor } from '../../harness/wait.js';
import type { Random } from '../../integration/support/random.js';
import { type FaultCluster, LINKS } from './cluster.js';

export interface Fault {
  readonly name: string;
  readonly weight: number;
  /** Both when not given. */
  readonly dialect?: SecondaryDialect;
  /** Chooses its details at once, from `random` alone, and says them; resolves when it is over and mended. */
  plan(random: Random): { readonly what: string; run(cluster: FaultCluster): Promise<void> };
}

const SIDES = ['primary', 'secondary'] as const;
const PROGRAMS = ['streamer', 'controller'] as const;
const pick = <T>(random: Random, values: readonly T[]): T => values[random.int(0, values.length - 1)] as T;

/** A process that never gets there lives on. */
const CRASH_POINTS = {
  streamer: [...STREAM_POINTS, ...CHUNK_POINTS],
  controller: [...STEP_POINTS, ...RECOVERY_POINTS],
} as const;

export const FAULTS: readonly Fault[] = [
  {
    name: 'kill',
    weight: 3,
    plan(random) {
      const program = pick(random, PROGRAMS);
      const point = `${pick<string>(random, CRASH_POINTS[program])}#${random.int(1, 3)}`;
      const crashAt = random.chance(0.5) ? point : null;
      return {
        what: `kill -9 of the ${program}${crashAt ? `, and again at ${crashAt}` : ''}`,
        run: (cluster) => cluster[program].kill(crashAt),
      };
    },
  },
  {
    name: 'freeze',
    weight: 2,
    plan(random) {
      const program = pick(random, PROGRAMS);
      const ms = random.int(300, 14_000);
      return { what: `the ${program} stands still for ${ms} ms`, run: (cluster) => cluster[program].freeze(ms) };
    },
  },
  {
    name: 'link',
    weight: 6,
    plan(random) {
      const link = pick(random, LINKS);
      const kind = pick(random, [
        'rst',
        'fin',
        'refuse',
        'swallow',
        'swallow one way',
        'stall',
        'delay',
        'throttle',
      ] as const);
      const ms = random.int(200, 8000);
      const direction = pick(random, ['toTarget', 'toClient'] as const);
      return {
        what: `${link}: ${kind}${kind === 'swallow one way' ? ` ${direction}` : ''} for ${ms} ms`,
        async run(cluster) {
          const proxy = cluster.links[link];
          if (kind === 'rst' || kind === 'fin') return proxy.cut(kind);
          if (kind === 'refuse') {
            await proxy.refuse();
            proxy.cut('rst');
          }
          if (kind === 'swallow') proxy.swallow();
          if (kind === 'swallow one way') proxy.swallow(direction);
          if (kind === 'stall') proxy.stall();
          if (kind === 'delay') proxy.delayMs = 20 + (ms % 130);
          if (kind === 'throttle') proxy.bytesPerSecond = 20_000 + ms * 10;
          await sleep(ms);
          proxy.delayMs = 0;
          proxy.bytesPerSecond = undefined;
          proxy.resume();
          await proxy.accept();
        },
      };
    },
  },
  {
    name: 'answer to COMMIT lost',
    weight: 3,
    plan(random) {
      const link = pick(random, ['target', 'routerPrimary', 'routerSecondary', 'controlSecondary'] as const);
      return {
        what: `${link}: the answer to a COMMIT is lost`,
        async run(cluster) {
          const proxy = cluster.links[link];
          proxy.onData = (direction, data) => {
            if (direction !== 'toTarget' || !data.includes('COMMIT')) return 'forward';
            proxy.onData = undefined;
            return 'forward-then-cut';
          };
          await sleep(2000);
          proxy.onData = undefined;
        },
      };
    },
  },
  {
    name: 'server',
    weight: 3,
    plan(random) {
      const side = pick(random, SIDES);
      const how = pick(random, ['kill -9', 'fast', 'immediate'] as const);
      const ms = random.int(0, 5000);
      return {
        what: `the ${side} server ends (${how}) for ${ms} ms`,
        async run(cluster) {
          const server = cluster.servers[side];
          if (how === 'kill -9') await server.kill();
          else await server.stop(how);
          await sleep(ms);
          await server.start();
        },
      };
    },
  },
  {
    name: 'sessions ended',
    weight: 2,
    plan(random) {
      const side = pick(random, SIDES);
      return {
        what: `all sessions of the ${side} are ended`,
        async run(cluster) {
          const postgres = side === 'primary' || cluster.dialect === 'postgres';
          const statement = postgres
            ? `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()`
            : `CANCEL SESSIONS IF EXISTS (SELECT session_id FROM [SHOW SESSIONS] WHERE application_name LIKE 'db%redundancy%')`;
          await query(cluster.url(side), statement);
        },
      };
    },
  },
  {
    name: 'read-only target',
    weight: 1,
    dialect: 'postgres',
    plan(random) {
      const ms = random.int(500, 5000);
      return {
        what: `the secondary is read-only for ${ms} ms`,
        run: (cluster) => withSetting(cluster.url('secondary', 'postgres'), 'default_transaction_read_only = on', ms),
      };
    },
  },
  {
    name: 'short statement_timeout',
    weight: 1,
    dialect: 'postgres',
    plan(random) {
      const side = pick(random, SIDES);
      const ms = random.int(500, 5000);
      return {
        what: `statements on the ${side} end after 15 ms, for ${ms} ms`,
        run: (cluster) => withSetting(cluster.url(side, 'postgres'), `statement_timeout = '15ms'`, ms),
      };
    },
  },
  {
    name: 'out of connections',
    weight: 1,
    dialect: 'postgres',
    plan(random) {
      const side = pick(random, SIDES);
      const ms = random.int(500, 5000);
      return {
        what: `no connection is left on the ${side} for ${ms} ms`,
        run: (cluster) => crowd(cluster.url(side, 'postgres'), ms),
      };
    },
  },
  {
    name: 'locks',
    weight: 2,
    plan(random) {
      const side = pick(random, SIDES);
      const table = pick(random, ['lists', 'events', 'parts'] as const);
      const ms = random.int(200, 4000);
      return {
        what: `somebody locks ${table} on the ${side} for ${ms} ms`,
        run: (cluster) => lock(cluster, side, table, ms),
      };
    },
  },
  {
    name: 'contention on the checkpoint',
    weight: 1,
    plan(random) {
      const times = random.int(3, 12);
      return {
        what: `${times} transactions touch the checkpoint`,
        async run(cluster) {
          const client = await connected(cluster.url('secondary'));
          try {
            for (let i = 0; i < times; i++) {
              await client.query('BEGIN');
              await client.query('UPDATE db_redundancy.checkpoint SET slot = slot').catch(() => undefined);
              await sleep(60);
              await client.query('COMMIT').catch(() => client.query('ROLLBACK'));
            }
          } finally {
            await client.end().catch(() => undefined);
          }
        },
      };
    },
  },
  {
    name: 'slot dropped',
    weight: 1,
    plan: () => ({
      what: 'the slot is dropped',
      async run(cluster) {
        await query(
          cluster.url('primary'),
          `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'db_redundancy' AND active;
           SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'db_redundancy' AND NOT active`,
        );
      },
    }),
  },
  {
    name: 'order',
    weight: 5,
    plan(random) {
      const verb = pick(random, ['failover', 'failback'] as const);
      return { what: `a person orders a ${verb}`, run: async (cluster) => void (await cluster.order(verb)) };
    },
  },
];

/** For all sessions of the database: those that are there are ended, and come back with it. */
async function withSetting(admin: string, setting: string, ms: number): Promise<void> {
  const renew = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'faults'`;
  await query(admin, `ALTER DATABASE faults SET ${setting}; ${renew}`);
  try {
    await sleep(ms);
  } finally {
    // Another fault may have taken the server away, or just then change the same row.
    const reset = `ALTER DATABASE faults RESET ${setting.split(' ')[0]}; ${renew}`;
    const done = () => query(admin, reset).then(() => true);
    await waitFor(done, { what: 'the setting is taken back', timeoutMs: 30_000 });
  }
}

async function connected(url: string): Promise<Client> {
  const client = new Client({ connectionString: url, application_name: 'db-redundancy fault test' });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

async function lock(cluster: FaultCluster, side: 'primary' | 'secondary', table: string, ms: number): Promise<void> {
  const client = await connected(cluster.url(side));
  try {
    const postgres = side === 'primary' || cluster.dialect === 'postgres';
    await client.query('BEGIN');
    await client.query(
      postgres ? `LOCK TABLE ${table} IN EXCLUSIVE MODE` : `SELECT * FROM ${table} LIMIT 20 FOR UPDATE`,
    );
    await sleep(ms);
    await client.query('ROLLBACK');
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Takes connections until no more are given, and holds them. */
async function crowd(url: string, ms: number): Promise<void> {
  const clients: Client[] = [];
  try {
    for (;;) {
      const client = await connected(url).catch(() => null);
      if (client === null) break;
      clients.push(client);
    }
    await sleep(ms);
  } finally {
    await Promise.allSettled(clients.map((client) => client.end()));
  }
}
