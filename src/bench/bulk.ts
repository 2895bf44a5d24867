/** P1 and P11: one large transaction, from its commit until its last row can be read on the secondary. */
import type { BenchContext, Replication, Workload } from './context.js';
import { nativeOnly, sized } from './context.js';
import type { Figure, Skipped } from './figures.js';
import { Native } from './native.js';
import { Ours } from './ours.js';
import { insertSql, tableSql } from './rows.js';
import { assertRows, beside, freshTables, SELDOM_MS, secondsSince, untilVisible } from './sides.js';

interface Turn {
  readonly rowsPerSecond: number;
  /** From the first row's insert until the last is visible. */
  readonly wholeSeconds: number;
  /** Per million changes; null where it cannot be seen. */
  readonly cpu: number | null;
}

export const bulk: Workload = {
  ids: ['P1', 'P11'],
  name: 'one large transaction',
  refused: nativeOnly,
  async run(context) {
    const rows = sized(context, 500_000);
    const ours: Turn[] = [];
    const off: Turn[] = [];
    const parallel: Turn[] = [];
    const binary: Turn[] = [];
    const version = Number(await context.secondary.value(`SELECT current_setting('server_version_num')`));
    for (let turn = 0; turn < context.turns; turn += 1) {
      ours.push(await one(context, rows, () => Ours.start(context, { tables: ['rows'] })));
      off.push(await one(context, rows, () => Native.start(context, ['rows'])));
      binary.push(await one(context, rows, () => Native.start(context, ['rows'], { binary: true })));
      if (version >= 160_000)
        parallel.push(await one(context, rows, () => Native.start(context, ['rows'], { streaming: 'parallel' })));
    }
    return figuresOf(rows, ours, off, binary, parallel);
  },
};

async function one(context: BenchContext, rows: number, start: () => Promise<Replication>): Promise<Turn> {
  await freshTables(context, [tableSql('rows')]);
  return beside(start, async (replication) => {
    const before = await replication.cpu();
    const began = performance.now();
    await context.primary.run(insertSql('rows', 1, rows));
    const seconds = await untilVisible(context, 'rows', rows, SELDOM_MS);
    const wholeSeconds = secondsSince(began);
    const after = await replication.cpu();
    await assertRows(context.secondary, 'rows', rows);
    const cpu = before === null || after === null ? null : ((after - before) / rows) * 1e6;
    return { rowsPerSecond: rows / seconds, wholeSeconds, cpu };
  });
}

function figuresOf(rows: number, ours: Turn[], off: Turn[], binary: Turn[], parallel: Turn[]): (Figure | Skipped)[] {
  const workload = `${rows.toLocaleString('en-US')} rows in one transaction, from commit to visible`;
  const rates = (turns: readonly Turn[]) => turns.map((turn) => turn.rowsPerSecond);
  const whole = (turns: readonly Turn[]) => turns.map((turn) => turn.wholeSeconds.toFixed(2)).join(', ');
  const base = { id: 'P1', workload, unit: 'rows/s', ours: rates(ours) };
  const aim = { of: 'ratio', least: 1 } as const;
  const figures: (Figure | Skipped)[] = [
    {
      ...base,
      ...{ opponent: 'native subscription (streaming off)', theirs: rates(off), aim },
      notes: [`from the first insert to visible: ours ${whole(ours)} s, native ${whole(off)} s`],
    },
  ];
  figures.push({
    ...base,
    ...{ opponent: 'native subscription (binary)', theirs: rates(binary), aim: null },
    notes: ['values in binary, as ours has them where it knows every type; a subscription is asked for that by hand'],
  });
  if (parallel.length > 0)
    figures.push({
      ...base,
      ...{ opponent: 'native subscription (streaming parallel)', theirs: rates(parallel), aim: null },
      notes: [
        `it applies before the commit, in a second worker; from the first insert to visible it takes ${whole(parallel)} s`,
      ],
    });
  const cost = (turns: readonly Turn[]) => turns.flatMap(({ cpu }) => (cpu === null ? [] : [cpu]));
  const [cpu, theirs] = [cost(ours), cost(off)];
  const what = 'CPU per million changes, one large transaction';
  if (cpu.length < ours.length || theirs.length < off.length)
    figures.push({ id: 'P11', workload: what, reason: 'the native apply worker runs on another machine' });
  else
    figures.push({
      ...{ id: 'P11', workload: what, unit: 's', ours: cpu, opponent: 'native apply worker (streaming off)', theirs },
      ...{ aim: { of: 'ratio', most: 1 }, notes: [] },
    });
  return figures;
}
