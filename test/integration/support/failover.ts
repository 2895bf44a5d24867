/** A stream and its failover controller between two databases, in this process, with a role of the application on both. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRouteAuthority, type LeasingAuthority } from '../../../src/authority/authority.js';
import { dropCatchUpSlot } from '../../../src/catchup/postgres-source.js';
import { systemClock } from '../../../src/core/clock.js';
import type { FailoverState, Order, Verb } from '../../../src/core/failover.js';
import { quoteIdent } from '../../../src/core/ident.js';
import type { Controller, ControllerSettings } from '../../../src/failover/controller.js';
import type { CrashPoint } from '../../../src/failover/crash-points.js';
import { type BuiltController, createController } from '../../../src/failover/create.js';
import type { ControllerRest } from '../../../src/failover/repose.js';
import { DatabaseRecovery } from '../../../src/recovery/database-recovery.js';
import type { DatabasePair } from '../../harness/cluster.js';
import { query } from '../../harness/sql.js';
import { waitFor } from '../../harness/wait.js';
import { connectionOf } from '../catchup-support.js';
import { RunningStream, type StreamOptions, streamNames, TestLog } from './stream.js';

export const FAST: Omit<ControllerSettings, 'stream' | 'holder'> = {
  health: { intervalMs: 300, suspectIntervalMs: 200 },
  thresholds: { failover: 3, failback: 3 },
  autoFailover: false,
  autoFailback: false,
  maxLagMs: 300_000,
  readyLagMs: 15_000,
  cooldownMs: 0,
  graceMs: 1000,
};

export interface ControllerChoices {
  readonly settings?: Partial<Omit<ControllerSettings, 'stream' | 'holder'>>;
  readonly leaseTtlMs?: number;
  readonly drainTimeoutMs?: number;
  readonly crash?: CrashPoint;
  readonly primaryUrl?: string;
  readonly secondaryUrl?: string;
  readonly onReleased?: () => void;
  readonly rest?: ControllerRest;
}

class RunningController implements AsyncDisposable {
  readonly log = new TestLog();
  readonly authority: LeasingAuthority;
  readonly controller: Controller;
  readonly #built: BuiltController;
  readonly #abort = new AbortController();
  readonly #done: Promise<void>;
  #stopped: Promise<void> | null = null;

  constructor(pair: DatabasePair, stateDir: string, choices: ControllerChoices = {}) {
    const primary = connectionOf(choices.primaryUrl ?? pair.primary.url);
    const secondary = connectionOf(choices.secondaryUrl ?? pair.secondary.url);
    const { leaseTtlMs = 1500 } = choices;
    this.authority = createRouteAuthority({ leaseMs: leaseTtlMs, renewMs: leaseTtlMs / 4 });
    this.#built = createController({
      stream: streamNames(pair).stream,
      primary,
      secondary,
      timeoutMs: 500,
      settings: { ...FAST, ...choices.settings },
      drainTimeoutMs: choices.drainTimeoutMs ?? 15_000,
      stateDir,
      webhookUrl: null,
      authority: this.authority,
      createRecovery: () =>
        new DatabaseRecovery({
          ...streamNames(pair),
          catchUpSlot: catchUpSlot(pair),
          catchUpPublication: 'db_redundancy_catchup',
          primary,
          secondary,
          clock: systemClock,
          log: this.log,
          // Each round asks the secondary several times.
          pollMs: pair.dialect === 'cockroach' ? 300 : 50,
          backoffMs: { initial: 10, max: 500 },
        }),
      clock: systemClock,
      log: this.log,
      leaseTtlMs,
      ...(choices.onReleased ? { onReleased: choices.onReleased } : {}),
      ...(choices.rest ? { rest: choices.rest } : {}),
      ...(choices.crash ? { crash: choices.crash } : {}),
    });
    this.controller = this.#built.controller;
    this.#done = this.controller.run(this.#abort.signal);
  }

  order(verb: Verb, more: Partial<Order> = {}) {
    const flags = { dryRun: false, force: false, allowDataLoss: false };
    return this.controller.order({ verb, actor: 'test', reason: 'a test', ...flags, ...more });
  }

  async leading(): Promise<this> {
    await waitFor(() => this.controller.snapshot().leads, {
      what: `the controller leads; ${this.describe()}`,
      timeoutMs: 20_000,
    });
    return this;
  }

  /** The standby is closed, and it is known how far the stream is. */
  async settled(): Promise<this> {
    await this.leading();
    await this.controller.idle();
    const lag = async () => (await this.controller.guards('failover')).find((guard) => guard.name === 'stream-lag');
    await waitFor(async () => (await lag())?.value !== 'unknown', { what: 'the stream has told its position' });
    return this;
  }

  /** READY is reached when a failback would be begun: its guards may take a moment longer than the state. */
  async reaches(state: FailoverState, timeoutMs = 30_000): Promise<void> {
    const there = async () =>
      this.controller.snapshot().state === state &&
      (state !== 'READY' || !(await this.order('failback', { dryRun: true })).refused);
    try {
      await waitFor(there, { what: `state ${state}`, timeoutMs });
    } catch (error) {
      const guards = await this.controller.guards('failback');
      throw new Error(`${String(error)}; ${this.describe()}\n${JSON.stringify(guards)}`);
    }
  }

  describe(): string {
    const lines = this.log.entries.slice(-25).map(({ details, level, message }) => {
      const { err } = details as { err?: Error };
      return `${level} ${message}${err ? ` | ${err.message}` : ''}`;
    });
    const { alerts, state } = this.controller.snapshot();
    return `state ${state}, alerts ${JSON.stringify(alerts)}\n${lines.join('\n')}`;
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#abort.abort(new Error('test is done'));
    await this.#done;
    await this.#built.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

function catchUpSlot(pair: DatabasePair): string {
  return `catchup_${pair.secondary.name}`;
}

export interface FailoverRig extends AsyncDisposable {
  readonly pair: DatabasePair;
  readonly stream: RunningStream;
  readonly stateDir: string;
  /** Connection strings of the application's own role. */
  readonly app: { readonly primary: string; readonly secondary: string };
  control(choices?: ControllerChoices): RunningController;
}

/** Streams `ddl`, with everything loaded, and a role of the application that may write `tables` on both sides. */
export async function failoverRig(
  pair: DatabasePair,
  ddl: string,
  tables: readonly string[],
  streamOptions: StreamOptions = {},
): Promise<FailoverRig> {
  await query(pair.primary.url, ddl);
  const stream = await new RunningStream(pair, streamOptions).streaming();
  await stream.caughtUp();
  const stateDir = await mkdtemp(join(tmpdir(), 'db-redundancy-state-'));
  const role = `app-${randomBytes(4).toString('hex')}`;
  const quoted = quoteIdent(role);
  const grants = async (url: string, postgres: boolean) => {
    await query(url, `CREATE ROLE ${quoted} LOGIN${postgres ? ` PASSWORD 'application'` : ''}`);
    for (const table of tables) await query(url, `GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE ${table} TO ${quoted}`);
    // CockroachDB grants sequences one by one, and has no USAGE of its own on a fresh schema.
    const sequences = await query<{ name: string }>(
      url,
      `SELECT quote_ident(sequence_schema) || '.' || quote_ident(sequence_name) AS name FROM information_schema.sequences WHERE sequence_schema = 'public'`,
    );
    for (const { name } of sequences)
      await query(
        url,
        `GRANT ${postgres ? 'USAGE' : 'UPDATE'}, SELECT ON ${postgres ? 'SEQUENCE' : 'TABLE'} ${name} TO ${quoted}`,
      );
  };
  await grants(pair.primary.url, true);
  await grants(pair.secondary.url, pair.dialect === 'postgres');
  const asApp = (url: string, postgres: boolean) => {
    const parsed = new URL(url);
    parsed.username = role;
    parsed.password = postgres ? 'application' : '';
    return parsed.href;
  };
  const postgres = pair.dialect === 'postgres';
  return {
    pair,
    stream,
    stateDir,
    app: { primary: asApp(pair.primary.url, true), secondary: asApp(pair.secondary.url, postgres) },
    control: (choices = {}) =>
      new RunningController(pair, stateDir, { onReleased: () => stream.streamer.nudge(), ...choices }),
    async [Symbol.asyncDispose]() {
      await stream[Symbol.asyncDispose]();
      if (postgres) await dropCatchUpSlot(connectionOf(pair.secondary.url), catchUpSlot(pair)).catch(() => undefined);
      for (const url of [pair.primary.url, pair.secondary.url])
        await query(url, `DROP OWNED BY ${quoted}; DROP ROLE ${quoted}`).catch(() => undefined);
      await rm(stateDir, { recursive: true, force: true });
    },
  };
}
