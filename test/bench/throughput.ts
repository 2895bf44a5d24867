import type { Pool } from 'pg';

export interface Throughput {
  readonly plainPerSecond: number;
  readonly routedPerSecond: number;
  /** Median over the pairs of rounds, each of which met the same machine. */
  readonly ratio: number;
  readonly rounds: number;
}

/** Rounds in turns, the first of each pair changing, after one pair for warming up that does not count. */
export async function compareThroughput(
  plain: Pool,
  routed: Pool,
  { rounds, queries, lanes }: { rounds: number; queries: number; lanes: number },
): Promise<Throughput> {
  const times = { plain: [] as number[], routed: [] as number[] };
  for (let round = 0; round <= rounds; round += 1) {
    const order = round % 2 === 0 ? (['plain', 'routed'] as const) : (['routed', 'plain'] as const);
    for (const which of order) {
      const seconds = await run(which === 'plain' ? plain : routed, queries, lanes);
      if (round > 0) times[which].push(seconds);
    }
  }
  const ratios = times.plain.map((seconds, index) => seconds / (times.routed[index] ?? Number.NaN));
  return {
    plainPerSecond: queries / median(times.plain),
    routedPerSecond: queries / median(times.routed),
    ratio: median(ratios),
    rounds,
  };
}

async function run(pool: Pool, queries: number, lanes: number): Promise<number> {
  const begun = performance.now();
  let left = queries;
  const lane = async () => {
    while (left > 0) {
      left -= 1;
      await pool.query('SELECT 1');
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return (performance.now() - begun) / 1000;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
