/**
 * What an order would meet, where no controller runs: both sides are read once. Nobody leads for it, nothing is written
 * and nothing is created.
 */
import { systemClock } from '../core/clock.js';
import { RedundancyError } from '../core/errors.js';
import type { Guard, Order, OrderResult } from '../core/failover.js';
import { parseLsn } from '../core/lsn.js';
import { CONTROL_COLUMNS, type ControlRow, parseControlRow } from './control-row.js';
import type { Database } from './database.js';
import { readFailoverFacts, readStaleTables } from './facts.js';
import { describeRefusals, failbackGuards, failoverGuards, refusals } from './guards.js';
import type { JudgementSettings } from './judgement.js';
import type { WalSample } from './lag.js';
import { initialState, refusalOf } from './machine.js';
import { readPosition } from './stream-hold.js';

export interface SurveyParts {
  readonly stream: string;
  readonly primary: Database;
  readonly secondary: Database;
  readonly settings: Omit<JudgementSettings, 'thresholds'> & {
    readonly thresholds: { readonly failover: number; readonly failback: number };
  };
  readonly deadlineMs: number;
}

/** Found out by carrying out a failback, and by a controller that runs: reading alone does not tell. */
const OF_A_RECOVERY: ReadonlySet<string> = new Set(['tail-merged', 'catch-up-lag']);

/** @throws RedundancyError `not-set-up` where the secondary has no control row; the driver's error where it is away */
export async function survey(parts: SurveyParts, order: Order): Promise<OrderResult> {
  const begunMs = systemClock.monotonic();
  const row = await readRow(parts);
  const { verb } = order;
  const answer = (
    refused: boolean,
    message: string,
    guards: readonly Guard[] = [],
    how: OrderResult['how'] = null,
  ) => ({
    ...{ done: false, refused, message, how, guards, state: row.state, epoch: row.epoch },
    tookMs: Math.round(systemClock.monotonic() - begunMs),
  });
  if (verb === 'pause' || verb === 'resume')
    return answer(false, `Automatic failover and failback are ${row.paused ? 'paused' : 'on'}.`);

  const primary = await seePrimary(parts);
  const how = verb === 'failback' ? null : primary.seen ? 'switchover' : 'crash';
  const guards = verb === 'failover' ? await failover(parts, row, primary) : failback(parts, row, primary);
  const refused = refusals(guards, order);
  if (refused.length > 0) return answer(true, describeRefusals(refused), guards, how);
  const { active, state } = row;
  const seen = { ...initialState(), state, durable: state, active, primaryFailures: primary.seen ? 0 : 1 };
  const no = refusalOf(seen, { verb, how: how ?? 'crash' }, parts.settings.thresholds);
  // A recovery goes on before a failback that is ordered: that it has not ended is no refusal.
  if (no !== null && !(verb === 'failback' && active === 'secondary')) return answer(true, no, guards, how);
  return answer(false, 'Every guard that can be read without a controller holds.', guards, how);
}

async function readRow({ deadlineMs, secondary, stream }: SurveyParts): Promise<ControlRow> {
  const sql = `SELECT ${CONTROL_COLUMNS} FROM db_redundancy.control WHERE stream = $1`;
  const rows = await secondary.run(sql, [stream], deadlineMs).catch((error: unknown) => {
    const { code } = error as { code?: string };
    // No such table or schema.
    if (code === '42P01' || code === '3F000') return [];
    throw error;
  });
  const row = parseControlRow(rows[0]);
  if (row) return row;
  throw new RedundancyError(`The secondary has no control row of the stream ${stream}.`, {
    code: 'not-set-up',
    remedy: 'Start db:serve or db:controller, which create it.',
  });
}

interface Seen {
  readonly seen: WalSample | null;
  readonly error: string | null;
}

async function seePrimary({ deadlineMs, primary }: SurveyParts): Promise<Seen> {
  try {
    const [row] = await primary.run('SELECT pg_current_wal_lsn()::text AS lsn', [], deadlineMs);
    return { seen: { atMs: systemClock.now(), lsn: parseLsn(row?.lsn ?? '0/0') }, error: null };
  } catch (error) {
    return { seen: null, error: error instanceof Error ? error.message : String(error) };
  }
}

async function failover(parts: SurveyParts, row: ControlRow, { seen }: Seen): Promise<Guard[]> {
  const { deadlineMs, secondary, settings, stream } = parts;
  const source = {
    run: (text: string, values: readonly (string | null)[]) => secondary.run(text, values, deadlineMs),
  };
  const facts = {
    position: () => readPosition({ ...parts, clock: systemClock }),
    staleTables: () => readStaleTables(source, stream),
  };
  return failoverGuards(
    {
      ...(await readFailoverFacts(facts, seen ? [seen] : [])),
      nowMs: systemClock.now(),
      secondaryError: await readOnlyBecause(parts),
      primaryReachable: seen !== null,
      maxLagMs: settings.maxLagMs,
      // Routers report to a controller.
      routersStillWriting: [],
      ...ofRow(row, settings.cooldownMs),
      auto: settings.autoFailover,
    },
    true,
  );
}

function failback({ settings }: SurveyParts, row: ControlRow, { error, seen }: Seen): Guard[] {
  const guards = failbackGuards(
    {
      nowMs: systemClock.now(),
      primarySuccesses: seen ? 1 : 0,
      threshold: settings.thresholds.failback,
      progress: null,
      maxLagMs: settings.readyLagMs,
      ...ofRow(row, settings.cooldownMs),
      auto: settings.autoFailback,
    },
    true,
  );
  return guards.map((guard) => {
    if (OF_A_RECOVERY.has(guard.name))
      return {
        ...guard,
        ok: true,
        value: 'not known without a controller',
        limit: `${guard.limit}, awaited when ordered`,
      };
    return guard.name === 'primary-steady' && error !== null ? { ...guard, value: error } : guard;
  });
}

/** A probe would write; a session that may not write says so by its settings. */
async function readOnlyBecause({ deadlineMs, secondary }: SurveyParts): Promise<string | null> {
  const [row] = await secondary.run('SHOW transaction_read_only', [], deadlineMs);
  return row?.transaction_read_only === 'on' ? 'its sessions are read-only' : null;
}

function ofRow({ detail, paused }: ControlRow, cooldownMs: number) {
  const from = detail.cooldownFrom;
  return { cooldownFromMs: from === null ? null : Date.parse(from), cooldownMs, paused };
}
