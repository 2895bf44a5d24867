/** P3 and P4: beside a live application, as fast as it goes and at 1,000 transactions a second. */
import type { BenchContext, Replication, Workload } from './context.js';
import { liveSeconds, nativeOnly } from './context.js';
import { type Figure, percentile } from './figures.js';
import { MixClients } from './load.js';
import { MIX_SQL, MIX_TABLES, mixSeedSql } from './mix.js';
import { Native } from './native.js';
import { Ours } from './ours.js';
import { PROBE_SQL, probing } from './probe.js';
import { beside, freshTables, secondsSince } from './sides.js';

const WARM_SECONDS = 2;

interface Live {
  /** Milliseconds from commit to visible. */
  readonly delays: readonly number[];
  readonly transactions: number;
  /** From the end of the load until everything was visible. */
  readonly drainSeconds: number;
  readonly wholeSeconds: number;
}

export interface Load {
  readonly clients: number;
  readonly perSecond: number | null;
  readonly seconds: number;
  readonly probeEveryMs: number;
  /** At the beginning, and not counted in the delays; 0 by default. */
  readonly warmSeconds?: number;
}

export async function live(context: BenchContext, load: Load, start: () => Promise<Replication>): Promise<Live> {
  await freshTables(context, [MIX_SQL, PROBE_SQL, mixSeedSql()], context.secondary.isCockroach ? 'primary' : 'both');
  return beside(start, async () => {
    const clients = await MixClients.start(context, load);
    try {
      let transactions = 0;
      let ended = 0;
      const began = performance.now();
      const work = async () => {
        transactions = await clients.write();
        ended = performance.now();
      };
      const delays = await probing(context, load.probeEveryMs, work, (load.warmSeconds ?? 0) * 1000);
      return { delays, transactions, drainSeconds: secondsSince(ended), wholeSeconds: secondsSince(began) };
    } finally {
      await clients.stop();
    }
  });
}

export const fullSpeed: Workload = {
  ids: ['P3'],
  name: 'one-row transactions as fast as the source goes',
  refused: nativeOnly,
  async run(context) {
    const load = { clients: 8, perSecond: null, seconds: liveSeconds(context), probeEveryMs: 20 };
    const { native, ours } = await turns(context, load);
    const what = `8 clients, one-row transactions, ${load.seconds} s`;
    const base = { id: 'P3', opponent: 'native subscription' };
    const worst = (each: Live) => Math.max(...each.delays) / 1000;
    const rates = (all: readonly Live[]) => all.map((each) => Math.round(each.transactions / load.seconds)).join(', ');
    return [
      {
        ...{
          ...base,
          workload: `${what}: furthest behind`,
          unit: 's',
          ours: ours.map(worst),
          theirs: native.map(worst),
        },
        aim: { of: 'ours', most: 1 },
        notes: [`transactions a second on the source: beside ours ${rates(ours)}, beside native ${rates(native)}`],
      },
      {
        ...{ ...base, workload: `${what}: drained after its end`, unit: 's', aim: { of: 'ratio', most: 1 }, notes: [] },
        ...{ ours: ours.map((each) => each.drainSeconds), theirs: native.map((each) => each.drainSeconds) },
      },
    ];
  },
};

/** 900 transactions and 100 of the probe a second, and some time before they count. */
export function steadyLoad(context: BenchContext) {
  const warmSeconds = WARM_SECONDS;
  return { clients: 4, perSecond: 900, seconds: liveSeconds(context) + warmSeconds, probeEveryMs: 10, warmSeconds };
}

export const steady: Workload = {
  ids: ['P4'],
  name: '1,000 transactions a second',
  refused: nativeOnly,
  async run(context) {
    const load = steadyLoad(context);
    const { native, ours } = await turns(context, load);
    const at = (all: readonly Live[], share: number) => all.map(({ delays }) => percentile(delays, share));
    const rates = (all: readonly Live[]) =>
      all.map((each) => Math.round(each.transactions / load.seconds + 1000 / load.probeEveryMs)).join(', ');
    const figure = (name: string, share: number): Figure => ({
      ...{ id: 'P4', workload: `1,000 transactions a second: commit to visible, ${name}`, unit: 'ms' },
      ...{ ours: at(ours, share), opponent: 'native subscription', theirs: at(native, share), notes: [] },
      aim: { of: 'ratio', most: share === 0.5 ? 2 : 3 },
    });
    const p99 = figure('p99', 0.99);
    return [
      figure('p50', 0.5),
      {
        ...p99,
        notes: [
          `transactions a second: beside ours ${rates(ours)}, beside native ${rates(native)}`,
          `of both without the first ${load.warmSeconds} s: a program that has just started compiles itself meanwhile`,
        ],
      },
      { ...p99, workload: `${p99.workload}, its limit`, opponent: null, theirs: null, aim: { of: 'ours', most: 25 } },
    ];
  },
};

async function turns(context: BenchContext, load: Load): Promise<{ ours: Live[]; native: Live[] }> {
  const ours: Live[] = [];
  const native: Live[] = [];
  for (let turn = 0; turn < context.turns; turn += 1) {
    ours.push(await live(context, load, () => Ours.start(context, { tables: MIX_TABLES })));
    native.push(await live(context, load, () => Native.start(context, MIX_TABLES)));
  }
  return { ours, native };
}
