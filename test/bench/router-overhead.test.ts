/**
 * `npm run bench:router`: SELECT 1 through RouterPool and through pg.Pool, in turns in one process on one server, so
 * that whatever else the machine does weighs on both alike. In `npm test` a shorter form with a looser limit.
 */
import { Pool } from 'pg';
import { expect, it } from 'vitest';
import { Routing } from '../integration/support/routing.js';
import { compareThroughput } from './throughput.js';

const LONG = process.env.DB_TEST_LONG === '1';

it('throughput of SELECT 1 is that of pg.Pool', async () => {
  await using routing = await Routing.open({ leaseMs: 10_000, renewMs: 3_000 });
  const primary = { connectionString: routing.urls.primary, max: 4 };
  const plain = new Pool(primary);
  const routed = routing.pool({ primary });
  const work = LONG ? { rounds: 40, queries: 5_000, lanes: 4 } : { rounds: 9, queries: 500, lanes: 4 };
  const result = await compareThroughput(plain, routed, work);
  console.log(
    `pg.Pool ${result.plainPerSecond.toFixed(0)}/s, RouterPool ${result.routedPerSecond.toFixed(0)}/s, ` +
      `ratio ${result.ratio.toFixed(3)} (median of ${result.rounds} pairs)`,
  );
  expect(routed.metrics().vouched).toBe('controller');
  expect(result.ratio).toBeGreaterThan(LONG ? 0.95 : 0.8);
  await plain.end();
}, 180_000);
