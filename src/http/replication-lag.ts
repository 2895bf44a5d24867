import type { Context } from 'hono';
import type { StatusSource, StreamSnapshot, StreamStatus } from '../core/status.js';
import { HttpError } from './errors.js';
import type { RouteModule } from './routes.js';

/** The answer of `GET /api/system/replication-lag` (SPEC section 9), field by field. */
export interface ReplicationLag {
  readonly status: PublicStatus;
  readonly lagSeconds: number;
  readonly lagBytes: number;
  readonly sourceLsn: string | null;
  readonly receivedLsn: string | null;
  readonly appliedLsn: string | null;
  readonly lastAppliedCommitAt: string | null;
  readonly slot: {
    readonly name: string;
    readonly active: boolean;
    readonly walStatus: string | null;
    readonly retainedBytes: number | null;
  } | null;
  readonly tables: {
    readonly total: number;
    readonly streaming: number;
    readonly loading: number;
    readonly paused: number;
  };
  readonly deadLetters: number;
  readonly dropped: number;
}

type PublicStatus = Exclude<StreamStatus, 'standby'>;

/**
 * The contract has no word for a standby (another process leads the stream, this one waits to take over). To a
 * monitor it is `starting`: the process is well, but its own numbers say nothing about the stream, so the answer is
 * 503 here and 200 at the leader; /readyz tells the two apart.
 */
function publicStatus(status: StreamStatus): PublicStatus {
  return status === 'standby' ? 'starting' : status;
}

/** A stream in any other state does not run: 503, whatever the lag. Detached is healthy (economy mode). */
const RUNNING: ReadonlySet<StreamStatus> = new Set<StreamStatus>(['streaming', 'snapshot', 'detached']);

function replicationLag(snapshot: StreamSnapshot): ReplicationLag {
  const { slot, tables } = snapshot;
  const count = (...states: string[]) => tables.filter((table) => states.includes(table.state)).length;
  return {
    status: publicStatus(snapshot.status),
    lagSeconds: snapshot.lagSeconds,
    lagBytes: snapshot.lagBytes,
    sourceLsn: snapshot.sourceLsn,
    receivedLsn: snapshot.receivedLsn,
    appliedLsn: snapshot.appliedLsn,
    lastAppliedCommitAt: snapshot.lastAppliedCommitAt,
    slot: slot && {
      name: slot.name,
      active: slot.active,
      walStatus: slot.walStatus,
      retainedBytes: slot.retainedBytes,
    },
    // A table that waits for its load counts as loading, so that the three add up to the total.
    tables: {
      total: tables.length,
      streaming: count('streaming'),
      loading: count('loading', 'pending'),
      paused: count('paused'),
    },
    deadLetters: snapshot.deadLetters,
    dropped: snapshot.dropped,
  };
}

/** 200, or 503 when the stream does not run or is behind by more than `?maxSeconds=` or `?maxBytes=`. */
export function replicationLagRoutes(status: Pick<StatusSource, 'snapshot'>): RouteModule {
  return (app) => {
    app.get('/api/system/replication-lag', (context) => {
      const maxSeconds = limit(
        context,
        'maxSeconds',
        /^\d{1,15}(\.\d{1,9})?$/,
        'a number of seconds such as 30 or 0.5',
      );
      const maxBytes = limit(context, 'maxBytes', /^\d{1,15}$/, 'a whole number of bytes');
      const snapshot = status.snapshot();
      // Written so that a lag that is not a number counts as too much.
      const near = snapshot.lagSeconds <= maxSeconds && snapshot.lagBytes <= maxBytes;
      return context.json(replicationLag(snapshot), RUNNING.has(snapshot.status) && near ? 200 : 503);
    });
  };
}

/** A limit from the query; Infinity when it is not given. 400 when it is malformed or given twice. */
function limit(context: Context, name: string, pattern: RegExp, what: string): number {
  const given = context.req.queries(name);
  if (given === undefined) return Number.POSITIVE_INFINITY;
  const [text] = given;
  if (given.length !== 1 || text === undefined || !pattern.test(text)) {
    throw new HttpError(400, 'malformed-parameter', `${name} must be ${what}, given once.`);
  }
  return Number(text);
}
