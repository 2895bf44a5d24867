/** What a person can order, and how each order is put to the server. */
import type { Guard, OrderResult, Verb } from '../core/failover.js';

export type OrderName = Verb | 'sync' | 'verify';

export interface OrderKind {
  readonly title: string;
  readonly what: string;
  readonly confirm: string;
  /** Of a table, or of all. */
  readonly perTable: boolean;
  /** It moves applications to another database. */
  readonly grave: boolean;
}

export const ORDERS: Readonly<Record<OrderName, OrderKind>> = {
  failover: {
    title: 'Failover to the secondary',
    what: 'Applications move to the secondary. Where the primary answers, it is closed and drained first, and nothing is lost.',
    confirm: 'Carry out failover',
    perTable: false,
    grave: true,
  },
  failback: {
    title: 'Failback to the primary',
    what: 'Applications move back to the primary, with everything that was written on the secondary.',
    confirm: 'Carry out failback',
    perTable: false,
    grave: true,
  },
  pause: {
    title: 'Pause automatic failover and failback',
    what: 'Replication goes on; nothing moves by itself until somebody resumes it. A person can still order a failover.',
    confirm: 'Pause',
    perTable: false,
    grave: false,
  },
  resume: {
    title: 'Resume automatic failover and failback',
    what: 'Failover and failback happen by themselves again, when their guards hold.',
    confirm: 'Resume',
    perTable: false,
    grave: false,
  },
  sync: {
    title: 'Sync tables with the primary',
    what: 'Every row of the table is fetched from the primary anew, and rows that the primary does not have are deleted. A paused table streams again.',
    confirm: 'Start sync',
    perTable: true,
    grave: false,
  },
  verify: {
    title: 'Verify tables',
    what: 'All rows of both sides are compared. The result is in the table list.',
    confirm: 'Start verify',
    perTable: true,
    grave: false,
  },
};

export interface OrderInput {
  readonly name: OrderName;
  readonly reason: string;
  /** Empty: all. */
  readonly table: string;
  readonly repair: boolean;
  readonly force: boolean;
  readonly allowDataLoss: boolean;
}

export function requestOf(input: OrderInput, dryRun: boolean): object {
  const { allowDataLoss, force, name, reason, repair, table } = input;
  if (name === 'sync') return { reason, dryRun, ...(table === '' ? { full: true } : { table }) };
  if (name === 'verify') return { reason, dryRun, repair, ...(table === '' ? {} : { table }) };
  return { reason, dryRun, actor: 'dashboard', force, allowDataLoss };
}

/** The two kinds of answers in one form. */
export interface OrderAnswer {
  readonly guards: readonly Guard[];
  readonly refused: boolean;
  readonly done: boolean;
  readonly message: string;
}

interface ReconcileAnswer {
  readonly ordered: readonly string[];
  readonly would?: readonly string[];
  readonly guards?: readonly Guard[];
}

export function answerOf(body: OrderResult | ReconcileAnswer): OrderAnswer {
  if (!('ordered' in body)) {
    const { done, guards, how, message, refused, tookMs } = body;
    const took = done && tookMs > 0 ? ` It took ${(tookMs / 1000).toFixed(1)} s.` : '';
    const kind = how === 'crash' ? ' The primary does not answer: it is left as it is.' : '';
    return { done, guards, refused, message: `${message}${done ? took : refused ? '' : kind}` };
  }
  const { guards = [], ordered, would = [] } = body;
  const refused = guards.some((guard) => !guard.ok);
  const tables = ordered.length > 0 ? ordered : would;
  const named = tables.length === 1 ? tables[0] : `${tables.length} tables`;
  if (ordered.length > 0)
    return { done: true, refused, guards, message: `Ordered for ${named}. The table list shows how it goes.` };
  return {
    done: false,
    refused,
    guards,
    message: refused ? 'It would be refused.' : `It would be ordered for ${named}.`,
  };
}
