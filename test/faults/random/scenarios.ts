/**
 * Misfortunes that are always the same, one for each guarantee that they would break in a system that is built wrongly.
 * With ours they must come to nothing; `variants.ts` breaks it on purpose, and then they must be noticed.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { query } from '../../harness/sql.js';
import { waitFor } from '../../harness/wait.js';
import type { Violation } from './checker.js';
import type { FaultCluster, Health } from './cluster.js';
import type { Happened, Stage } from './episode.js';
import { StubbornWriter } from './stubborn-writer.js';

export type Scenario = (stage: Stage) => Promise<Happened>;

const NOTHING: Happened = { missed: 0 };
/** Known again among the bytes on a link. */
const MARK = 'sent by a former leader';

async function works(stage: Stage, transactions: number): Promise<void> {
  const goal = stage.workload.acknowledged + transactions;
  const what = `${transactions} more transactions`;
  await waitFor(() => stage.workload.acknowledged >= goal, { what, timeoutMs: 60_000 });
}

async function state(cluster: FaultCluster, wanted: Health['state']): Promise<void> {
  await waitFor(async () => (await cluster.health())?.state === wanted, { what: wanted, timeoutMs: 60_000 });
}

/** A failover is refused while its guards do not hold yet: the cool-down, or a recovery that is not ready. */
async function ordered(cluster: FaultCluster, verb: 'failover' | 'failback'): Promise<void> {
  const active = verb === 'failover' ? 'secondary' : 'primary';
  await waitFor(
    async () => {
      await cluster.order(verb);
      return (await cluster.health())?.activeDatabase === active;
    },
    { what: `the ${verb}`, timeoutMs: 90_000 },
  );
}

export const SCENARIOS = {
  /** G1: nothing but work. */
  'a day at work': async (stage) => {
    await works(stage, 300);
    return NOTHING;
  },

  /** G2: much has been received, nothing is durable, and the streamer dies. */
  'killed with its hands full': async (stage) => {
    const { cluster } = stage;
    cluster.links.target.stall();
    await works(stage, 60);
    // What it tells the primary of all this has been told.
    const since = new Date().toISOString();
    const told = 'SELECT 1 FROM pg_stat_replication WHERE reply_time > $1::timestamptz';
    await waitFor(async () => (await query(cluster.url('primary'), told, [since])).length > 0, {
      what: 'the streamer tells the primary how far it is',
      timeoutMs: 30_000,
    });
    await cluster.streamer.kill();
    cluster.links.target.resume();
    await works(stage, 60);
    return NOTHING;
  },

  /** G3: COMMIT takes effect, and its answer is lost. */
  'answers to COMMIT lost': async (stage) => {
    const { links } = stage.cluster;
    for (let time = 0; time < 4; time++) {
      let cut = false;
      links.target.onData = (direction, data) => {
        if (direction !== 'toTarget' || !data.includes('COMMIT')) return 'forward';
        links.target.onData = undefined;
        cut = true;
        return 'forward-then-cut';
      };
      await waitFor(() => cut, { what: 'a COMMIT', timeoutMs: 10_000 });
      await works(stage, 30);
    }
    return NOTHING;
  },

  /** G3: a leader stands still while what it sent is under way, and another one takes over before that arrives. */
  'two leaders': async (stage) => {
    const { cluster, note, workload } = stage;
    const leader = async () => {
      const sql = 'SELECT leader FROM db_redundancy.checkpoint';
      return (await query<{ leader: string }>(cluster.url('secondary'), sql))[0]?.leader;
    };
    const first = await leader();
    await using rival = cluster.rival();
    const { target } = cluster.links;
    // Rows without a key, and nothing else in the batch: no key keeps them from being there twice.
    await workload.pause();
    const counted = async (side: 'primary' | 'secondary') => {
      const sql = `SELECT (SELECT count(*) FROM events)::text || ' ' || (SELECT count(*) FROM journal)::text AS n`;
      return (await query<{ n: string }>(cluster.url(side), sql))[0]?.n;
    };
    const level = async () => (await counted('primary')) === (await counted('secondary'));
    await waitFor(level, { what: 'everything is applied' });
    let underWay = false;
    target.onData = (direction, data) => {
      if (underWay || direction !== 'toTarget' || !data.includes(MARK)) return;
      underWay = true;
      target.stall();
    };
    await query(
      cluster.url('primary'),
      `INSERT INTO journal (element, note) SELECT id, '${MARK}' FROM events AS e
       WHERE no > $1 AND NOT EXISTS (SELECT FROM journal AS j WHERE j.element = e.id)`,
      [workload.after],
    );
    await waitFor(() => underWay, { what: 'the batch is on its way', timeoutMs: 10_000 });
    target.onData = undefined;
    const asleep = cluster.streamer.sleep();
    try {
      workload.goOn();
      await waitFor(async () => (await leader()) !== first, { what: 'another leader', timeoutMs: 60_000 });
      note(`another leader, pid ${rival.pid}`);
      await works(stage, 60);
      const there = `SELECT 1 FROM journal WHERE note = '${MARK}'`;
      await waitFor(async () => (await query(cluster.url('secondary'), there)).length > 0, {
        what: 'the other leader has applied it',
      });
      target.resume();
      await works(stage, 60);
    } finally {
      asleep.wake();
    }
    await works(stage, 60);
    return NOTHING;
  },

  /** G5: everything is read again while it changes. */
  'all over again under load': async (stage) => {
    const { cluster } = stage;
    const states = async (wanted: 'all streaming' | 'some loading') => {
      const rows = await query(
        cluster.url('secondary'),
        `SELECT 1 FROM db_redundancy.tables WHERE state <> 'streaming'`,
      );
      return (rows.length === 0) === (wanted === 'all streaming');
    };
    await query(
      cluster.url('primary'),
      `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'db_redundancy' AND active`,
    );
    await waitFor(
      async () => {
        const sql = `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'db_redundancy' AND NOT active`;
        return (await query(cluster.url('primary'), sql).catch(() => [])).length > 0 || (await states('some loading'));
      },
      { what: 'the slot is dropped', timeoutMs: 20_000 },
    );
    await waitFor(() => states('some loading'), { what: 'a load', timeoutMs: 20_000 }).catch(() => undefined);
    await waitFor(() => states('all streaming'), { what: 'the end of the load', timeoutMs: 60_000 });
    await works(stage, 60);
    return NOTHING;
  },

  /** G6: a program that knows nothing of routes goes on writing to the primary, all through a failover. */
  'somebody who does not listen': async (stage) => {
    const { cluster, workload } = stage;
    const stubborn = await StubbornWriter.start(cluster, workload);
    try {
      await works(stage, 60);
      await ordered(cluster, 'failover');
      await works(stage, 60);
    } finally {
      await stubborn.stop();
    }
    await ordered(cluster, 'failback');
    return NOTHING;
  },

  /** G7: the last writes before a failback. */
  'there and back': async (stage) => {
    const { cluster } = stage;
    await ordered(cluster, 'failover');
    await works(stage, 150);
    await ordered(cluster, 'failback');
    await works(stage, 60);
    return NOTHING;
  },

  /** G8: the primary dies with transactions that never reached the secondary. */
  'a tail is left behind': async (stage) => {
    const { cluster, note } = stage;
    cluster.links.target.stall();
    await works(stage, 80);
    await cluster.servers.primary.kill();
    note('the primary is dead');
    await state(cluster, 'SECONDARY_ACTIVE');
    cluster.links.target.resume();
    await works(stage, 60);
    await cluster.servers.primary.start();
    await state(cluster, 'PRIMARY_ACTIVE');
    await works(stage, 40);
    return NOTHING;
  },

  /** G9: the secondary refuses a row. It is kept, and its table paused; a person mends it. */
  'a row is refused': async (stage) => {
    const { cluster } = stage;
    const url = cluster.url('secondary');
    await query(url, `ALTER TABLE journal ADD CONSTRAINT short CHECK (length(note) < 1) NOT VALID`);
    const found: Violation[] = [];
    const paused = async () =>
      (await query(url, `SELECT 1 FROM db_redundancy.tables WHERE table_name = 'journal' AND state = 'paused'`))
        .length > 0 &&
      (await query(url, `SELECT 1 FROM db_redundancy.dead_letters WHERE table_name = 'journal'`)).length > 0;
    await works(stage, 80);
    await waitFor(paused, { what: 'the table is paused', timeoutMs: 15_000 }).catch(() =>
      found.push({ guarantee: 'G9', what: 'rows were refused, and no dead letter says so' }),
    );
    await query(url, 'ALTER TABLE journal DROP CONSTRAINT short');
    if (found.length === 0) await cluster.command('sync', '--table', 'journal');
    // The person has read it.
    await query(url, 'DELETE FROM db_redundancy.dead_letters WHERE true');
    return { missed: 0, violations: found };
  },

  /** G10: no controller, and no control row that the application may read. */
  'nobody knows the route': async (stage) => {
    const { cluster, workload } = stage;
    const may = (verb: 'GRANT' | 'REVOKE') =>
      Promise.all(
        (['primary', 'secondary'] as const).map((side) =>
          query(
            cluster.url(side),
            `${verb} SELECT ON TABLE db_redundancy.control ${verb === 'GRANT' ? 'TO' : 'FROM'} public`,
          ),
        ),
      );
    await may('REVOKE');
    const asleep = cluster.controller.sleep();
    // A lease lasts 10 s.
    await sleep(13_000);
    const before = workload.acknowledged;
    await sleep(3000);
    const after = workload.acknowledged;
    await may('GRANT');
    asleep.wake();
    await works(stage, 20);
    if (after > before) return NOTHING;
    return { missed: 0, violations: [{ guarantee: 'G10', what: 'the application stood still without a controller' }] };
  },
} as const satisfies Readonly<Record<string, Scenario>>;

export type ScenarioName = keyof typeof SCENARIOS;
