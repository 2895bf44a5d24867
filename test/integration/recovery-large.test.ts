/** G4 on the way home, and its figures: a tail and a journal of 100,000 rows each. Only under DB_TEST_LONG. */
import { expect, it } from 'vitest';
import { describeDialects } from '../harness/secondary-dialects.js';
import { copying, failedOver, fenceOf, recoveryOf } from './support/recovery.js';

const long = process.env.DB_TEST_LONG !== undefined;

describeDialects('a long recovery', (dialect) => {
  it.skipIf(!long)('G4 merges and copies in bounded memory', { timeout: 600_000 }, async () => {
    const rows = 100_000;
    await using it_ = await failedOver(
      `CREATE TABLE t (id int PRIMARY KEY, v text, n numeric(12, 2), j jsonb, updated_at timestamptz NOT NULL DEFAULT now());
       INSERT INTO t SELECT i, repeat(md5(i::text), 10), i, '{"a": 1}', '2026-01-01' FROM generate_series(1, ${2 * rows}) i;`,
      { dialect },
    );
    const { pair, primary, secondary } = it_;
    await primary(`UPDATE t SET v = 'tail' || v, updated_at = '2026-01-02' WHERE id <= ${rows}`);
    await using recovery = recoveryOf(pair);
    await recovery.notePosition(2);
    recovery.follow();
    for (let from = 0; from < rows; from += 10_000)
      await secondary(
        `UPDATE t SET v = 'app' || v, updated_at = '2026-01-03' WHERE id > ${rows - 1000 + from} AND id <= ${rows - 1000 + from + 10_000}`,
      );
    let peak = 0;
    const watch = setInterval(() => {
      peak = Math.max(peak, process.memoryUsage().rss);
    }, 20);
    const started = performance.now();
    const seconds = () => Math.round((performance.now() - started) / 100) / 10;
    recovery.recoverPrimary(await fenceOf(pair));
    while (!recovery.progress().tailMerged) await new Promise((resolve) => setTimeout(resolve, 20));
    const merged = seconds();
    await copying(recovery, 300_000);
    const copied = seconds();
    const drained = await recovery.drain(new AbortController().signal);
    clearInterval(watch);
    console.log(
      `${dialect}: ${rows} rows merged after ${merged} s, ${rows} copied after ${copied} s, drain ${drained.tookMs} ms for ${drained.compared} keys, peak RSS ${peak >> 20} MiB`,
    );
    expect(drained.compared).toBeGreaterThanOrEqual(rows);
    const { primary: ours, secondary: theirs } = await it_.equal('t');
    expect(ours).toEqual(theirs);
    expect(recovery.progress().conflicts).toBe(1000);
  });
});
