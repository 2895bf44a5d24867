/**
 * G1 to G10 under misfortunes that are always the same, one for each guarantee, on one deployment: nothing comes of them.
 * And the proof that they could be noticed: the program broken on purpose, in one way per guarantee, is found out each
 * time. The variants run in the long form (`npm run test:faults`), on PostgreSQL, where one of them runs always.
 */
import { describe, expect, it } from 'vitest';
import { ask } from '../../harness/broker.js';
import { describeDialects } from '../../harness/secondary-dialects.js';
import { BrokenDist } from './broken-dist.js';
import { FaultCluster } from './cluster.js';
import { runEpisode } from './episode.js';
import { SCENARIOS, type ScenarioName } from './scenarios.js';
import { VARIANTS } from './variants.js';

const LONG = process.env.DB_TEST_LONG === '1';
const SEED = 1;
const PAUSE_MS = { postgres: 25, cockroach: 60 } as const;
/** Of the short form; each takes some seconds, and the others have tests of their own there. */
const SHORT: readonly ScenarioName[] = ['killed with its hands full'];
const names = LONG ? (Object.keys(SCENARIOS) as ScenarioName[]) : SHORT;

describeDialects(
  'G1 G2 G3 G5 G6 G7 G8 G9 G10 named misfortunes',
  (dialect) => {
    it(`nothing comes of ${names.join(', ')}`, async () => {
      await using cluster = await FaultCluster.start(dialect, { dist: await ask('dist') });
      for (const [number, name] of names.entries()) {
        const act = SCENARIOS[name];
        const result = await runEpisode({ cluster, seed: SEED + number, number, act, pauseMs: PAUSE_MS[dialect] });
        const story = result.violations.length > 0 ? `${name}\n${cluster.story(result.log)}` : '';
        expect(result.violations, story).toEqual([]);
        expect(result.acknowledged).toBeGreaterThan(40);
        expect(result.snapshots).toBeGreaterThan(0);
      }
    }, 600_000);
  },
  ['cockroach'],
);

const variants = LONG ? VARIANTS : VARIANTS.filter(({ breaks }) => breaks.includes('G2'));

describe('the program broken on purpose is found out', () => {
  it.each(variants.map((variant) => [variant.breaks.join(' or '), variant.name, variant] as const))(
    '%s: %s',
    async (_breaks, _name, { breaks, cluster: options, patches, scenario }) => {
      await using broken = await BrokenDist.of(await ask('dist'), patches);
      await using cluster = await FaultCluster.start('postgres', { dist: broken.path, ...options });
      const act = SCENARIOS[scenario];
      const recoveryMs = 30_000;
      const result = await runEpisode({ cluster, seed: SEED, number: 0, act, pauseMs: PAUSE_MS.postgres, recoveryMs });
      const found = new Set(result.violations.map(({ guarantee }) => guarantee));
      console.log(
        result.violations
          .slice(0, 3)
          .map(({ guarantee, what }) => `${guarantee}: ${what}`)
          .join('\n'),
      );
      const caught = breaks.filter((each) => found.has(each));
      expect(caught, caught.length > 0 ? '' : cluster.story(result.log)).not.toEqual([]);
    },
    300_000,
  );
});
