/**
 * G4 over time: half an hour of load, a failover and a failback every other minute, and neither memory nor open files of
 * streamer and controller grow. `npm run test:faults -- --soak --minutes 30 --plot docs/images` runs it, prints the
 * figures and leaves `soak-<dialect>.svg` in that folder. Skipped otherwise.
 */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { ask } from '../../harness/broker.js';
import { describeDialects } from '../../harness/secondary-dialects.js';
import { FaultCluster } from './cluster.js';
import { runEpisode, type Stage } from './episode.js';
import { SCENARIOS } from './scenarios.js';
import { plot, type Sample, slope } from './soak-plot.js';

const MINUTES = Number(process.env.DB_SOAK_MINUTES ?? 0);
/** Folder for the picture. */
const PLOT = process.env.DB_SOAK_PLOT;
/** The history of an episode is in memory, whole, with what every transaction read. */
const EPISODE_MS = 60_000;
const SAMPLE_MS = 2000;
/** Of a writer, on average: what counts is the time, and other things may be run beside it. */
const PAUSE_MS = 50;
/** A busy machine is no fault here. */
const PATIENT = {
  DB_HEALTH_CHECK_INTERVAL_MS: '3000',
  DB_HEALTH_SUSPECT_INTERVAL_MS: '3000',
  DB_HEALTH_TIMEOUT_MS: '3000',
};
/** Growth of resident memory, after a third of the time, that is no growth: V8 takes more and gives it back as it likes. */
const MOST_MIB_GROWN = 20;
/** In less the first failovers, and with them the first changefeeds, are no part of the first third. */
const LEAST_MINUTES = 15;
const MOST_MIB = 250;
const MORE_FILES = 6;

describeDialects('G4 soak', (dialect) => {
  it.skipIf(MINUTES === 0)(
    `${MINUTES} minutes of load`,
    async () => {
      await using cluster = await FaultCluster.start(dialect, { dist: await ask('dist'), env: PATIENT });
      const samples: Sample[] = [];
      const began = performance.now();
      const until = began + MINUTES * 60_000;
      let [acknowledged, changes] = [0, 0];
      const act = async (stage: Stage) => {
        const end = Math.min(until, performance.now() + EPISODE_MS);
        while (performance.now() < end) {
          samples.push(await sample(cluster, (performance.now() - began) / 60_000));
          await sleep(SAMPLE_MS);
        }
        return SCENARIOS['there and back'](stage);
      };
      for (let number = 0; performance.now() < until; number++) {
        const result = await runEpisode({ cluster, seed: number, number, act, pauseMs: PAUSE_MS });
        expect(result.violations, result.violations.length > 0 ? cluster.story(result.log) : '').toEqual([]);
        acknowledged += result.acknowledged;
        changes += result.changes;
      }
      if (PLOT) {
        const title = `${dialect}, ${MINUTES} minutes, ${acknowledged} transactions, ${changes} changes of side`;
        await writeFile(join(PLOT, `soak-${dialect}.svg`), plot(samples, title));
      }
      for (const program of ['streamer', 'controller'] as const) {
        const of = samples.map((each) => ({ at: each.minutes, ...each[program] }));
        // The first third warms up.
        const settled = of.slice(Math.floor(of.length / 3));
        const perHour = slope(settled.map(({ at, mib }) => [at, mib])) * 60;
        const peak = Math.max(...of.map(({ mib }) => mib));
        const files = (part: typeof of) => Math.max(...part.map((each) => each.files));
        const middle = settled.slice(0, settled.length >> 1);
        const last = settled.slice(settled.length >> 1);
        console.log(
          `[${dialect}] ${program}: ${MINUTES} min, ${acknowledged} transactions, ${changes} changes of side; peak ${peak.toFixed(0)} MiB, ${perHour.toFixed(1)} MiB an hour, open files at most ${files(middle)} and then ${files(last)}`,
        );
        expect(peak).toBeLessThan(MOST_MIB);
        const hours = ((settled.at(-1)?.at ?? 0) - (settled[0]?.at ?? 0)) / 60;
        if (MINUTES >= LEAST_MINUTES) expect(perHour * hours).toBeLessThan(MOST_MIB_GROWN);
        expect(files(last)).toBeLessThanOrEqual(files(middle) + MORE_FILES);
      }
    },
    (MINUTES + 10) * 60_000,
  );
});

async function sample(cluster: FaultCluster, minutes: number): Promise<Sample> {
  return {
    minutes,
    streamer: await ofProcess(cluster.streamer.pid),
    controller: await ofProcess(cluster.controller.pid),
  };
}

async function ofProcess(pid: number): Promise<{ mib: number; files: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const files = await readdir(`/proc/${pid}/fd`);
  return { mib: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024, files: files.length };
}
