/** The way back from a failover, step by step and without a controller (SPEC 7; G7, G8). */
import { expect, it } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import type { TargetLink } from '../../src/meta/target-link.js';
import { CatchupStore } from '../../src/recovery/catchup-store.js';
import { secondaryLink } from '../../src/recovery/connections.js';
import { Following } from '../../src/recovery/following.js';
import { Journal } from '../../src/recovery/journal.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { waitFor } from '../harness/wait.js';
import { connectionOf } from './catchup-support.js';
import { copying, failedOver, fenceOf, recoveryOf } from './support/recovery.js';
import { streamNames, TestLog } from './support/stream.js';

const DDL = `
CREATE TABLE t (id serial PRIMARY KEY, v text, updated_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE plain (id int PRIMARY KEY, v text);
INSERT INTO t (v, updated_at) SELECT 'v' || i, '2026-01-01' FROM generate_series(1, 10) i;
INSERT INTO plain SELECT i, 'v' || i FROM generate_series(1, 10) i;`;

const never = new AbortController().signal;

describeDialects('recovery', (dialect) => {
  it('G7 G8 merges the tail, brings home what was written on the secondary, and hands the stream back', async () => {
    await using it_ = await failedOver(DDL, { dialect });
    const { pair, primary, secondary } = it_;
    // The tail: committed on the primary, never streamed.
    await primary(`UPDATE t SET v = 'tail', updated_at = '2026-01-02' WHERE id = 1`);
    await primary(`UPDATE t SET v = 'tail', updated_at = '2026-01-02' WHERE id IN (2, 3)`);
    await primary(`INSERT INTO t (id, v) VALUES (100, 'tail only'); DELETE FROM t WHERE id = 4`);
    await primary(`UPDATE plain SET v = 'tail' WHERE id IN (1, 2); DELETE FROM plain WHERE id = 3`);
    await using recovery = recoveryOf(pair);
    await recovery.notePosition(7);
    recovery.follow();
    await secondary(`UPDATE t SET v = 'older', updated_at = '2026-01-01 12:00:00' WHERE id = 2`);
    await secondary(`UPDATE t SET v = 'newer', updated_at = '2026-01-03' WHERE id = 3`);
    await secondary(
      `UPDATE t SET v = 'kept' WHERE id = 5; DELETE FROM t WHERE id = 6; UPDATE t SET id = 70 WHERE id = 7`,
    );
    await secondary(`INSERT INTO t (id, v) VALUES (200, 'new')`);
    await secondary(`UPDATE plain SET v = 'later' WHERE id = 2; DELETE FROM plain WHERE id = 10`);
    recovery.recoverPrimary(await fenceOf(pair));
    await copying(recovery);
    await secondary(`INSERT INTO plain VALUES (300, 'while copying')`);
    const drained = await recovery.drain(never);
    expect(drained.compared).toBeGreaterThan(8);
    for (const table of ['t', 'plain']) {
      const { primary: ours, secondary: theirs } = await it_.equal(table);
      expect(ours).toEqual(theirs);
    }
    const rows = await primary(`SELECT id, v FROM t WHERE id IN (1, 2, 3, 4, 5, 6, 7, 70, 100, 200) ORDER BY id`);
    expect(rows.map((row) => `${row.id} ${row.v}`)).toEqual([
      '1 tail',
      '2 tail',
      '3 newer',
      '5 kept',
      '70 v7',
      '100 tail only',
      '200 new',
    ]);
    expect(await primary('SELECT id, v FROM plain WHERE id IN (1, 2, 3, 10, 300) ORDER BY id')).toEqual([
      { id: 1, v: 'tail' },
      { id: 2, v: 'later' },
      { id: 300, v: 'while copying' },
    ]);
    const conflicts = (await it_.conflicts()).map((row) => ({
      key: `${row.table_name} ${row.row_key}`,
      winner: row.winner,
      rule: row.rule,
      primary: (JSON.parse(row.primary_version ?? 'null') as { v: string } | null)?.v,
      secondary: (JSON.parse(row.secondary_version ?? 'null') as { v: string } | null)?.v,
    }));
    expect(conflicts).toEqual([
      { key: 'plain ["2"]', winner: 'secondary', rule: 'commit-time', primary: 'tail', secondary: 'later' },
      { key: 't ["2"]', winner: 'primary', rule: 'updated_at', primary: 'tail', secondary: 'older' },
      { key: 't ["3"]', winner: 'secondary', rule: 'updated_at', primary: 'tail', secondary: 'newer' },
    ]);
    expect(recovery.progress()).toMatchObject({ phase: 'copying', tailMerged: true, conflicts: 3, trouble: null });
    await recovery.handBack();
    await recovery.finish();
    // Sequences go on without collision, and the stream passes over what the catch-up wrote.
    const [inserted] = await primary(`INSERT INTO t (v) VALUES ('after') RETURNING id`);
    expect(Number(inserted?.id)).toBeGreaterThan(200);
    const stream = await it_.streamAgain();
    try {
      const { primary: ours, secondary: theirs } = await it_.equal('t');
      expect(ours).toEqual(theirs);
      expect(stream.streamer.snapshot()).toMatchObject({ deadLetters: 0, dropped: 0 });
      expect(stream.log.entries.filter((entry) => entry.level === 'error')).toEqual([]);
    } finally {
      await stream.stop();
    }
    expect(await secondary('SELECT * FROM db_redundancy.catchup')).toEqual([]);
  });

  it('G7 G8 knows its own copies when the primary is lost again, and the stream passes them over', async () => {
    await using it_ = await failedOver(DDL, { dialect });
    const { pair, primary, secondary } = it_;
    await using recovery = recoveryOf(pair);
    await recovery.notePosition(7);
    recovery.follow();
    await secondary(`UPDATE plain SET v = 'first' WHERE id <= 5`);
    recovery.recoverPrimary(await fenceOf(pair));
    await waitFor(async () => (await primary(`SELECT 1 FROM plain WHERE v = 'first'`)).length === 5, {
      what: 'the rows are copied',
      timeoutMs: 30_000,
    });
    recovery.primaryLost();
    expect(recovery.progress()).toMatchObject({ phase: 'following', lagMs: null });
    await secondary(`UPDATE plain SET v = 'second' WHERE id <= 3; DELETE FROM plain WHERE id = 4`);
    recovery.recoverPrimary(await fenceOf(pair));
    await recovery.drain(never);
    expect(await it_.conflicts()).toEqual([]);
    const { primary: ours, secondary: theirs } = await it_.equal('plain');
    expect(ours).toEqual(theirs);
    expect(ours.filter((row) => row.v === 'second')).toHaveLength(3);
    await recovery.stop();
    // Never handed back: the stream meets all that was copied.
    const stream = await it_.streamAgain();
    expect(stream.streamer.counters.echoTransactionsSkipped).toBeGreaterThan(1);
    expect(stream.streamer.counters.rowsApplied).toBe(0);
    await stream.stop();
  });

  it('ends when it is stopped at the moment at which it has read the catalog', async () => {
    await using it_ = await failedOver(DDL, { dialect });
    const { pair } = it_;
    const noted = recoveryOf(pair);
    await noted.notePosition(7);
    await noted.stop();
    const options = {
      ...streamNames(pair),
      catchUpSlot: `catchup_${pair.secondary.name}`,
      catchUpPublication: 'db_redundancy_catchup',
      primary: connectionOf(pair.primary.url),
      secondary: connectionOf(pair.secondary.url),
      clock: systemClock,
      log: new TestLog(),
    };
    const abort = new AbortController();
    const link = secondaryLink(options, abort.signal);
    let reads = 0;
    const watched = {
      run: link.run.bind(link),
      async with<T>(work: Parameters<typeof link.with<T>>[0]): Promise<T> {
        const result = await link.with(work);
        reads += 1;
        if (reads === 2) abort.abort(new Error('stopped'));
        return result;
      },
    } as unknown as TargetLink;
    const { stream } = options;
    const [store, journal] = [new CatchupStore(stream, 'a test'), new Journal(stream)];
    const parts = { options, link: watched, store, journal, signal: abort.signal, onTrouble: () => undefined };
    await new Following(parts).run();
    expect(reads).toBe(2);
    await link.close();
  });
});
