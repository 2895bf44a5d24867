/** P2: a backlog of many small transactions, worked off. */
import type { BenchContext, Replication, Workload } from './context.js';
import { nativeOnly, sized } from './context.js';
import { Native } from './native.js';
import { Ours } from './ours.js';
import { SCHEMA, tableSql, transactionsSql } from './rows.js';
import { assertRows, beside, freshTables, holdWrites, SELDOM_MS, untilVisible } from './sides.js';

const ROWS_EACH = 100;

export const smallTransactions: Workload = {
  ids: ['P2', 'P11'],
  name: 'the same rows in transactions of 100',
  refused: nativeOnly,
  async run(context) {
    const rows = sized(context, 500_000);
    const turns = { ours: [] as Drain[], native: [] as Drain[], binary: [] as Drain[] };
    for (let turn = 0; turn < context.turns; turn += 1) {
      turns.ours.push(await one(context, rows, () => Ours.start(context, { tables: ['rows'] })));
      turns.native.push(await one(context, rows, () => Native.start(context, ['rows'])));
      turns.binary.push(await one(context, rows, () => Native.start(context, ['rows'], { binary: true })));
    }
    const { binary, native, ours } = turns;
    const what = `${rows.toLocaleString('en-US')} rows in transactions of ${ROWS_EACH}, a backlog`;
    const cost = (drains: readonly Drain[]) => drains.flatMap(({ cpu }) => (cpu === null ? [] : [cpu]));
    const [cpu, theirs] = [cost(ours), cost(native)];
    const rates = { id: 'P2', workload: what, unit: 'rows/s', ours: ours.map(({ rate }) => rate), notes: [] };
    return [
      {
        ...{ ...rates, opponent: 'native subscription', theirs: native.map(({ rate }) => rate) },
        aim: { of: 'ratio', least: 1.2 },
      },
      { ...rates, opponent: 'native subscription (binary)', theirs: binary.map(({ rate }) => rate), aim: null },
      theirs.length < native.length || cpu.length < ours.length
        ? { id: 'P11', workload: what, reason: 'the native apply worker runs on another machine' }
        : {
            ...{ id: 'P11', workload: `CPU per million changes, transactions of ${ROWS_EACH}`, unit: 's', ours: cpu },
            ...{ opponent: 'native apply worker', theirs, aim: { of: 'ratio', most: 1 }, notes: [] },
          },
    ];
  },
};

interface Drain {
  /** Rows a second. */
  readonly rate: number;
  /** Seconds per million changes; null where it cannot be seen. */
  readonly cpu: number | null;
}

/** Both are held by a lock on the table while the backlog grows, and begin at the same moment: its release. */
async function one(context: BenchContext, rows: number, start: () => Promise<Replication>): Promise<Drain> {
  await freshTables(context, [tableSql('rows')]);
  return beside(start, async (replication) => {
    const lock = `LOCK TABLE ${SCHEMA}.rows IN SHARE ROW EXCLUSIVE MODE`;
    const before = await replication.cpu();
    const release = await holdWrites(context.secondary, lock);
    await context.primary.run(transactionsSql('rows', rows, ROWS_EACH));
    await release();
    const seconds = await untilVisible(context, 'rows', rows, SELDOM_MS);
    const after = await replication.cpu();
    await assertRows(context.secondary, 'rows', rows);
    const cpu = before === null || after === null ? null : ((after - before) / rows) * 1e6;
    return { rate: rows / seconds, cpu };
  });
}
