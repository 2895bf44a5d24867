/**
 * Transactions that wrote to a table before it was published. What they wrote is not in the stream (pgoutput asks the
 * catalog as it was at each change), and before they commit it is in no snapshot either: a load that begins meanwhile
 * would never see it. PostgreSQL's own table synchronisation waits for them as well, in creating its slot.
 * Whoever has written holds a lock on the table until its end. Those that began to write since are in the stream, and
 * are not waited for.
 */
import type { ClientBase } from 'pg';
import type { Clock } from '../core/clock.js';
import { displayName, type TableName } from '../core/ident.js';
import type { Log } from '../core/log.js';
import type { SourcePool } from '../source/sql-pool.js';

/**
 * Of the table and its partitions, by transactions that had their id before the one that published it had its own; a
 * prepared transaction has no process.
 */
const WRITERS_SQL = `
WITH RECURSIVE tree AS (SELECT $1::oid AS oid UNION SELECT i.inhrelid FROM pg_inherits i JOIN tree t ON i.inhparent = t.oid),
published AS (
  SELECT r.xmin AS xid FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE p.pubname = $2 AND r.prrelid = $1::oid
  UNION ALL SELECT p.xmin FROM pg_publication p WHERE p.pubname = $2 AND p.puballtables)
SELECT DISTINCT l.virtualtransaction AS id, l.pid::text AS pid FROM pg_locks l JOIN tree t ON t.oid = l.relation
JOIN pg_locks x ON x.virtualtransaction = l.virtualtransaction AND x.locktype = 'transactionid' AND x.mode = 'ExclusiveLock' AND x.granted
WHERE l.locktype = 'relation' AND l.mode = 'RowExclusiveLock' AND l.granted
  AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
  AND age(x.transactionid) >= (SELECT min(age(xid)) FROM published)`;

const POLL_MS = 50;
const SAY_AFTER_MS = 5000;

export interface OldWritersOptions {
  readonly source: SourcePool;
  readonly publication: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Resolves when all transactions that wrote to the table before it was published have ended. */
export async function oldWritersGone(
  { clock, log, publication, signal, source }: OldWritersOptions,
  table: TableName & { readonly oid: number },
): Promise<void> {
  const begun = clock.monotonic();
  let said = false;
  let waitedFor: Set<string> | null = null;
  for (;;) {
    const writers = await source.use((client) => writersOf(client, table.oid, publication));
    const left = writers.filter(({ id }) => waitedFor === null || waitedFor.has(id));
    if (left.length === 0) return;
    waitedFor = new Set(left.map(({ id }) => id));
    if (!said && clock.monotonic() - begun >= SAY_AFTER_MS) {
      said = true;
      log.warn(
        { table: displayName(table), pids: left.flatMap(({ pid }) => (pid === null ? [] : [Number(pid)])) },
        `The load of ${displayName(table)} waits for ${left.length} open transactions of the primary that wrote to it before it was published`,
      );
    }
    await clock.sleep(POLL_MS, signal);
  }
}

async function writersOf(
  client: ClientBase,
  oid: number,
  publication: string,
): Promise<readonly { id: string; pid: string | null }[]> {
  const { rows } = await client.query<{ id: string; pid: string | null }>(WRITERS_SQL, [oid, publication]);
  return rows;
}
