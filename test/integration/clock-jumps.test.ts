/**
 * Our own clock jumps by days, there and back, under a stream that runs: changes are applied, differences are found by
 * the sweep, and the lag is told as it is. The servers' clocks are one machine's and cannot be set; where theirs decide is
 * pure, and so is when a verify is due (`unit/clock-jumps`, `unit/sweep-window`).
 */
import { expect, it } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import { waitFor } from '../harness/wait.js';
import { bothSides, streamingPair } from './support/stream.js';

const DAY = 86_400_000;
const DDL = `CREATE TABLE t (id int PRIMARY KEY, v text, updated_at timestamptz NOT NULL DEFAULT clock_timestamp());
  INSERT INTO t SELECT i, 'v' FROM generate_series(1, 100) AS i`;

it('G9 a clock that jumps stops neither stream nor sweep, and the lag stays true', async () => {
  let offsetMs = 0;
  const clock = { ...systemClock, now: () => Date.now() + offsetMs };
  const reconcile = { sweepIntervalMs: 300, overlapMs: 60_000, verifyIntervalMs: 0 };
  await using it_ = await streamingPair(DDL, { clock, reconcile });
  for (const days of [1, -2, 0]) {
    offsetMs = days * DAY;
    await it_.primary(`UPDATE t SET v = 'at ${days}', updated_at = clock_timestamp() WHERE id <= 50`);
    await it_.stream.caughtUp();
    const near = () => it_.stream.streamer.snapshot().lagSeconds < 2;
    await waitFor(near, { what: `no lag at ${days} days` });
    // Lost on the secondary, as its updated_at says.
    await it_.secondary(`UPDATE t SET v = 'lost', updated_at = '2000-01-01' WHERE id = 7`);
    const mended = async () => (await it_.secondary(`SELECT 1 FROM t WHERE v = 'lost'`)).length === 0;
    await waitFor(mended, { what: `the sweep at ${days} days` });
    expect(it_.stream.streamer.snapshot()).toMatchObject({ status: 'streaming', deadLetters: 0 });
  }
  const { primary, secondary } = await bothSides(it_.pair, 't');
  expect(secondary).toEqual(primary);
}, 60_000);
