/**
 * What verify costs, against the cheapest look at every row that PostgreSQL offers: `npm run bench:verify`. Both are
 * measured in the same run, turn by turn, on both servers at once; the ratio of the medians is printed.
 */
import { describe, expect, it } from 'vitest';
import { createDatabasePair } from '../harness/cluster.js';
import { query, withClient } from '../harness/sql.js';
import { counts, EQUAL, verify } from '../integration/support/reconcile.js';
import { RunningStream } from '../integration/support/stream.js';

const ROWS = Number(process.env.DB_BENCH_ROWS ?? 1_000_000);
const TURNS = 7;

const DDL = `
CREATE TABLE t (id bigint PRIMARY KEY, wallet uuid NOT NULL, name text, status varchar(20) NOT NULL, amount numeric(20, 2), fee float8,
  active boolean NOT NULL, tags text[], doc jsonb, note text, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL);
INSERT INTO t SELECT i, md5(i::text)::uuid, 'name of ' || i, (ARRAY['open', 'closed', 'pending'])[1 + i % 3], i * 1.37, i / 7.0, i % 2 = 0,
  ARRAY['a', i::text], jsonb_build_object('n', i, 'k', 'v' || i), CASE WHEN i % 4 = 0 THEN repeat('x', i % 60) END,
  '2026-01-01'::timestamptz + i * interval '1 second', '2026-01-01'::timestamptz + i * interval '1 second'
FROM generate_series(1, ${ROWS}) i`;

const BASELINE = 'SELECT count(*), sum(hashtext(t::text)) FROM t';

const median = (times: readonly number[]) => [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)] as number;

describe.skipIf(process.env.DB_BENCH !== '1')('verify of equal rows on two PostgreSQL servers', () => {
  it('costs at most twice the cheapest look at every row', async () => {
    await using pair = await createDatabasePair('bench');
    await query(pair.primary.url, DDL);
    await using stream = await new RunningStream(pair).streaming(600_000);
    const sides = [pair.primary.url, pair.secondary.url];
    for (const url of sides) await query(url, 'VACUUM ANALYZE t');
    const baseline: number[] = [];
    const ours: number[] = [];
    for (let turn = 0; turn < TURNS; turn++) {
      const started = performance.now();
      await Promise.all(sides.map((url) => withClient(url, (client) => client.query(BASELINE))));
      baseline.push((performance.now() - started) / 1000);
      const outcome = (await verify(stream, { timeoutMs: 600_000 })).get('t');
      if (!outcome) throw new Error('There is no outcome.');
      expect(counts(outcome)).toEqual(EQUAL);
      expect(outcome.rows).toBe(ROWS);
      ours.push(outcome.seconds);
    }
    const ratio = median(ours) / median(baseline);
    console.log(
      `${ROWS} rows: verify ${median(ours).toFixed(2)} s, count and hashtext on both servers ${median(baseline).toFixed(2)} s, ratio ${ratio.toFixed(2)}`,
    );
    expect(ratio).toBeLessThan(2);
  }, 1_200_000);
});
