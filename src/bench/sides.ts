/** Fresh tables on both sides, and the steps that every turn shares. */
import { setTimeout as sleep } from 'node:timers/promises';
import { RedundancyError } from '../core/errors.js';
import type { BenchContext, Replication } from './context.js';
import type { BenchDatabase } from './database.js';
import { DROP_SQL, SCHEMA } from './rows.js';
import { until } from './wait.js';

/** @param ddl run on each side; by default both have the tables before a replication begins */
export async function freshTables(
  { primary, secondary }: Pick<BenchContext, 'primary' | 'secondary'>,
  ddl: readonly string[],
  on: 'both' | 'primary' = 'both',
): Promise<void> {
  for (const side of [primary, secondary]) {
    await side.run(DROP_SQL);
    await side.run(`CREATE SCHEMA ${SCHEMA}`);
    if (side === primary || on === 'both') for (const sql of ddl) await side.run(sql);
    await checkpoint(side);
  }
}

/** So that one turn does not pay for the other's dirty pages. Where the role may not, it does. */
async function checkpoint(side: BenchDatabase): Promise<void> {
  if (!side.isCockroach) await side.run('CHECKPOINT').catch(() => undefined);
}

/** Runs `work` beside a replication, which is taken away afterwards. */
export async function beside<R extends Replication, T>(
  start: () => Promise<R>,
  work: (replication: R) => Promise<T>,
): Promise<T> {
  const replication = await start();
  try {
    await sleep(200);
    return await work(replication);
  } finally {
    await replication.stop();
  }
}

/** A look takes processors from what it looks at; what takes seconds is looked at so seldom. */
export const SELDOM_MS = 20;

/** Seconds until the row is on the secondary, from now. */
export async function untilVisible(
  { secondary, signal }: Pick<BenchContext, 'secondary' | 'signal'>,
  table: string,
  id: number,
  everyMs = 2,
): Promise<number> {
  const began = performance.now();
  await until(() => secondary.value(`SELECT 1 FROM ${SCHEMA}.${table} WHERE id = $1`, [id]), {
    what: `row ${id} is on the secondary`,
    signal,
    everyMs,
  });
  return (performance.now() - began) / 1000;
}

/** A figure of a replication that lost something is none. */
export async function assertRows(side: BenchDatabase, table: string, expected: number): Promise<void> {
  const found = Number(await side.value(`SELECT count(*) FROM ${SCHEMA}.${table}`));
  if (found !== expected)
    throw new RedundancyError(`The secondary has ${found} rows where ${expected} were written.`, {
      code: 'bench-rows',
      remedy: 'This should never happen; please report it.',
    });
}

/** Nothing of the workload reaches the secondary until the returned function is called. */
export async function holdWrites(side: BenchDatabase, lockSql: string): Promise<() => Promise<void>> {
  const client = await side.connect();
  await client.query('BEGIN');
  await client.query(lockSql);
  return async () => {
    await client.query('COMMIT');
    await client.end();
  };
}

export function secondsSince(began: number): number {
  return (performance.now() - began) / 1000;
}
