/**
 * G1 to G10 under everything at once: a random workload on the real router, streamer and controller as processes, random
 * faults on every link and server, whole cycles of failover and failback, and a checker for lost, doubled, torn and
 * reordered writes. `npm run test:faults -- --minutes 30 --seed 7` runs it for so long; without --minutes it is skipped.
 */
import { expect, it } from 'vitest';
import { ask } from '../../harness/broker.js';
import { describeDialects } from '../../harness/secondary-dialects.js';
import { testSeed } from '../../integration/support/random.js';
import { FaultCluster } from './cluster.js';
import { runEpisode, type Stage } from './episode.js';
import { FAULTS } from './faults.js';
import { misfortunes } from './misfortunes.js';

const MINUTES = Number(process.env.DB_FAULT_MINUTES ?? 0);
const ROUNDS = 12;
const PAUSE_MS = { postgres: 25, cockroach: 60 } as const;

describeDialects('G1 G2 G3 G6 G7 G8 G9 G10 random faults', (dialect) => {
  it.skipIf(MINUTES === 0)(
    `${MINUTES} minutes of them`,
    async () => {
      const first = testSeed();
      await using cluster = await FaultCluster.start(dialect, { dist: await ask('dist') });
      const until = Date.now() + MINUTES * 60_000;
      const total = {
        episodes: 0,
        acknowledged: 0,
        unknown: 0,
        snapshots: 0,
        changes: 0,
        rounds: 0,
        missed: 0,
        conflicts: 0,
      };
      do {
        const number = total.episodes;
        const seed = first + number;
        const count = ROUNDS;
        const act = (stage: Stage) => misfortunes(stage, FAULTS, count);
        const result = await runEpisode({ cluster, seed, number, act, pauseMs: PAUSE_MS[dialect] });
        const story = result.violations.length > 0 ? `--seed ${seed}\n${cluster.story(result.log)}` : '';
        expect(result.violations, story).toEqual([]);
        total.episodes += 1;
        total.rounds += count;
        total.missed += result.missed;
        total.acknowledged += result.acknowledged;
        total.unknown += result.unknown;
        total.snapshots += result.snapshots;
        total.changes += result.changes;
        total.conflicts = result.conflicts;
        console.log(`[${dialect}] seed ${seed}: ${JSON.stringify({ ...result, log: undefined })}`);
      } while (Date.now() < until);
      // Nothing was found where nobody looked, or nothing happened.
      expect(total.snapshots).toBeGreaterThan(0);
      expect(total.missed).toBeLessThan(total.rounds / 2);
      console.log(`[${dialect}] random faults from seed ${first}: ${JSON.stringify(total)}, 0 violations`);
    },
    (MINUTES + 6) * 60_000,
  );
});
