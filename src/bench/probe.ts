/**
 * How long a commit takes to be visible: one session commits numbered rows on the primary, another looks all the time
 * which of them are on the secondary. One clock, that of this process, reads both.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { BenchContext } from './context.js';
import { SCHEMA } from './rows.js';

export const PROBE_SQL = `CREATE TABLE ${SCHEMA}.probe (seq bigint PRIMARY KEY)`;
const LOOK_EVERY_MS = 1;
/** A row that has not come by then has waited so long at least. */
const GIVE_UP_MS = 300_000;

/**
 * Probes while `work` runs, and until the last row is visible.
 * @param warmMs what is committed so soon after the beginning is not counted
 * @returns milliseconds from each commit's answer until the row could be read
 */
export async function probing(
  context: BenchContext,
  everyMs: number,
  work: () => Promise<void>,
  warmMs = 0,
): Promise<readonly number[]> {
  const [writer, reader] = [await context.primary.connect(), await context.secondary.connect()];
  const committed: number[] = [];
  const delays: number[] = [];
  let writing = true;
  const write = async () => {
    for (let due = performance.now(); writing; due += everyMs) {
      await writer.query({
        name: 'probe',
        text: `INSERT INTO ${SCHEMA}.probe VALUES ($1)`,
        values: [committed.length],
      });
      committed.push(performance.now());
      await sleep(Math.max(0, due + everyMs - performance.now()));
    }
  };
  const look = async () => {
    let quietSince = performance.now();
    while (writing || delays.length < committed.length) {
      context.signal.throwIfAborted();
      const { rows } = await reader.query<{ seen: string }>({
        name: 'probe',
        text: `SELECT coalesce(max(seq) + 1, 0)::text AS seen FROM ${SCHEMA}.probe`,
      });
      const now = performance.now();
      const seen = Math.min(Number(rows[0]?.seen), committed.length);
      if (seen > delays.length) quietSince = now;
      while (delays.length < seen) delays.push(Math.max(0, now - (committed[delays.length] as number)));
      if (now - quietSince > GIVE_UP_MS) throw new Error('The secondary has stood still for five minutes.');
      await sleep(LOOK_EVERY_MS);
    }
  };
  try {
    const [working, watching] = [work(), Promise.all([write(), look()])];
    // Where one fails the other is given up, and nobody hears how it ends.
    for (const each of [working, watching]) each.catch(() => undefined);
    await Promise.race([working, watching]);
    writing = false;
    await watching;
    const counted = (committed[0] ?? 0) + warmMs;
    return delays.filter((_, i) => (committed[i] as number) >= counted);
  } finally {
    writing = false;
    await Promise.all([writer.end(), reader.end()]);
  }
}
