/** P7: the initial load of a large table, from the start of the process, against two `psql` and a pipe. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { BenchContext, Workload } from './context.js';
import { sized } from './context.js';
import { Ours } from './ours.js';
import { insertSql, SCHEMA, tableSql } from './rows.js';
import { assertRows, freshTables, secondsSince } from './sides.js';

export const initialLoad: Workload = {
  ids: ['P7'],
  name: 'initial load',
  refused: ({ secondary }) =>
    secondary.isCockroach ? 'it is compared on a PostgreSQL secondary; on CockroachDB see P6' : null,
  async run(context) {
    const rows = sized(context, 1_000_000);
    const rates = { ours: [] as number[], psql: [] as number[] };
    const workload = `initial load of ${rows.toLocaleString('en-US')} rows`;
    let locks: readonly string[] = [];
    for (let turn = 0; turn < context.turns; turn += 1) {
      await freshTables(context, [tableSql('loaded'), insertSql('loaded', 1, rows)], 'primary');
      // As a table that has been there for a while: with statistics, and known to be visible to all.
      await context.primary.run(`VACUUM ANALYZE ${SCHEMA}.loaded`);
      const watch = await watchLocks(context);
      const began = performance.now();
      try {
        const ours = await Ours.start(context, { tables: ['loaded'], unverified: true });
        rates.ours.push(rows / secondsSince(began));
        await ours.stop();
      } finally {
        locks = await watch();
      }
      await assertRows(context.secondary, 'loaded', rows);

      await context.secondary.run(`DROP TABLE ${SCHEMA}.loaded`);
      await context.secondary.run(tableSql('loaded'));
      const copying = performance.now();
      const refusal = await copy(context);
      if (refusal !== null) return [{ id: 'P7', workload, reason: refusal }];
      rates.psql.push(rows / secondsSince(copying));
      await assertRows(context.secondary, 'loaded', rows);
    }
    return [
      {
        ...{
          id: 'P7',
          workload,
          unit: 'rows/s',
          ours: rates.ours,
          opponent: 'psql COPY | psql COPY',
          theirs: rates.psql,
        },
        aim: { of: 'ratio', least: 0.7 },
        notes: [
          locks.length === 0
            ? 'no lock on the primary beyond ACCESS SHARE, which only stops DDL'
            : `locks taken on the primary: ${locks.join(', ')}`,
        ],
      },
    ];
  },
};

/** Null when it went well; the reason when there is no psql. */
async function copy({ path, primary, secondary, signal }: BenchContext): Promise<string | null> {
  // Not as arguments: those of a process can be read by everybody.
  const env = { PATH: path, FROM: primary.url, TO: secondary.url };
  const table = `${SCHEMA}.loaded`;
  const script = `psql -X -q "$FROM" -c 'COPY ${table} TO STDOUT' | psql -X -q -v ON_ERROR_STOP=1 "$TO" -c 'COPY ${table} FROM STDIN'`;
  const found = await promisify(execFile)('/bin/sh', ['-c', 'command -v psql'], { env }).catch(() => null);
  if (found === null) return 'there is no psql on this machine';
  await promisify(execFile)('/bin/sh', ['-c', script], { env, signal });
  return null;
}

/** Locks of ours on the table that anybody could notice, seen by looking all the time. */
async function watchLocks({ primary }: BenchContext): Promise<() => Promise<readonly string[]>> {
  const client = await primary.connect();
  const seen = new Set<string>();
  let over = false;
  const watching = (async () => {
    while (!over) {
      const { rows } = await client.query<{ mode: string }>(
        `SELECT DISTINCT l.mode FROM pg_locks l JOIN pg_stat_activity a USING (pid)
         WHERE l.relation = $1::regclass AND a.application_name LIKE 'db-redundancy%' AND l.mode <> 'AccessShareLock'`,
        [`${SCHEMA}.loaded`],
      );
      for (const { mode } of rows) seen.add(mode);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  })();
  // Told when it is asked for: an interrupted run takes the table away beneath it.
  watching.catch(() => undefined);
  return async () => {
    over = true;
    await watching;
    await client.end();
    return [...seen];
  };
}
