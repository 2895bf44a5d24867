/**
 * Transactions that wrote to a table before it was published. What they wrote is not in the stream (pgoutput asks the
 * catalog as it was at each change), and before they commit it is in no snapshot either: a load that begins meanwhile
 * would never see it. PostgreSQL's own table synchronisation waits for them as well, in creating its slot.
 * Whoever has written holds a lock on the table until its end; new writers come and go and are not waited for.
 */
import type { ClientBase } from 'pg';
import type { Clock } from '../core/clock.js';
import { displayName, type TableName } from '../core/ident.js';
import type { Log } from '../core/log.js';
import type { SourcePool } from '../source/sql-pool.js';

/** Of the table and its partitions; a prepared transaction has no process. */
const WRITERS_SQL = `
WITH RECURSIVE tree AS (SELECT $1::oid AS oid UNION SELECT i.inhrelid FROM pg_inherits i JOIN tree t ON i.inhparent = t.oid)
SELECT DISTINCT l.virtualtransaction AS id, l.pid::text AS pid FROM pg_locks l JOIN tree t ON t.oid = l.relation
WHERE l.locktype = 'relation' AND l.mode = 'RowExclusiveLock' AND l.granted
  AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())`;

const POLL_MS = 50;
const SAY_AFTER_MS = 5000;

export interface OldWritersOptions {
  readonly source: SourcePool;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Resolves when all transactions that have written to the table until now have ended. */
export async function oldWritersGone(
  { clock, log, signal, source }: OldWritersOptions,
  table: TableName & { readonly oid: number },
): Promise<void> {
  const begun = clock.monotonic();
  let said = false;
  let waitedFor: Set<string> | null = null;
  for (;;) {
    const writers = await source.use((client) => writersOf(client, table.oid));
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

async function writersOf(client: ClientBase, oid: number): Promise<readonly { id: string; pid: string | null }[]> {
  const { rows } = await client.query<{ id: string; pid: string | null }>(WRITERS_SQL, [oid]);
  return rows;
}
