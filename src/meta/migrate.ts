/**
 * Applies `migrations/<side>/*.sql` in order, once each, under a lock that is a row (CockroachDB has no advisory locks).
 * Every file is idempotent as well, so that a crash between a file and its record does no harm.
 */
import { randomUUID } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { ClientBase } from 'pg';
import { Umzug } from 'umzug';
import type { Clock } from '../core/clock.js';
import { RedundancyError } from '../core/errors.js';
import type { Log } from '../core/log.js';

export type Side = 'primary' | 'secondary';

const LOCK_SECONDS = 60;
const LOCK_WAIT_MS = 120_000;

const BOOTSTRAP = `
CREATE SCHEMA IF NOT EXISTS db_redundancy;
CREATE TABLE IF NOT EXISTS db_redundancy.migrations (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS db_redundancy.locks (name text PRIMARY KEY, holder text NOT NULL, until timestamptz NOT NULL)`;

/** Two processes that create the same object at once: one of them gets one of these, and the object is there. */
const CREATE_RACES = new Set(['23505', '42P06', '42P07', '42710', '40001', 'XX000']);

export async function migrate(client: ClientBase, side: Side, clock: Clock, log: Log): Promise<string[]> {
  await bootstrap(client, clock);
  if (await upToDate(client, side)) return [];
  const holder = randomUUID();
  await lock(client, holder, clock);
  try {
    const migrations = new Umzug({
      migrations: (await files(side)).map((name) => ({
        name: `${side}/${name}`,
        up: async () => {
          await client.query(await readFile(new URL(name, folder(side)), 'utf8'));
        },
      })),
      storage: {
        logMigration: async ({ name }) => {
          await client.query('INSERT INTO db_redundancy.migrations (name) VALUES ($1) ON CONFLICT (name) DO NOTHING', [
            name,
          ]);
        },
        unlogMigration: async ({ name }) => {
          await client.query('DELETE FROM db_redundancy.migrations WHERE name = $1', [name]);
        },
        executed: () => applied(client),
      },
      logger: undefined,
    });
    const done = (await together(client, clock, () => migrations.up())).map((migration) => migration.name);
    if (done.length > 0)
      log.info(
        { side, migrations: done },
        `Metadata schema on the ${side} is up to date (${done.length} migrations applied)`,
      );
    return done;
  } finally {
    await client.query('DELETE FROM db_redundancy.locks WHERE name = $1 AND holder = $2', ['migrate', holder]);
  }
}

/**
 * All or none; and CockroachDB waits once, at the commit, for what it otherwise waits for after each statement: for every
 * node to know of the new schema. A version that commits before each DDL statement runs them one by one.
 */
async function together<T>(client: ClientBase, clock: Clock, work: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    await client.query('BEGIN');
    try {
      const result = await work();
      await client.query('COMMIT');
      return result;
    } catch (error) {
      await client.query('ROLLBACK');
      const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
      if (attempt >= 5 || (cause as { code?: string }).code !== '40001') throw error;
      await clock.sleep(50 * 2 ** attempt);
    }
  }
}

async function bootstrap(client: ClientBase, clock: Clock): Promise<void> {
  const { rows } = await client.query(
    `SELECT 1 FROM information_schema.tables WHERE table_schema = 'db_redundancy' AND table_name IN ('migrations', 'locks')`,
  );
  if (rows.length === 2) return;
  for (const statement of BOOTSTRAP.split(';')) {
    for (let attempt = 0; ; attempt++) {
      try {
        await client.query(statement);
        break;
      } catch (error) {
        if (attempt >= 5 || !CREATE_RACES.has((error as { code?: string }).code ?? '')) throw error;
        await clock.sleep(50);
      }
    }
  }
}

async function upToDate(client: ClientBase, side: Side): Promise<boolean> {
  const done = new Set(await applied(client));
  return (await files(side)).every((name) => done.has(`${side}/${name}`));
}

async function applied(client: ClientBase): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>('SELECT name FROM db_redundancy.migrations ORDER BY name');
  return rows.map((row) => row.name);
}

async function lock(client: ClientBase, holder: string, clock: Clock): Promise<void> {
  const deadline = clock.monotonic() + LOCK_WAIT_MS;
  for (;;) {
    const { rows } = await client.query(
      `INSERT INTO db_redundancy.locks AS l (name, holder, until) VALUES ('migrate', $1, now() + interval '${LOCK_SECONDS} seconds')
       ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until WHERE l.until < now() RETURNING holder`,
      [holder],
    );
    if (rows.length > 0) return;
    if (clock.monotonic() > deadline) {
      throw new RedundancyError('Another process has held the migration lock for two minutes.', {
        code: 'migration-lock',
        remedy: `Wait for it, or, if it is dead, run: DELETE FROM db_redundancy.locks WHERE name = 'migrate'`,
      });
    }
    await clock.sleep(250);
  }
}

function folder(side: Side): URL {
  return new URL(`../../migrations/${side}/`, import.meta.url);
}

async function files(side: Side): Promise<string[]> {
  const names = await readdir(fileURLToPath(folder(side)));
  return names.filter((name) => name.endsWith('.sql')).sort();
}
