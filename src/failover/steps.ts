/**
 * The work between two epochs (docs/decisions/0006-failover.md). Each step may be begun again after a crash at any of its
 * lines: it looks at what is there already, and every statement of it may be repeated.
 */
import type { Clock } from '../core/clock.js';
import type { TableName } from '../core/ident.js';
import type { Log } from '../core/log.js';
import type { RouteAuthority, Side } from '../core/route.js';
import type { Recovery } from '../recovery/recovery.js';
import type { ControlRow } from './control-row.js';
import type { CrashPoint, StepPoint } from './crash-points.js';
import type { Database } from './database.js';
import type { Fence, FenceReport } from './fence.js';
import type { Step } from './machine-types.js';
import type { PromotionTask } from './promotion-task.js';
import { type HoldParts, holdStream, markFence, releaseStream, untilReached } from './stream-hold.js';

export interface StepSettings {
  readonly stream: string;
  /** A full lease: after so long no router believes in an epoch that was withdrawn. */
  readonly leaseMs: number;
  readonly drainTimeoutMs: number;
  /** For closing a side: until no session of the application is left. */
  readonly fenceTimeoutMs: number;
  readonly deadlineMs: number;
}

export interface StepParts {
  readonly settings: StepSettings;
  readonly clock: Clock;
  readonly log: Log;
  readonly authority: RouteAuthority;
  readonly primary: Database;
  readonly secondary: Database;
  readonly fences: { readonly primary: Fence; readonly secondary: Fence };
  readonly recovery: Recovery;
  /** `fenced`: the primary hands out no more values. */
  readonly raiseSequences: (tables: readonly TableName[], fenced: boolean) => Promise<void>;
  /** The stream may run again: the streamer of this process need not wait for its next look. */
  readonly onReleased: () => void;
  readonly promotion: PromotionTask;
  readonly crash: CrashPoint;
}

/** What a step knows of the moment at which it begins. */
export interface Situation {
  readonly row: ControlRow;
  /** Monotonic time at which this process knew of the row's epoch: since then no lower one was granted by it. */
  readonly enteredAtMs: number;
}

/**
 * Foreign keys and triggers may keep the opening of the secondary waiting for so long. On PostgreSQL they take
 * milliseconds, and longer only where the machine is busy: a delete that does not cascade meanwhile leaves rows behind
 * that the primary refuses. On CockroachDB each is a schema change of its own.
 */
const CONSTRAINTS_FIRST_MS = { postgres: 5000, cockroach: 500 } as const;

export type StepWork = (parts: StepParts, situation: Situation, signal: AbortSignal) => Promise<void>;

export const STEPS: Readonly<Record<Step, StepWork>> = {
  'close-primary': async (parts, { row }, signal) => {
    const { settings } = parts;
    await withdrawn(parts, row.epoch, signal);
    pass(parts, 'close-primary:withdrawn');
    await closePrimary(parts, signal);
    pass(parts, 'close-primary:fenced');
    const lsn = await markFence(hold(parts));
    await within(parts, settings.drainTimeoutMs, signal, (limited) => untilReached(hold(parts), lsn, limited));
    pass(parts, 'close-primary:drained');
  },

  promote: async (parts, situation, signal) => {
    const { fences, recovery, settings } = parts;
    const { row } = situation;
    const fenced = await keepPrimaryOut(parts, situation, signal);
    pass(parts, 'promote:fenced');
    await holdStream(hold(parts), `the secondary is active since epoch ${row.epoch}`);
    // An idle stream would learn of it at its next checkpoint only, and keep the slot until then.
    if (fenced) await markFence(hold(parts)).catch(() => undefined);
    pass(parts, 'promote:held');
    await recovery.notePosition(row.detail.failoverEpoch ?? row.epoch);
    pass(parts, 'promote:noted');
    await parts.raiseSequences(await replicatedTables(parts), fenced);
    pass(parts, 'promote:sequences');
    // Before the first write where it takes a moment only: a delete that should have cascaded, or an updated_at that no
    // trigger moved, would come home as it is. What takes longer goes on in the background.
    const first = await parts.secondary.use(settings.deadlineMs, async ({ dialect }) => CONSTRAINTS_FIRST_MS[dialect]);
    await Promise.race([parts.promotion.start(), parts.clock.sleep(first, signal)]);
    await fences.secondary.open();
    pass(parts, 'promote:opened');
    parts.log.info({ stream: settings.stream }, 'The secondary is open');
  },

  'reopen-primary': async (parts) => {
    await parts.fences.primary.open();
    pass(parts, 'reopen-primary:opened');
  },

  'settle-primary': async (parts, _situation, signal) => {
    const { fences, promotion, recovery } = parts;
    const tables = await replicatedTables(parts);
    await close(parts, 'secondary', tables, signal);
    pass(parts, 'settle-primary:standby-closed');
    if (await fences.primary.isClosed()) await fences.primary.open();
    pass(parts, 'settle-primary:opened');
    await promotion.undo();
    pass(parts, 'settle-primary:dropped');
    if (await isHeld(parts)) await recovery.finish();
    pass(parts, 'settle-primary:finished');
    await releaseStream(hold(parts));
    pass(parts, 'settle-primary:released');
    parts.onReleased();
    await fences.primary.remove(tables);
    // Makes the stream say how far it is: what the guard on its lag builds on, should the primary die soon.
    await markFence(hold(parts));
  },

  'settle-secondary': async (parts, { row }) => {
    const { fences, recovery } = parts;
    await holdStream(hold(parts), `the secondary is active since epoch ${row.epoch}`);
    pass(parts, 'settle-secondary:held');
    if (await fences.secondary.isClosed()) await fences.secondary.open();
    pass(parts, 'settle-secondary:opened');
    recovery.follow();
    void parts.promotion.start();
  },

  recover: async (parts, _situation, signal) => {
    await closePrimary(parts, signal);
    pass(parts, 'recover:fenced');
    parts.recovery.recoverPrimary(await markFence(hold(parts)));
  },

  'close-secondary': async (parts, { row }, signal) => {
    await withdrawn(parts, row.epoch, signal);
    pass(parts, 'close-secondary:withdrawn');
    await close(parts, 'secondary', await replicatedTables(parts), signal);
    pass(parts, 'close-secondary:fenced');
  },

  drain: async (parts, _situation, signal) => {
    const { log, recovery, settings } = parts;
    const result = await within(parts, settings.drainTimeoutMs, signal, (limited) => recovery.drain(limited));
    log.info({ ...result }, `Drained: ${result.compared} keys compared, ${result.mended} copied once more`);
    pass(parts, 'drain:drained');
    await recovery.handBack();
    pass(parts, 'drain:handed-back');
  },

  'reopen-secondary': async (parts) => {
    await parts.fences.secondary.open();
    pass(parts, 'reopen-secondary:opened');
  },

  'open-primary': async (parts) => {
    await parts.fences.primary.open();
    pass(parts, 'open-primary:opened');
  },
};

/**
 * Before the secondary opens, nobody may be able to write to the primary: it was fenced, or every lease on it has run
 * out. Routers that read the control row themselves are known to nobody, so that only a full lease's wait is enough.
 * Both are tried at once: a primary that does not answer the probes may still be reached by the fence.
 * @returns whether it was fenced
 */
async function keepPrimaryOut(parts: StepParts, situation: Situation, signal: AbortSignal): Promise<boolean> {
  const { clock, log, settings } = parts;
  const over = new AbortController();
  const either = AbortSignal.any([signal, over.signal]);
  const fenced = closePrimary(parts, either).then(({ gaps }) => {
    if (gaps.length > 0) throw new Error(gaps.join('; '));
    return true;
  });
  const rest = situation.enteredAtMs + settings.leaseMs - clock.monotonic();
  const waited = Promise.all([
    rest > 0 ? clock.sleep(rest, either) : undefined,
    withdrawn(parts, situation.row.epoch, either),
  ]).then(() => false);
  try {
    const isFenced = await Promise.any([fenced, waited]);
    const how = isFenced ? 'it is fenced' : 'it cannot be fenced now, and every lease on it has run out';
    log.info({ epoch: situation.row.epoch }, `The primary takes no writes: ${how}`);
    return isFenced;
  } finally {
    over.abort(new Error('the primary is kept out'));
    await Promise.allSettled([fenced, waited]);
    signal.throwIfAborted();
  }
}

/** Routers have let go of the former epoch; silent ones are waited for as long as their leases last, not longer. */
async function withdrawn(parts: StepParts, epoch: number, signal: AbortSignal): Promise<void> {
  const { authority, log, settings } = parts;
  try {
    const result = await within(parts, 2 * settings.leaseMs, signal, (limited) => authority.withdrawn(epoch, limited));
    log.info({ epoch, ...result }, `Epoch ${epoch}: ${result.acknowledged.length} routers hold`);
  } catch (error) {
    signal.throwIfAborted();
    log.warn({ err: error, epoch }, 'Not every router has acknowledged; the fence keeps them out');
  }
}

async function closePrimary(parts: StepParts, signal: AbortSignal): Promise<FenceReport> {
  return close(parts, 'primary', await replicatedTables(parts), signal);
}

async function close(
  parts: StepParts,
  side: Side,
  tables: readonly TableName[],
  signal: AbortSignal,
): Promise<FenceReport> {
  const { fences, log, settings } = parts;
  const report = await within(parts, settings.fenceTimeoutMs, signal, (limited) => fences[side].close(tables, limited));
  const { ended, gaps, roles } = report;
  log.info({ side, roles, ended }, `The ${side} is closed to the application; ${ended} sessions were ended`);
  for (const gap of gaps) log.warn({ side, gap }, `The fence of the ${side} has a gap: ${gap}`);
  return report;
}

async function replicatedTables({ secondary, settings }: StepParts): Promise<TableName[]> {
  const rows = await secondary.run(
    'SELECT schema_name, table_name FROM db_redundancy.tables WHERE stream = $1 ORDER BY 1, 2',
    [settings.stream],
    settings.deadlineMs,
  );
  return rows.map((row) => ({ schema: row.schema_name ?? '', name: row.table_name ?? '' }));
}

async function isHeld({ secondary, settings }: StepParts): Promise<boolean> {
  const rows = await secondary.run(
    'SELECT 1 AS there FROM db_redundancy.checkpoint WHERE stream = $1 AND held IS NOT NULL',
    [settings.stream],
    settings.deadlineMs,
  );
  return rows.length > 0;
}

function hold({ clock, primary, secondary, settings }: StepParts): HoldParts {
  return { stream: settings.stream, deadlineMs: settings.deadlineMs, primary, secondary, clock };
}

/** Work that is told to stop after a time; the injected clock decides what time is. */
async function within<T>(
  { clock }: StepParts,
  ms: number,
  signal: AbortSignal,
  work: (limited: AbortSignal) => Promise<T>,
): Promise<T> {
  const limit = new AbortController();
  const timer = clock.setTimer(ms, () => limit.abort(new Error(`not within ${ms} ms`)));
  try {
    return await work(AbortSignal.any([signal, limit.signal]));
  } finally {
    timer.cancel();
  }
}

function pass(parts: StepParts, point: StepPoint): void {
  parts.crash(point);
}
