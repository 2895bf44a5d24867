/**
 * The program broken on purpose, in one way for each guarantee: what a mistake in the one place that keeps it would do.
 * The scenario that goes with it must make the checker speak. A patch replaces text of the compiled program, where it
 * must stand exactly once: a variant that no longer fits the code fails its test.
 */
import type { Violation } from './checker.js';
import type { ClusterOptions } from './cluster.js';
import type { ScenarioName } from './scenarios.js';

export interface Patch {
  /** In the compiled program. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export interface Variant {
  readonly name: string;
  readonly scenario: ScenarioName;
  /** One of these is named by what is found. */
  readonly breaks: readonly Violation['guarantee'][];
  readonly patches: readonly Patch[];
  readonly cluster?: Omit<ClusterOptions, 'dist'>;
}

/** So that no sweep mends what is to be seen. */
const NO_SWEEP = { env: { DB_SYNC_INTERVAL_MS: '600000', DB_VERIFY_INTERVAL_MS: '0' } };

export const VARIANTS: readonly Variant[] = [
  {
    name: 'a batch is many target transactions',
    scenario: 'a day at work',
    breaks: ['G1'],
    patches: [
      {
        file: 'pipeline/applier.js',
        find: 'session.pipeline([BEGIN, ...statements, this.#target.checkpoint(checkpoint), COMMIT])',
        replace:
          "session.pipeline([BEGIN, ...statements.flatMap((each) => [each, COMMIT, { text: 'SELECT pg_sleep(0.05)', values: [] }, BEGIN]), this.#target.checkpoint(checkpoint), COMMIT])",
      },
    ],
    cluster: NO_SWEEP,
  },
  {
    name: 'the slot is told what was received',
    scenario: 'killed with its hands full',
    breaks: ['G2'],
    patches: [
      {
        file: 'source/replication-session.js',
        find: 'standbyStatus(received, durable,',
        replace: 'standbyStatus(received, received,',
      },
    ],
    cluster: NO_SWEEP,
  },
  {
    name: 'a COMMIT without an answer is simply tried again',
    scenario: 'answers to COMMIT lost',
    breaks: ['G3'],
    patches: [
      { file: 'pipeline/durable.js', find: 'unclear = true;', replace: 'unclear = false;' },
      {
        file: 'apply/checkpoint.js',
        find: 'AND lsn = $7 AND partial_changes = $8::int8 RETURNING 1',
        replace: 'AND ($7::text IS NOT NULL OR $8::int8 >= 0) RETURNING 1',
      },
    ],
    cluster: NO_SWEEP,
  },
  {
    name: 'a former leader is not turned away',
    scenario: 'two leaders',
    breaks: ['G3'],
    patches: [
      {
        file: 'apply/checkpoint.js',
        find: 'AND epoch = $2::int8 AND lsn = $7 AND partial_changes = $8::int8 RETURNING 1',
        replace: 'AND ($2::int8 > 0 OR $7::text IS NOT NULL OR $8::int8 >= 0) RETURNING 1',
      },
    ],
    cluster: NO_SWEEP,
  },
  {
    name: 'chunks are written as they were read',
    scenario: 'all over again under load',
    breaks: ['G5'],
    patches: [
      {
        file: 'snapshot/load-table.js',
        find: 'if (window.spoiled || commits.anyBefore(chunk.snapshot.running, window.openedAt))',
        replace: 'if (window.spoiled)',
      },
      {
        // Old tokens would be refused, for they are unique, and their table paused: noticed, but by somebody else.
        file: 'snapshot/load-table.js',
        find: 'if (!window.touched.has(key))\n            changes.set(key, new RawUpsert(line, !table.entry.purge))',
        replace:
          "if (!window.touched.has(key) || binding.relation.name !== 'tokens')\n            changes.set(key, new RawUpsert(line, false))",
      },
      {
        file: 'snapshot/loader.js',
        find: '? readLines(client, table.chunk, after, range.upper, most)',
        replace:
          '? readLines(client, table.chunk, after, range.upper, most).then((read) => new Promise((resolve) => setTimeout(resolve, 500, read)))',
      },
      {
        // Deleted rows that came back would be found at the end of a full sync; a first load has no such end.
        file: 'snapshot/loader.js',
        find: 'if (purge && !purge.done)',
        replace: 'if (purge && purge.rangeNo === null)',
      },
    ],
    cluster: NO_SWEEP,
  },
  {
    name: 'the primary is not fenced',
    scenario: 'somebody who does not listen',
    breaks: ['G6'],
    patches: [
      {
        file: 'failover/steps.js',
        find: "return close(parts, 'primary', await replicatedTables(parts), signal);",
        replace: 'return { ended: 0, gaps: [], roles: [] };',
      },
    ],
  },
  {
    name: 'nothing is drained before a failback',
    scenario: 'there and back',
    breaks: ['G7'],
    patches: [
      {
        file: 'failover/steps.js',
        find: '(limited) => recovery.drain(limited)',
        replace: 'async () => ({ compared: 0, mended: 0 })',
      },
    ],
  },
  {
    name: 'the tail is not merged',
    scenario: 'a tail is left behind',
    breaks: ['G7', 'G8'],
    patches: [
      {
        file: 'recovery/merge-tail.js',
        find: 'collect(context, batch, part, change);',
        replace: 'void collect;',
      },
    ],
  },
  {
    name: 'a refused row is passed over',
    scenario: 'a row is refused',
    breaks: ['G9'],
    patches: [
      {
        file: 'pipeline/careful.js',
        find: 'for (const relation of relations) {',
        replace: 'for (const relation of []) {',
      },
    ],
    cluster: NO_SWEEP,
  },
  {
    name: 'without an authority nobody writes',
    scenario: 'nobody knows the route',
    breaks: ['G10'],
    patches: [],
    cluster: { onAuthorityLost: 'hold' },
  },
  {
    name: 'the catch-up comes back by the stream',
    scenario: 'there and back',
    breaks: ['G3'],
    patches: [
      {
        file: 'pipeline/assemble.js',
        find: 'if (message.prefix === ECHO_PREFIX && open.empty)',
        replace: 'if (message.prefix === undefined)',
      },
      {
        file: 'recovery/hand-back.js',
        find: "const position = maxLsn(from, parseLsn(rows[0]?.lsn ?? '0/0'));",
        replace: 'const position = from;',
      },
    ],
    cluster: NO_SWEEP,
  },
];
