/**
 * The write probes. The secondary's is the controller's lease as well, and brings the control row along: one statement
 * for all three, so that an idle system costs few. The primary's is a heartbeat row, and brings the WAL position.
 */
import type { Clock } from '../core/clock.js';
import { formatLsn, type Lsn, parseLsn } from '../core/lsn.js';
import { CONTROL_COLUMNS, type ControlRow, isoTime, parseControlRow } from './control-row.js';
import type { Database } from './database.js';
import type { WalSample } from './lag.js';

export interface PrimaryAnswer {
  readonly latencyMs: number;
  readonly lsn: Lsn;
}

export async function probePrimary(
  database: Database,
  clock: Clock,
  who: { readonly stream: string; readonly holder: string },
  deadlineMs: number,
): Promise<PrimaryAnswer> {
  return database.use(deadlineMs, async (session) => {
    const sent = clock.monotonic();
    const [row] = await session.run(
      `INSERT INTO db_redundancy.heartbeat AS h (stream, holder) VALUES ($1, $2)
       ON CONFLICT (stream) DO UPDATE SET at = now(), beat = h.beat + 1, holder = excluded.holder
       RETURNING pg_current_wal_lsn()::text AS lsn`,
      [who.stream, who.holder],
    );
    return { latencyMs: clock.monotonic() - sent, lsn: parseLsn(row?.lsn ?? '0/0') };
  });
}

export interface SecondaryAnswer {
  readonly latencyMs: number;
  /** This process may decide until `leaseUntil`. */
  readonly leads: boolean;
  /** Monotonic, reckoned from the sending of the probe; 0 when another leads. */
  readonly leaseUntil: number;
  readonly holder: string;
  /** Milliseconds until the other's lease ends. */
  readonly othersLeaseMs: number;
  readonly row: ControlRow | null;
  /** Moves when a controller that only watches hears that the primary is used. */
  readonly stirred: number;
  /** What a leader has stored about the primary: all that one knows who has not seen it. */
  readonly primarySeen: WalSample | null;
}

const BEAT_SQL = `
WITH mine AS (
  UPDATE db_redundancy.controller AS l SET holder = $2, until = now() + $3::interval, beat = l.beat + 1,
    primary_seen_at = coalesce($4::timestamptz, l.primary_seen_at), primary_lsn = coalesce($5, l.primary_lsn)
  WHERE l.stream = $1 AND (l.holder = $2 OR l.until <= now()) RETURNING 1)
SELECT (SELECT count(*) FROM mine)::text AS mine, l.holder, (extract(epoch FROM (l.until - now())) * 1000)::int8::text AS left_ms,
  l.primary_seen_at::text, l.primary_lsn, l.stirred::text, ${CONTROL_COLUMNS.replaceAll(/(^|, )/g, '$1c.')}
FROM db_redundancy.controller AS l LEFT JOIN db_redundancy.control AS c ON c.stream = l.stream WHERE l.stream = $1`;

export async function probeSecondary(
  database: Database,
  clock: Clock,
  who: { readonly stream: string; readonly holder: string; readonly leaseMs: number; readonly seen: WalSample | null },
  deadlineMs: number,
): Promise<SecondaryAnswer> {
  return database.use(deadlineMs, async (session) => {
    const sent = clock.monotonic();
    const seenAt = who.seen && new Date(who.seen.atMs).toISOString();
    const lsn = who.seen && formatLsn(who.seen.lsn);
    const beat = () => session.run(BEAT_SQL, [who.stream, who.holder, `${who.leaseMs} milliseconds`, seenAt, lsn]);
    let [row] = await beat();
    if (!row) {
      await session.run(
        `INSERT INTO db_redundancy.controller (stream, holder, until) VALUES ($1, '', now()) ON CONFLICT (stream) DO NOTHING`,
        [who.stream],
      );
      [row] = await beat();
    }
    const leads = row?.mine === '1';
    return {
      latencyMs: clock.monotonic() - sent,
      leads,
      leaseUntil: leads ? sent + who.leaseMs : 0,
      holder: leads ? who.holder : (row?.holder ?? ''),
      othersLeaseMs: leads ? 0 : Number(row?.left_ms ?? 0),
      row: parseControlRow(row),
      stirred: Number(row?.stirred ?? 0),
      primarySeen:
        row?.primary_seen_at && row.primary_lsn
          ? { atMs: Date.parse(isoTime(row.primary_seen_at)), lsn: parseLsn(row.primary_lsn) }
          : null,
    };
  });
}

/** A controller that only watches tells the leader that the primary is used. */
export async function tellLeader(database: Database, stream: string, deadlineMs: number): Promise<void> {
  await database.run(
    'UPDATE db_redundancy.controller SET stirred = stirred + 1 WHERE stream = $1',
    [stream],
    deadlineMs,
  );
}

/** Lets the lease go, so that another controller need not wait for its end. */
export async function releaseLease(
  database: Database,
  who: { readonly stream: string; readonly holder: string },
  deadlineMs: number,
): Promise<void> {
  await database.run(
    'UPDATE db_redundancy.controller SET until = now() WHERE stream = $1 AND holder = $2',
    [who.stream, who.holder],
    deadlineMs,
  );
}
