/**
 * kill -9 of the controller between any two effects of a transition: the next one completes it or undoes it, and at no
 * time can both sides be written. A checker writes to both, all the time, with the application's old and new credentials.
 * In short form a few points; DB_TEST_LONG=1 takes them all.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Side } from '../../src/core/route.js';
import { STEP_POINTS } from '../../src/failover/crash-points.js';
import { createDatabasePair, type DatabasePair } from '../harness/cluster.js';
import { spawnCli, type TestProcess } from '../harness/process.js';
import { describeDialects, type SecondaryDialect } from '../harness/secondary-dialects.js';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { type FailoverRig, failoverRig } from '../integration/support/failover.js';
import { bothSides } from '../integration/support/stream.js';
import { serveEnvironment } from './support/serve.js';

const DDL = `CREATE TABLE checks (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), side text NOT NULL, updated_at timestamptz NOT NULL DEFAULT now())`;

/** The places of a round trip: a switchover and a failback. */
const ENTERED = [
  'FENCING_PRIMARY/primary',
  'FENCING_PRIMARY/secondary',
  'SECONDARY_ACTIVE/secondary',
  'RECOVERING/secondary',
  'READY/secondary',
  'FENCING_SECONDARY/secondary',
  'DRAINING/secondary',
  'DRAINING/primary',
  'PRIMARY_ACTIVE/primary',
].flatMap((state) => [`enter:${state}`, `entered:${state}`]);
/** A kill in the middle of an undo: the first controller dies where the second, which undoes it, dies too. */
const UNDONE: Readonly<Record<string, string>> = {
  'reopen-primary:opened': 'close-primary:fenced',
  'reopen-secondary:opened': 'entered:DRAINING/secondary',
};
/** Passed at each start as well: the controller that is to die there comes just before the failback. */
const isLate = (point: string) => point.startsWith('settle-primary');
const ALL = [...ENTERED, ...STEP_POINTS];
const SHORT: Readonly<Record<SecondaryDialect, readonly string[]>> = {
  postgres: ['promote:held', 'entered:DRAINING/primary'],
  cockroach: ['promote:opened'],
};
const TOKEN = 'a-token-of-the-kill-test';
const AT_REST = new Set(['PRIMARY_ACTIVE', 'SECONDARY_ACTIVE', 'RECOVERING', 'READY']);

/** Writes to both sides all the time, as a client that knows nothing of routes. */
class BothSidesChecker implements AsyncDisposable {
  readonly acknowledged: { readonly side: Side; readonly id: string }[] = [];
  #stopping = false;
  readonly #done: Promise<void>[];

  constructor(urls: Readonly<Record<Side, string>>) {
    this.#done = (['primary', 'secondary'] as const).map((side) => this.#write(side, urls[side]));
  }

  /** How often the side that takes writes has changed: with two writable sides they would alternate. */
  changes(): number {
    return this.acknowledged.filter(({ side }, i) => i > 0 && side !== this.acknowledged[i - 1]?.side).length;
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#done);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #write(side: Side, url: string): Promise<void> {
    let client: Client | null = null;
    while (!this.#stopping) {
      const id = randomUUID();
      try {
        if (!client) {
          client = new Client({ connectionString: url });
          client.on('error', () => undefined);
          await client.connect();
        }
        await client.query('INSERT INTO checks (id, side) VALUES ($1, $2)', [id, side]);
        this.acknowledged.push({ side, id });
        await sleep(5);
      } catch {
        await client?.end().catch(() => undefined);
        client = null;
        await sleep(20);
      }
    }
    await client?.end().catch(() => undefined);
  }
}

interface Health {
  /** 0 before the control row was read. */
  readonly epoch: number;
  readonly state: string;
  readonly activeDatabase: string;
}

class ControllerProcess {
  readonly process: TestProcess;
  readonly #base: string;

  private constructor(process: TestProcess, base: string) {
    this.process = process;
    this.#base = base;
  }

  static async start(env: Readonly<Record<string, string | undefined>>): Promise<ControllerProcess> {
    const process = await spawnCli(['controller'], { env });
    const line = await process.waitForLine(/HTTP surface listens on/);
    return new ControllerProcess(process, `http://127.0.0.1:${/listens on \S+:(\d+)/.exec(line)?.[1]}`);
  }

  get alive(): boolean {
    return this.process.ended === undefined;
  }

  async health(): Promise<Health> {
    return (await (await fetch(`${this.#base}/api/system/db-health`)).json()) as Health;
  }

  async order(verb: string): Promise<{ readonly done?: boolean; readonly message?: string }> {
    const headers = { Authorization: `Bearer ${TOKEN}` };
    return (await (await fetch(`${this.#base}/api/system/${verb}`, { method: 'POST', headers })).json()) as object;
  }
}

/** One controller after the other: each dies at its point, as long as there are points, and the next goes on. */
class Succession implements AsyncDisposable {
  readonly #env: Readonly<Record<string, string | undefined>>;
  readonly #points: string[];
  #current: ControllerProcess | null = null;
  deaths = 0;

  constructor(env: Readonly<Record<string, string | undefined>>, points: readonly string[]) {
    this.#env = env;
    this.#points = [...points];
  }

  /** The present one leaves in good order; the next one dies at `point`. */
  async armed(point: string): Promise<void> {
    await this[Symbol.asyncDispose]();
    this.#points.push(point);
    this.#current = await this.#next();
  }

  async #next(): Promise<ControllerProcess> {
    const point = this.#points.shift();
    return ControllerProcess.start({ ...this.#env, ...(point ? { NODE_ENV: 'test', DB_CRASH_AT: point } : {}) });
  }

  async #alive(): Promise<ControllerProcess> {
    if (this.#current && !this.#current.alive) {
      this.deaths += 1;
      this.#current = null;
    }
    this.#current ??= await this.#next();
    return this.#current;
  }

  /** Orders until the side is active and the routers are free; a death in between, and an undo, begin it anew. */
  async until(verb: 'failover' | 'failback', wanted: Side): Promise<void> {
    await waitFor(
      async () => {
        const current = await this.#alive();
        const health = await current.health();
        if (health.epoch === 0 || !AT_REST.has(health.state)) return false;
        if (health.activeDatabase === wanted) return true;
        if (verb === 'failback' && health.state !== 'READY') return false;
        await current.order(verb).catch(() => undefined);
        return false;
      },
      { what: `the ${wanted} is active`, timeoutMs: 60_000 },
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${this.#current?.process.output().slice(-3000)}`);
    });
  }

  /** So many of them have died, and the next one has begun. */
  async died(times: number): Promise<void> {
    const look = async () => (await this.#alive()) && this.deaths >= times;
    await waitFor(look, { what: `death ${times}`, timeoutMs: 20_000 });
  }

  /** What dies a moment later, in the background, is replaced as well. */
  async settled(): Promise<void> {
    const rests = async () => this.#current?.alive && (await this.#current.health()).state === 'PRIMARY_ACTIVE';
    await waitFor(async () => (await rests()) ?? false, {
      what: 'it rests',
      timeoutMs: 5_000,
    }).catch(() => this.until('failback', 'primary'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#current?.process.kill('SIGTERM');
    await this.#current?.process.exit;
  }
}

function refused(url: string): Promise<boolean> {
  return query(url, `BEGIN; INSERT INTO checks (side) VALUES ('probe'); ROLLBACK`).then(
    () => false,
    () => true,
  );
}

describeDialects('G6 G7 kill -9 of the controller', (dialect) => {
  let pair: DatabasePair;
  let rig: FailoverRig;
  beforeAll(async () => {
    pair = await createDatabasePair('dead', dialect);
    rig = await failoverRig(pair, DDL, ['checks']);
  });
  afterAll(async () => {
    await rig[Symbol.asyncDispose]();
    await pair[Symbol.asyncDispose]();
  });

  it.each(process.env.DB_TEST_LONG === '1' ? ALL : SHORT[dialect])(
    'at %s: completed or undone, never two writable sides, nothing lost',
    async (point) => {
      const env = serveEnvironment(pair, {
        DB_HEALTH_CHECK_INTERVAL_MS: '500',
        DB_HEALTH_TIMEOUT_MS: '500',
        DB_AUTO_FAILOVER: 'false',
        DB_AUTO_FAILBACK: 'false',
        DB_COOLDOWN_MS: '0',
        DB_CONTROL_TOKEN: TOKEN,
        DB_STATE_DIR: rig.stateDir,
      });
      const first = UNDONE[point];
      const points = isLate(point) ? [] : first === undefined ? [point] : [first, point];
      await using succession = new Succession(env, points);
      await succession.until('failback', 'primary');
      await waitFor(() => refused(rig.app.secondary), { what: 'the standby is closed' });
      await using checker = new BothSidesChecker(rig.app);
      await waitFor(() => checker.acknowledged.length > 5, { what: 'the application writes' });

      await succession.until('failover', 'secondary');
      const before = checker.acknowledged.length;
      await waitFor(() => checker.acknowledged.length > before + 5, { what: 'it writes to the secondary' });
      if (isLate(point)) await succession.armed(point);
      await succession.until('failback', 'primary');
      if (isLate(point)) await succession.died(1);
      await succession.settled();
      const after = checker.acknowledged.length;
      await waitFor(() => checker.acknowledged.length > after + 5, { what: 'it writes to the primary again' });
      await checker.stop();

      expect(succession.deaths, `deaths at ${point}`).toBe(first === undefined ? 1 : 2);
      expect(checker.changes()).toBe(2);
      await rig.stream.streaming();
      await rig.stream.caughtUp();
      const { primary, secondary } = await bothSides(pair, 'checks');
      expect(secondary).toEqual(primary);
      const ids = new Set(primary.map((row) => row.id));
      expect(checker.acknowledged.filter(({ id }) => !ids.has(id))).toEqual([]);
      expect(await refused(rig.app.secondary)).toBe(true);
    },
    120_000,
  );
});
