/**
 * Connections of a recovery. Those that write say so with a setting that the guards of a fence let pass, and are not
 * read-only whatever the fence says of new sessions.
 */
import type { ClientConfig } from 'pg';
import { Patience } from '../apply/patience.js';
import { TargetSession } from '../apply/target-session.js';
import { Backoff } from '../core/backoff.js';
import { sqlstateOf } from '../core/policy.js';
import { type Link, TargetLink } from '../meta/target-link.js';
import type { RecoveryOptions } from './options.js';

/** The last is CockroachDB's: a foreign key to a small table is looked up, too, and not found by reading all of it. */
const WRITER_SQL = `SET default_transaction_read_only = off; SET db_redundancy.writer = 'on'; SET prefer_lookup_joins_for_fks = on`;
const PATIENCE_MS = 60_000;

export function writerName(stream: string): string {
  return `db_redundancy catch-up ${stream}`.slice(0, 63);
}

export async function connectWriter(config: ClientConfig, name: string): Promise<TargetSession> {
  const session = await TargetSession.connect({ ...config, application_name: name }, new Patience(PATIENCE_MS));
  try {
    for (const statement of WRITER_SQL.split('; ')) await session.exec(statement).catch(ignoreUnknownSetting);
    return session;
  } catch (error) {
    session.destroy();
    throw error;
  }
}

/** CockroachDB takes no settings of others' making in some versions; nothing there asks for this one. */
function ignoreUnknownSetting(error: unknown): void {
  if (!['42704', '22023', '42601', '0A000'].includes(sqlstateOf(error) ?? '')) throw error;
}

/** To the secondary, reconnecting by itself. Work that is handed to it may run more than once. */
export function secondaryLink(options: RecoveryOptions, signal: AbortSignal): TargetLink {
  const { initial = 50, max = 5000 } = options.backoffMs ?? {};
  return new TargetLink({
    connect: () => connectWriter(options.secondary, writerName(options.stream)),
    clock: options.clock,
    backoff: new Backoff({ initialMs: initial, maxMs: max }),
    signal,
    onRetry: (error, waitMs) =>
      options.log.warn({ err: error, waitMs }, 'The secondary did not answer the recovery, which asks it again'),
  });
}

/** One transaction, repeated as a whole when it may be. */
export function inTransaction<T>(link: Link, work: (session: TargetSession) => Promise<T>): Promise<T> {
  return link.with(async (session) => {
    try {
      await session.exec('BEGIN');
      const result = await work(session);
      await session.exec('COMMIT');
      return result;
    } catch (error) {
      if (!session.broken) await session.rollback().catch(() => session.destroy());
      throw error;
    }
  });
}

/** Sessions of a former owner of the recovery: they must not write what is outdated by now. */
export async function endOtherWriters(session: TargetSession): Promise<void> {
  await session.exec(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE application_name = current_setting('application_name') AND datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()`,
  );
}
