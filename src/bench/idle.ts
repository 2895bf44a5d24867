/** P10 and P12: memory over everything that ran before, and what an idle system costs. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { BenchContext, Peak, Workload } from './context.js';
import type { Skipped } from './figures.js';
import { Ours } from './ours.js';
import { insertSql, tableSql } from './rows.js';
import { beside, freshTables } from './sides.js';

const MB = 1_000_000;
const SETTLE_MS = 15_000;

export const idle: Workload = {
  ids: ['P10', 'P12'],
  name: 'memory and idle',
  refused: () => null,
  async run(context) {
    const minutes = context.size < 0.1 ? 0.25 : context.idleMinutes;
    await freshTables(context, [tableSql('rows'), insertSql('rows', 1, 1000)], 'primary');
    return beside(
      () => Ours.start(context, { tables: ['rows'] }),
      async (ours) => {
        await sleep(context.size < 0.1 ? 2000 : SETTLE_MS, undefined, { signal: context.signal });
        const before = { cpu: await ours.cpu(), statements: await transactions(context) };
        const began = performance.now();
        await sleep(minutes * 60_000, undefined, { signal: context.signal });
        const seconds = (performance.now() - began) / 1000;
        const after = { cpu: await ours.cpu(), statements: await transactions(context) };
        const memory = await ours.memory();
        const none = { opponent: null, theirs: null, notes: [] };
        const statements =
          before.statements === null || after.statements === null
            ? null
            : ((after.statements - before.statements - OWN) / seconds) * 60;
        const cpu = before.cpu === null || after.cpu === null ? null : ((after.cpu - before.cpu) / seconds) * 100;
        const idleFor = `idle for ${Math.round(minutes * 60)} s`;
        const peaks = highest([...context.peaks, { workload: 'idle', bytes: memory?.peakBytes ?? 0 }]);
        const missing = (id: string, workload: string, reason: string): Skipped => ({ id, workload, reason });
        return [
          {
            ...{
              ...none,
              notes: [peaks.map(({ workload, bytes }) => `${workload} ${Math.round(bytes / MB)}`).join(', ')],
              id: 'P10',
              workload: `peak memory over ${context.peaks.length + 1} runs of the streamer`,
              unit: 'MB',
            },
            ...{ ours: [(peaks[0]?.bytes ?? 0) / MB], aim: { of: 'ours', most: 250 } },
          },
          memory === null
            ? missing('P10', 'idle memory', 'the process cannot be looked at')
            : {
                ...none,
                id: 'P10',
                workload: 'idle memory',
                unit: 'MB',
                ours: [memory.bytes / MB],
                aim: { of: 'ours', most: 120 },
              },
          statements === null
            ? missing('P12', 'statements when idle', 'others use the secondary, or it does not count by database')
            : {
                ...{ ...none, id: 'P12', workload: `${idleFor}: transactions on the secondary`, unit: 'a minute' },
                ...{ ours: [statements], aim: { of: 'ours', most: 4 } },
                notes: ['each statement is one when idle; counted by the server for the whole database'],
              },
          cpu === null
            ? missing('P12', 'CPU when idle', 'the process cannot be looked at')
            : {
                ...none,
                id: 'P12',
                workload: `${idleFor}: CPU of the process`,
                unit: '%',
                ours: [cpu],
                aim: { of: 'ours', most: 0.5 },
              },
        ];
      },
    );
  },
};

/** The look itself: its own two statements, of which the first is counted by the second look. */
const OWN = 2;

/** Transactions that the secondary's database has ended; null where others would be counted, too. */
async function transactions({ secondary }: BenchContext): Promise<number | null> {
  if (secondary.isCockroach) return null;
  const others = await secondary.value(
    `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' AND application_name NOT LIKE 'db-redundancy%'`,
  );
  if (others !== '0') return null;
  return Number(
    await secondary.value(
      'SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()',
    ),
  );
}

/** Of each workload its highest, from the top. */
function highest(peaks: readonly Peak[]): Peak[] {
  const most = new Map<string, number>();
  for (const { workload, bytes } of peaks) most.set(workload, Math.max(bytes, most.get(workload) ?? 0));
  return [...most].map(([workload, bytes]) => ({ workload, bytes })).sort((a, b) => b.bytes - a.bytes);
}
