/**
 * G2, G3 and G5 at every named place of stream, load and sweep: the process ends itself there, comes back, perhaps dies
 * at a second place, comes back again; nothing is lost, nothing is there twice, and both sides are equal by value.
 * DB_TEST_LONG=1 takes every place and random pairs of them; the short form takes one place of each kind and one pair.
 */
import { expect, it } from 'vitest';
import { CHUNK_POINTS, STREAM_POINTS } from '../../src/core/crash-points.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { Random, testSeed } from '../integration/support/random.js';
import { CrashRun } from './support/crash-run.js';

const LONG = process.env.DB_TEST_LONG === '1';
const PAIRS = 12;
const ALL = [...STREAM_POINTS, ...CHUNK_POINTS];
const SHORT = [['batch:durable#3'], ['chunk:durable#2', 'careful:before-commit'], ['sweep:mended']];

function randomPairs(seed: number): string[][] {
  const random = new Random(seed);
  const one = () => `${ALL[random.int(0, ALL.length - 1)]}#${random.int(1, 2)}`;
  return Array.from({ length: PAIRS }, () => [one(), one()]);
}

const seed = testSeed();
const plans = LONG ? [...ALL.map((point) => [point]), ...randomPairs(seed)] : SHORT;

describeDialects(
  'G2 G3 G5 the process ends itself',
  (dialect) => {
    it.each(plans)(
      `at %s${LONG ? ` (DB_TEST_SEED=${seed})` : ''}`,
      async (...points) => {
        await using run = await CrashRun.start(dialect, seed);
        for (const point of points) expect(await run.diesAt(point)).toBe('SIGKILL');
        await run.comesBack();
      },
      120_000,
    );
  },
  ['cockroach'],
);
