/** The live phase: takes a reading of everything once a second, and shows it. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { StreamSnapshot } from '../core/status.js';
import type { Streamer } from '../streamer/streamer.js';
import type { Background } from './background.js';
import type { DemoView } from './demo-view.js';
import type { MoneyCheck } from './money-check.js';
import type { Probe } from './probe.js';
import type { Workload } from './workload.js';

export interface LiveParts {
  readonly background: Background;
  readonly streamer: Streamer;
  readonly workload: Workload;
  readonly probe: Probe;
  readonly money: MoneyCheck;
  readonly view: DemoView;
}

const SAMPLE_MS = 100;

/**
 * @param totalSeconds length of the phase; null: until the wait for the background is broken off
 * @param everySeconds distance of the readings
 */
export async function showLive(parts: LiveParts, totalSeconds: number | null, everySeconds: number): Promise<void> {
  const { background, money, probe, streamer, view, workload } = parts;
  const started = performance.now();
  const elapsed = () => (performance.now() - started) / 1000;
  const counted = () => ({
    at: elapsed(),
    committed: workload.committed + probe.committed,
    ...streamer.snapshot().counters,
  });
  let before = counted();
  let first = true;
  let worst = { seconds: 0, bytes: 0 };
  for (;;) {
    const left = totalSeconds === null ? SAMPLE_MS : Math.max(0, totalSeconds - elapsed()) * 1000;
    await background.wait(sleep(Math.min(SAMPLE_MS, left)));
    const snapshot = streamer.snapshot();
    worst = {
      seconds: Math.max(worst.seconds, snapshot.lagSeconds),
      bytes: Math.max(worst.bytes, snapshot.lagBytes),
    };
    const over = totalSeconds !== null && elapsed() >= totalSeconds;
    if (!over && elapsed() - before.at < everySeconds) continue;
    const now = counted();
    const rate = (key: 'committed' | 'transactionsApplied' | 'rowsApplied') =>
      (now[key] - before[key]) / Math.max(0.001, now.at - before.at);
    view.live({
      first,
      elapsedSeconds: now.at,
      totalSeconds,
      committed: now.committed,
      committedRate: rate('committed'),
      appliedRate: rate('transactionsApplied'),
      rowsRate: rate('rowsApplied'),
      lagSeconds: worst.seconds,
      lagBytes: worst.bytes,
      delays: probe.delays('recent'),
      reads: money.reads,
      wrongReads: money.wrong,
      trouble: troubleOf(snapshot),
    });
    before = now;
    first = false;
    worst = { seconds: 0, bytes: 0 };
    if (over) return;
  }
}

function troubleOf(snapshot: StreamSnapshot): string | null {
  if (snapshot.status === 'streaming') return null;
  return `the stream is not running at the moment (${snapshot.status})${snapshot.detail === null ? '' : `: ${snapshot.detail}`}`;
}
