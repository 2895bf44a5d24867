/** A controller between two databases: its connections, its fences, and the steps that it carries out with them. */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { ClientConfig } from 'pg';
import { Patience } from '../apply/patience.js';
import { TargetSession } from '../apply/target-session.js';
import type { Clock } from '../core/clock.js';
import { ALWAYS_AWAKE } from '../core/economy.js';
import type { TableName } from '../core/ident.js';
import type { Log } from '../core/log.js';
import { LEASE_TTL_MS, type RouteAuthority } from '../core/route.js';
import type { Secret } from '../core/secret.js';
import { OWN_APPLICATION } from '../core/writer.js';
import { migrate } from '../meta/migrate.js';
import { type ReachedSequences, raiseSequences, readSequences } from '../promotion/sequences.js';
import type { Recovery } from '../recovery/recovery.js';
import { ControlStore } from './control-store.js';
import { Controller, type ControllerSettings } from './controller.js';
import { type CrashPoint, noCrash } from './crash-points.js';
import { Database } from './database.js';
import { readStaleTables } from './facts.js';
import type { Fence, FenceParts } from './fence.js';
import { CockroachFence } from './fence-cockroach.js';
import { PostgresFence } from './fence-postgres.js';
import { leaseMsOf } from './health.js';
import { readConflicts, readDeadLetters, readHistory } from './lists.js';
import { probePrimary, probeSecondary, releaseLease, tellLeader } from './probes.js';
import { PromotionTask } from './promotion-task.js';
import { RenewedRecovery } from './renewed-recovery.js';
import type { ControllerRest } from './repose.js';
import { StateFile } from './state-file.js';
import { STEPS, type StepParts } from './steps.js';
import { readPosition } from './stream-hold.js';
import { Webhook } from './webhook.js';

export interface ControllerOptions {
  readonly stream: string;
  readonly primary: ClientConfig;
  readonly secondary: ClientConfig;
  /** Of a health check; metadata statements get it too. */
  readonly timeoutMs: number;
  readonly settings: Omit<ControllerSettings, 'stream' | 'holder'>;
  readonly drainTimeoutMs: number;
  readonly stateDir: string;
  readonly webhookUrl: Secret | null;
  readonly authority: RouteAuthority;
  /** A new one for each failover. */
  readonly createRecovery: () => Recovery;
  readonly clock: Clock;
  readonly log: Log;
  readonly onReleased?: () => void;
  /** Economy mode; without it the primary is always awake. */
  readonly rest?: ControllerRest;
  /** Told of each statement that is sent to the secondary. */
  readonly onStatement?: (text: string) => void;
  readonly crash?: CrashPoint;
  /** How long a router may believe in a lease; tests shorten it. */
  readonly leaseTtlMs?: number;
}

/** Statements of a fence wait for locks of the application. */
const FENCE_TIMEOUT_MS = 20_000;
/** Least time that a statement of metadata gets: a probe may be told to be quicker. */
const SHORTEST_DEADLINE_MS = 5000;

export interface BuiltController {
  readonly controller: Controller;
  /** After `run` has ended. */
  close(): Promise<void>;
}

export function createController(options: ControllerOptions): BuiltController {
  const { authority, clock, log, stream, timeoutMs } = options;
  const recovery = new RenewedRecovery(options.createRecovery);
  const holder = `${hostname()}/${process.pid}/${randomUUID().slice(0, 8)}`;
  const deadlineMs = Math.max(SHORTEST_DEADLINE_MS, timeoutMs);
  const open = (side: 'primary' | 'secondary', purpose: string) =>
    new Database({
      ...{ side, purpose, clock, config: options[side] },
      ...(side === 'secondary' && options.onStatement ? { onStatement: options.onStatement } : {}),
    });
  const databases = {
    primaryProbe: open('primary', 'probe'),
    secondaryProbe: open('secondary', 'probe'),
    primary: open('primary', 'controller'),
    secondary: open('secondary', 'controller'),
    background: open('secondary', 'promotion'),
    aside: open('secondary', 'fence'),
  };
  const { primary, secondary } = databases;
  const { host, port, database } = options.secondary;
  const place = JSON.stringify(options.secondary.connectionString ?? [host, port, database]);
  const file = new StateFile(options.stateDir, stream, place);
  const webhook = new Webhook(options.webhookUrl, log);
  const store = new ControlStore({ stream, holder, primary, secondary, file, clock, log, deadlineMs });
  const prepared = {
    primary: onceWithin(clock, timeoutMs, () => prepare(options.primary, 'primary', clock, log, deadlineMs)),
    secondary: onceWithin(clock, timeoutMs, () => prepare(options.secondary, 'secondary', clock, log, deadlineMs)),
  };
  const who = { stream, holder };
  const fenceParts = (database: Database): FenceParts => ({ stream, database, clock, log, deadlineMs });
  const promotion = new PromotionTask(databases.background, stream, log, (failures) => {
    for (const { error, object } of failures) controller.warn(`Not created on the secondary: ${object} (${error})`);
  });
  const stepParts: StepParts = {
    settings: {
      stream,
      leaseMs: options.leaseTtlMs ?? LEASE_TTL_MS,
      drainTimeoutMs: options.drainTimeoutMs,
      fenceTimeoutMs: FENCE_TIMEOUT_MS,
      deadlineMs,
    },
    clock,
    log,
    authority,
    primary,
    secondary,
    fences: {
      primary: new PostgresFence(fenceParts(primary), { refuseLogins: true }),
      secondary: dialectFence(secondary, fenceParts(secondary), databases.aside, deadlineMs),
    },
    recovery,
    promotion,
    raiseSequences: (tables, fenced) => raise(options, tables, fenced),
    onReleased: options.onReleased ?? (() => undefined),
    crash: options.crash ?? noCrash,
  };
  const hold = { stream, primary, secondary, clock, deadlineMs };
  const lists = { run: (text: string, values: readonly (string | null)[]) => secondary.run(text, values, deadlineMs) };
  const controller = new Controller({
    settings: { ...options.settings, stream, holder },
    clock,
    log,
    store,
    authority,
    recovery,
    webhook,
    facts: {
      position: () => readPosition(hold),
      staleTables: () => readStaleTables(lists, stream),
    },
    probePrimary: async () => {
      await prepared.primary();
      return probePrimary(databases.primaryProbe, clock, who, timeoutMs);
    },
    probeSecondary: async (seen) => {
      await prepared.secondary();
      const leaseMs = leaseMsOf(options.settings.health.intervalMs, timeoutMs);
      return probeSecondary(databases.secondaryProbe, clock, { ...who, leaseMs, seen }, timeoutMs);
    },
    rest: options.rest ?? { ...ALWAYS_AWAKE, lead: () => undefined },
    tellLeader: () => tellLeader(secondary, stream, deadlineMs),
    letGoOfPrimary: async () => {
      await Promise.all([databases.primaryProbe.close(), primary.close()]);
    },
    releaseLease: () => releaseLease(secondary, who, deadlineMs),
    runStep: (step, situation, signal) => STEPS[step](stepParts, situation, signal),
    lists: {
      history: (limit) => readHistory(lists, stream, limit),
      conflicts: (limit) => readConflicts(lists, stream, limit),
      deadLetters: (limit) => readDeadLetters(lists, stream, limit),
    },
    crash: options.crash ?? noCrash,
  });
  return {
    controller,
    close: async () => {
      await promotion.stop().catch(() => undefined);
      await recovery.stop();
      await webhook.flushed();
      await Promise.all(Object.values(databases).map((each) => each.close()));
    },
  };
}

/** The schema of one side, on a connection of its own: migrations take longer than a probe may. */
async function prepare(
  config: ClientConfig,
  side: 'primary' | 'secondary',
  clock: Clock,
  log: Log,
  deadlineMs: number,
): Promise<void> {
  const connection = { connectionTimeoutMillis: deadlineMs, ...config, application_name: `${OWN_APPLICATION} setup` };
  await withSession(connection, (session) => migrate(session.client, side, clock, log));
}

/** Beyond what the secondary holds, and beyond what the primary has handed out, where it can still say so. */
async function raise(
  { log, primary, secondary }: ControllerOptions,
  tables: readonly TableName[],
  fenced: boolean,
): Promise<void> {
  const name = `${OWN_APPLICATION} sequences`;
  const reached = await withSession({ connectionTimeoutMillis: 1000, ...primary, application_name: name }, (session) =>
    readSequences(session, tables),
  ).catch((error: unknown): ReachedSequences | null => {
    log.info({ err: error }, 'The sequences of the primary cannot be read; the headroom stands in');
    return null;
  });
  await withSession({ ...secondary, application_name: name }, (session) =>
    raiseSequences(session, tables, fenced && reached ? 'none' : 'unseen', reached ?? new Map()),
  );
}

async function withSession<T>(config: ClientConfig, work: (session: TargetSession) => Promise<T>): Promise<T> {
  const session = await TargetSession.connect(config, new Patience(SHORTEST_DEADLINE_MS));
  try {
    return await work(session);
  } finally {
    await session.close();
  }
}

/** Which of the two it is shows at the first connection. */
function dialectFence(database: Database, parts: FenceParts, aside: Database, deadlineMs: number): Fence {
  let known: Fence | null = null;
  const fence = async (): Promise<Fence> => {
    if (known) return known;
    const dialect = await database.use(deadlineMs, async (session) => session.dialect);
    known =
      dialect === 'cockroach' ? new CockroachFence(parts, aside) : new PostgresFence(parts, { refuseLogins: false });
    return known;
  };
  return {
    close: async (tables, signal) => (await fence()).close(tables, signal),
    open: async () => (await fence()).open(),
    remove: async (tables) => (await fence()).remove(tables),
    isClosed: async () => (await fence()).isClosed(),
  };
}

/** Done once; until it has succeeded each call waits for the attempt that is under way, as long as a probe may take. */
function onceWithin(clock: Clock, ms: number, work: () => Promise<void>): () => Promise<void> {
  let attempt: Promise<void> | null = null;
  return async () => {
    attempt ??= work().catch((error: unknown) => {
      attempt = null;
      throw error;
    });
    const limit = new AbortController();
    const late = clock.sleep(ms, limit.signal).then(() => {
      throw new Error(`not ready within ${ms} ms`);
    });
    late.catch(() => undefined);
    try {
      await Promise.race([attempt, late]);
    } finally {
      limit.abort(new Error('settled'));
    }
  };
}
