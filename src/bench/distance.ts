/** P5: the secondary is 30 ms away. What one target transaction for each source transaction would give is measured too. */
import type { BenchContext, Workload } from './context.js';
import { liveSeconds } from './context.js';
import { BenchDatabase } from './database.js';
import { percentile } from './figures.js';
import { live, steadyLoad } from './live.js';
import { MIX_TABLES } from './mix.js';
import { Ours } from './ours.js';
import { startRelay } from './relay.js';
import { insertOneSql, tableSql } from './rows.js';
import { freshTables, secondsSince } from './sides.js';

const ROUND_TRIP_MS = 30;

export const distance: Workload = {
  ids: ['P5'],
  name: `a secondary ${ROUND_TRIP_MS} ms away`,
  refused: (context) =>
    context.embedded || new URL(context.secondary.url).hostname === '127.0.0.1'
      ? null
      : 'the relay that keeps bytes waiting needs a secondary on this machine, without TLS',
  async run(context) {
    const relay = await startRelay(context.secondary.url, ROUND_TRIP_MS / 2);
    try {
      const rates: number[] = [];
      const written: number[] = [];
      const plain: number[] = [];
      const p99: number[] = [];
      const start = () => Ours.start(context, { tables: MIX_TABLES, secondaryUrl: relay.url });
      const seconds = liveSeconds(context);
      for (let turn = 0; turn < context.turns; turn += 1) {
        const fast = await live(context, { clients: 8, perSecond: null, seconds, probeEveryMs: 20 }, start);
        written.push(Math.round(fast.transactions / seconds));
        rates.push((fast.transactions + fast.delays.length) / fast.wholeSeconds);
        plain.push(await oneByOne(context, relay.url, Math.min(seconds, 5)));
        const paced = await live(context, steadyLoad(context), start);
        p99.push(percentile(paced.delays, 0.99));
      }
      const where = `secondary ${ROUND_TRIP_MS} ms away`;
      return [
        {
          ...{ id: 'P5', workload: `${where}: one-row transactions, 8 clients`, unit: 'tx/s', ours: rates },
          ...{ opponent: 'one target transaction for each', theirs: plain, aim: { of: 'ratio', least: 20 } },
          // More than the source writes cannot arrive.
          notes: [`transactions a second on the source: ${written.join(', ')}`],
        },
        {
          ...{ id: 'P5', workload: `${where}: 1,000 transactions a second, p99`, unit: 'ms', ours: p99, notes: [] },
          ...{ opponent: null, theirs: null, aim: { of: 'ours', most: 150 } },
        },
      ];
    } finally {
      relay.close();
    }
  },
};

/** One connection, one round trip a transaction, as a naive applier has it. */
async function oneByOne(context: BenchContext, url: string, seconds: number): Promise<number> {
  await freshTables(context, [tableSql('plain')]);
  const database = await BenchDatabase.open(url);
  try {
    const began = performance.now();
    let done = 0;
    while (secondsSince(began) < seconds) {
      context.signal.throwIfAborted();
      done += 1;
      await database.run(`BEGIN; ${insertOneSql('plain', String(done))}; COMMIT`);
    }
    return done / secondsSince(began);
  } finally {
    await database.close();
  }
}
