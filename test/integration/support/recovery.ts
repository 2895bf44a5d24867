/** A pair that was streamed and then failed over, driven through a recovery without a controller. */

import { dropCatchUpSlot } from '../../../src/catchup/postgres-source.js';
import { systemClock } from '../../../src/core/clock.js';
import type { TableName } from '../../../src/core/ident.js';
import { type Lsn, parseLsn } from '../../../src/core/lsn.js';
import { DatabaseRecovery } from '../../../src/recovery/database-recovery.js';
import type { CrashPoint, RecoveryOptions } from '../../../src/recovery/options.js';
import type { DatabasePair } from '../../harness/cluster.js';
import type { SecondaryDialect } from '../../harness/secondary-dialects.js';
import { query } from '../../harness/sql.js';
import { waitFor } from '../../harness/wait.js';
import { connectionOf } from '../catchup-support.js';
import { bothSides, RunningStream, streamingPair, streamNames, TestLog } from './stream.js';

/** Dies at the n-th time that it comes by the point, or by any. */
export interface CrashPlan {
  readonly point: CrashPoint | null;
  readonly after: number;
}

export function recoveryOf(pair: DatabasePair, crash: CrashPlan | null = null, options: Partial<RecoveryOptions> = {}) {
  const log = new TestLog();
  let seen = 0;
  let crashed: () => void = () => undefined;
  const untilCrash = new Promise<void>((resolve) => {
    crashed = resolve;
  });
  let bury: (error: Error) => void = () => undefined;
  const buried = new Promise<never>((_, reject) => {
    bury = reject;
  });
  buried.catch(() => undefined);
  const recovery = new DatabaseRecovery({
    ...streamNames(pair),
    catchUpSlot: `catchup_${pair.secondary.name}`,
    catchUpPublication: 'db_redundancy_catchup',
    primary: connectionOf(pair.primary.url),
    secondary: connectionOf(pair.secondary.url),
    clock: systemClock,
    log,
    pollMs: 20,
    backoffMs: { initial: 5, max: 100 },
    at: async (point) => {
      if (!crash || (crash.point ?? point) !== point || ++seen < crash.after) return;
      if (process.env.DB_TEST_LOG) console.log('crash at', point);
      crashed();
      // Nothing that follows happens: the process is gone.
      await buried;
    },
    ...options,
  });
  return Object.assign(recovery, {
    log,
    /** Resolves when it has died. */
    crashed: untilCrash,
    /** What is left of a dead process in this one. */
    async bury(): Promise<void> {
      const stopped = recovery.stop();
      bury(new Error('This process has died'));
      await stopped;
    },
  });
}

export type TestRecovery = ReturnType<typeof recoveryOf>;

/** Behind the last commit of a primary to which nobody writes. */
export async function fenceOf(pair: DatabasePair): Promise<Lsn> {
  const [row] = await query<{ lsn: string }>(pair.primary.url, 'SELECT pg_current_wal_insert_lsn()::text AS lsn');
  return parseLsn(row?.lsn ?? '0/0');
}

export async function copying(recovery: TestRecovery, timeoutMs = 30_000): Promise<void> {
  await waitFor(() => recovery.progress().phase === 'copying' && recovery.progress().lagMs !== null, {
    what: `the recovery copies; ${JSON.stringify(recovery.progress())} ${JSON.stringify(recovery.log.entries.slice(-3), (_, value: unknown) => (value instanceof Error ? value.stack : value))}`,
    timeoutMs,
  });
}

/** Streamed, and stopped: what is written to the primary from now on is the tail. */
export async function failedOver(
  ddl: string,
  options: { dialect: SecondaryDialect; tables?: readonly TableName[] } = { dialect: 'postgres' },
) {
  const base = await streamingPair(ddl, options);
  await base.stream.caughtUp();
  await base.stream.stop();
  const { pair } = base;
  return {
    ...base,
    conflicts: () =>
      query<Record<string, string>>(
        pair.secondary.url,
        'SELECT * FROM db_redundancy.conflicts ORDER BY table_name, row_key',
      ),
    /** Back on the primary: streams again and is equal. */
    async streamAgain(): Promise<RunningStream> {
      const stream = await new RunningStream(pair).streaming();
      await stream.caughtUp();
      return stream;
    },
    equal: (table: string | TableName) => bothSides(pair, table),
    async [Symbol.asyncDispose]() {
      if (pair.dialect === 'postgres')
        await dropCatchUpSlot(connectionOf(pair.secondary.url), `catchup_${pair.secondary.name}`).catch(
          () => undefined,
        );
      await base[Symbol.asyncDispose]();
    },
  };
}
