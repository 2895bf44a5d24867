/**
 * G4 over time: half an hour of load, a failover and a failback every few minutes, and neither memory nor open files of
 * streamer and controller grow. `npm run test:faults -- --soak --minutes 30` runs it and prints the figures;
 * DB_SOAK_PLOT names a file for the picture. Skipped otherwise.
 */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { ask } from '../../harness/broker.js';
import { describeDialects } from '../../harness/secondary-dialects.js';
import { FaultCluster } from './cluster.js';
import { runEpisode, type Stage } from './episode.js';
import { SCENARIOS } from './scenarios.js';
import { plot, type Sample, slope } from './soak-plot.js';

const MINUTES = Number(process.env.DB_SOAK_MINUTES ?? 0);
const EPISODE_MS = 180_000;
const SAMPLE_MS = 2000;
/** Growth of resident memory that is no growth: V8 takes more and gives it back as it likes. */
const MOST_MIB_PER_HOUR = 60;
const MOST_MIB = 250;
const MORE_FILES = 6;

describeDialects('G4 soak', (dialect) => {
  it.skipIf(MINUTES === 0)(
    `${MINUTES} minutes of load`,
    async () => {
      await using cluster = await FaultCluster.start(dialect, { dist: await ask('dist') });
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
        const result = await runEpisode({ cluster, seed: number, number, act, pauseMs: 15 });
        expect(result.violations).toEqual([]);
        acknowledged += result.acknowledged;
        changes += result.changes;
      }
      const file = process.env.DB_SOAK_PLOT;
      if (file) await writeFile(file, plot(samples, `${dialect}, ${MINUTES} minutes, ${acknowledged} transactions`));
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
        expect(perHour).toBeLessThan(MOST_MIB_PER_HOUR);
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
