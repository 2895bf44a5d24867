/**
 * One cycle: an application at work, misfortunes, then everything is mended; the system must come back by itself to a
 * primary that is active and a standby that is equal, and the history must be sound.
 */
import { query } from '../../harness/sql.js';
import { waitFor } from '../../harness/wait.js';
import { checkEqual, checkHistory, checkSides, checkSnapshot, type Violation } from './checker.js';
import type { FaultCluster } from './cluster.js';
import type { Conflicts, DatabaseState } from './history.js';
import { Observer } from './observer.js';
import { readConflicts, readState, type Scope } from './read-state.js';
import { TOKENS, Workload } from './workload.js';

const LISTS = 8;
const WRITERS = 6;
/** Room for the numbers of one episode. */
const NUMBERS = 20_000;
/** After a dropped slot everything is compared while the application goes on, which takes a busy CockroachDB minutes. */
const RECOVERY_MS = { postgres: 150_000, cockroach: 300_000 } as const;
/** After the last write. */
const LEVEL_MS = 30_000;

export interface EpisodeOptions {
  readonly cluster: FaultCluster;
  readonly seed: number;
  /** From 0; tells the rows of one episode from those of another. */
  readonly number: number;
  /** What happens while the application works. */
  readonly act: (stage: Stage) => Promise<Happened>;
  /** Average between two transactions of a writer. */
  readonly pauseMs: number;
  /** For coming back by itself, milliseconds; minutes by default. */
  readonly recoveryMs?: number;
}

export interface Stage {
  readonly cluster: FaultCluster;
  readonly workload: Workload;
  readonly seed: number;
  readonly note: (what: string) => void;
}

export interface Happened {
  /** Faults that did not come about, because another one had taken away what they need. */
  readonly missed: number;
  /** What was seen to be wrong on the way. */
  readonly violations?: readonly Violation[];
}

export interface EpisodeResult {
  readonly violations: readonly Violation[];
  readonly acknowledged: number;
  readonly unknown: number;
  readonly snapshots: number;
  readonly missed: number;
  readonly conflicts: number;
  /** How often the active side changed. */
  readonly changes: number;
  /** What was done, and when. */
  readonly log: readonly string[];
}

export async function runEpisode(options: EpisodeOptions): Promise<EpisodeResult> {
  const { act, cluster, number, pauseMs, seed } = options;
  const log: string[] = [];
  const began = performance.now();
  const note = (what: string) => log.push(`${((performance.now() - began) / 1000).toFixed(1)} s ${what}`);
  const lists = Array.from({ length: LISTS }, (_, i) => number * 100 + i);
  const scope: Scope = { lists, from: number * NUMBERS + 1 };
  await query(cluster.url('primary'), `INSERT INTO lists (id, elements) SELECT n, '{}' FROM unnest($1::int[]) AS n`, [
    lists,
  ]);
  const before = await waitFor(() => cluster.health(), { what: 'the controller answers', timeoutMs: 30_000 });
  const workload = new Workload({
    seed,
    pools: cluster.pools,
    writers: WRITERS,
    pauseMs,
    lists,
    after: number * NUMBERS,
  });
  const observer = new Observer(cluster, scope);
  const found: Violation[] = [];
  let missed = 0;
  let back = false;
  try {
    await waitFor(() => workload.acknowledged > 20, { what: 'the application works', timeoutMs: 30_000 });
    const happened = await act({ cluster, workload, seed, note }).catch((error: unknown): Happened => {
      // What a scenario waits for must come, and what is left behind is looked at all the same.
      return { missed: 0, violations: [{ guarantee: 'G10', what: String(error) }] };
    });
    missed = happened.missed;
    found.push(...(happened.violations ?? []));
    await cluster.heal();
    note('everything is mended');
    back = await recovered(cluster, options.recoveryMs ?? RECOVERY_MS[cluster.dialect]).then(
      () => true,
      (error: unknown) => {
        found.push({ guarantee: 'G10', what: `It does not come back by itself: ${String(error)}` });
        return false;
      },
    );
    note(back ? 'the primary is active' : 'it does not come back');
  } finally {
    await Promise.all([workload.stop(), observer.stop()]);
  }
  const primary = await readState(cluster.url('primary'), scope);
  const equal = async () => text((await readState(cluster.url('secondary'), scope)).state) === text(primary.state);
  // Where the way back was not found the sides may differ.
  await waitFor(() => !back || equal(), { what: 'both sides are equal', timeoutMs: LEVEL_MS }).catch(async () => {
    const { state } = await readState(cluster.url('secondary'), scope);
    found.push(...checkEqual(primary.state, state));
  });
  const conflicts = await readConflicts(cluster.url('secondary'));
  const { transactions } = workload;
  if (back) found.push(...checkHistory({ transactions, final: primary.state, conflicts, tokens: TOKENS }));
  const changes = await sideChanges(cluster, before.epoch);
  found.push(...checkSides(primary.state, changes));
  const exempt = disputed(conflicts, primary.state);
  for (const snapshot of observer.seen) found.push(...checkSnapshot(snapshot, transactions, exempt).slice(0, 3));
  found.push(...observer.wrong.slice(0, 3));
  found.push(...workload.wrong.map((what) => ({ guarantee: 'G3' as const, what })));
  found.push(...(await leftovers(cluster)));
  note(`told: ${JSON.stringify(Object.fromEntries(workload.told))}`);
  return {
    violations: found.slice(0, 40),
    acknowledged: workload.acknowledged,
    unknown: transactions.filter(({ outcome }) => outcome === 'unknown').length,
    snapshots: observer.seen.length,
    missed,
    conflicts: [...conflicts.lists.values()].reduce((sum, versions) => sum + versions.length, 0),
    changes,
    log,
  };
}

/** The primary is active, everything streams, nobody asks for help. */
async function recovered(cluster: FaultCluster, timeoutMs: number): Promise<void> {
  let last = '';
  await waitFor(
    async () => {
      const health = await cluster.health();
      last = JSON.stringify(health);
      if (health?.state !== 'PRIMARY_ACTIVE') return false;
      const rows = await query<{ state: string }>(
        cluster.url('secondary'),
        `SELECT state FROM db_redundancy.tables WHERE state <> 'streaming'`,
      );
      return rows.length === 0;
    },
    { what: 'the primary is active again', timeoutMs },
  ).catch((error: unknown) => {
    throw new Error(`${String(error)}; ${last}`);
  });
}

async function sideChanges(cluster: FaultCluster, after: number): Promise<number> {
  const rows = await query<{ active: string }>(
    cluster.url('secondary'),
    'SELECT active FROM db_redundancy.history WHERE epoch >= $1 ORDER BY epoch',
    [after],
  );
  const sides = ['primary', ...rows.map(({ active }) => active)];
  return sides.filter((side, i) => i > 0 && side !== sides[i - 1]).length;
}

/** G9: nothing was given up on the way. */
async function leftovers(cluster: FaultCluster): Promise<Violation[]> {
  const letters = await query<{ table_name: string; error: string }>(
    cluster.url('secondary'),
    'SELECT table_name, error FROM db_redundancy.dead_letters',
  );
  const crashes = [...cluster.streamer.failures, ...cluster.controller.failures];
  return [
    ...letters.map(({ error, table_name }) => ({
      guarantee: 'G9' as const,
      what: `dead letter of ${table_name}: ${error}`,
    })),
    ...crashes.map((what) => ({ guarantee: 'G9' as const, what })),
  ];
}

/** What a failover left behind and recovery decided upon row by row. */
function disputed(conflicts: Conflicts, final: DatabaseState): Set<number> {
  const elements = new Set([...conflicts.events, ...conflicts.journal]);
  for (const [list, versions] of conflicts.lists) {
    const there = new Set(final.lists.get(list));
    for (const element of versions.flat()) if (!there.has(element)) elements.add(element);
  }
  return elements;
}

function text(state: DatabaseState): string {
  const sorted = <V>(map: ReadonlyMap<number, V>) => [...map].sort(([a], [b]) => a - b);
  const { journal, lists, parts, tokens } = state;
  // CockroachDB counts seconds in floating point: the time itself is compared by the stream's own verify.
  const events = new Map([...state.events].map(([id, { atMs, ...event }]) => [id, event] as const));
  return JSON.stringify([lists, events, parts, journal, tokens].map((map) => sorted<unknown>(map)));
}
