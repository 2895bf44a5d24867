/** The fence of a PostgreSQL database. Its DDL is transactional: record and change are one. */
import { quoteIdent, quoteLiteral, type TableName } from '../core/ident.js';
import { sqlstateOf } from '../core/policy.js';
import { isOwnSql } from '../core/writer.js';
import type { Session } from './database.js';
import {
  applyMeasure,
  type Fence,
  FenceError,
  type FenceParts,
  type FenceReport,
  forgetMeasure,
  GONE,
  markClosed,
  readClosed,
  readMeasures,
} from './fence.js';
import { guardableTables, installGuards, removalsOf, setGuard } from './guard-trigger.js';
import { applicationRoles, list, revokeMeasures } from './roles.js';

export interface PostgresFenceOptions {
  /**
   * Logins refused, and read-only by default for our own role: for a primary. A standby lets the application's roles
   * in to read, since routers look at the control row there.
   */
  readonly refuseLogins: boolean;
}

const ATTEMPT_PAUSE_MS = 50;
/** Short: an application that waits behind our lock request must not notice. */
const LOCK_TIMEOUT = '300ms';
/** Neither a person's mistake nor a race between two processes: another attempt may succeed. */
const PASSING = new Set(['55P03', '40P01', '40001', '57014']);

export class PostgresFence implements Fence {
  readonly #parts: FenceParts;
  readonly #options: PostgresFenceOptions;

  constructor(parts: FenceParts, options: PostgresFenceOptions) {
    this.#parts = parts;
    this.#options = options;
  }

  async close(tables: readonly TableName[], signal: AbortSignal): Promise<FenceReport> {
    const { clock, database } = this.#parts;
    const { gaps, roles } = await this.#refuse(tables);
    let ended = 0;
    let last: unknown;
    for (;;) {
      if (signal.aborted) throw new FenceError(database.side, reasonOf(last ?? signal.reason), last);
      const terminated = await this.#terminate(roles, gaps);
      ended += terminated;
      try {
        await this.#guard(tables);
        // Whoever came in between the two looks of one round is seen by the next.
        if (terminated === 0) break;
      } catch (error) {
        const state = sqlstateOf(error);
        if (state === null || !PASSING.has(state)) {
          if (state !== '42501') throw error;
          gaps.push(
            `the guard trigger cannot be put on every table (${reasonOf(error)}): connect with the owner of the tables`,
          );
          break;
        }
        last = error;
        ended += await this.#terminateBlockers(tables);
      }
      await clock.sleep(ATTEMPT_PAUSE_MS);
    }
    return { roles, ended, gaps };
  }

  async open(): Promise<void> {
    const { database, deadlineMs, log, stream } = this.#parts;
    await database.transaction(deadlineMs, async (session) => {
      await setGuard(session, false, '');
      for (const { no, what, undo } of await readMeasures(session, stream)) {
        if (undo !== '') {
          const error = await attempt(session, undo);
          if (error !== null && !GONE.has(sqlstateOf(error) ?? '')) throw error;
          if (error !== null) log.warn({ what, err: error }, 'Part of the fence was not undone: its object is gone');
        }
        await forgetMeasure(session, stream, no);
      }
    });
  }

  async remove(tables: readonly TableName[]): Promise<void> {
    const { database, deadlineMs, log } = this.#parts;
    const guarded = (await database.use(deadlineMs, (session) => guardableTables(session, tables))).filter(
      (table) => table.guarded || table.truncateGuarded,
    );
    for (const table of guarded) {
      try {
        await database.transaction(deadlineMs, async (session) => {
          await session.run(`SET LOCAL lock_timeout = '${LOCK_TIMEOUT}'`);
          for (const statement of removalsOf(table)) await session.run(statement);
        });
      } catch (error) {
        // An open guard does nothing; it is taken away after the next failback.
        log.debug({ table: table.name, err: error }, 'A guard trigger was left in place');
      }
    }
  }

  isClosed(): Promise<boolean> {
    return readClosed(this.#parts);
  }

  /** Everything that keeps new work out, in one transaction. What is refused to us is a gap unless the guard covers it. */
  async #refuse(tables: readonly TableName[]): Promise<{ roles: string[]; gaps: string[] }> {
    const { database, deadlineMs, log, stream } = this.#parts;
    return database.transaction(deadlineMs, async (session) => {
      await session.run(`SET LOCAL lock_timeout = '2s'`);
      const roles = await applicationRoles(session, tables);
      await setGuard(session, true, guardText(database.side));
      await markClosed(session, stream);
      const measures = await revokeMeasures(session, tables);
      if (this.#options.refuseLogins) {
        for (const role of roles) {
          if (!role.canLogin) continue;
          const name = quoteIdent(role.name);
          measures.push({
            what: `login of ${name}`,
            sql: `ALTER ROLE ${name} NOLOGIN`,
            undo: `ALTER ROLE ${name} LOGIN`,
          });
        }
        measures.push(...(await readOnlyByDefault(session)));
      }
      for (const measure of measures) {
        await session.run('SAVEPOINT measure');
        try {
          await applyMeasure(session, stream, measure);
          await session.run('RELEASE SAVEPOINT measure');
        } catch (error) {
          await session.run('ROLLBACK TO SAVEPOINT measure');
          log.info(
            { what: measure.what, err: error },
            'A measure of the fence was refused; the guard trigger stands in',
          );
        }
      }
      return { roles: roles.map((role) => role.name), gaps: [] };
    });
  }

  /** @returns how many sessions were told to end */
  async #terminate(roles: readonly string[], gaps: string[]): Promise<number> {
    const { database, deadlineMs } = this.#parts;
    const ending = database.run(
      `SELECT pg_terminate_backend(pid)::text AS done FROM pg_stat_activity
       WHERE datname = current_database() AND pid <> pg_backend_pid() AND coalesce(backend_type, 'client backend') = 'client backend'
         AND ((usename = ANY ($1::text[])) OR (usename = current_user AND NOT ${isOwnSql('application_name')}))`,
      [list(roles)],
      deadlineMs,
    );
    const rows = await ending.catch((error: unknown) => {
      if (sqlstateOf(error) !== '42501') throw error;
      const gap = `sessions of ${roles.join(', ')} cannot be ended, only refused (${reasonOf(error)}): GRANT pg_signal_backend TO our role`;
      if (!gaps.includes(gap)) gaps.push(gap);
      return [];
    });
    // A superuser's session that we may not end is the guard's affair.
    return rows.filter((row) => row.done === 'true').length;
  }

  /** Whoever holds what the guard has to wait for, whatever the role. */
  async #terminateBlockers(tables: readonly TableName[]): Promise<number> {
    const { database, deadlineMs } = this.#parts;
    const rows = await database
      .run(
        `SELECT DISTINCT a.pid::text, pg_terminate_backend(a.pid)::text AS done FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
         JOIN pg_class AS c ON c.oid = l.relation JOIN pg_namespace AS n ON n.oid = c.relnamespace
         JOIN unnest($1::text[], $2::text[]) AS w (schema_name, table_name) ON w.schema_name = n.nspname AND w.table_name = c.relname
         WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND l.mode NOT IN ('AccessShareLock', 'RowShareLock')
           AND a.pid <> pg_backend_pid() AND NOT ${isOwnSql('a.application_name')}`,
        [list(tables.map((table) => table.schema)), list(tables.map((table) => table.name))],
        deadlineMs,
      )
      .catch(() => []);
    return rows.length;
  }

  async #guard(tables: readonly TableName[]): Promise<void> {
    const { database, deadlineMs } = this.#parts;
    await database.transaction(deadlineMs, async (session) => {
      await session.run(`SET LOCAL lock_timeout = '${LOCK_TIMEOUT}'`);
      await installGuards(session, await guardableTables(session, tables));
    });
  }
}

function guardText(side: string): string {
  return `The ${side} database is closed to the application: the other side is active, or a failover is under way`;
}

/** For an application that uses our own role: read-only unless a session says otherwise, as ours do. */
async function readOnlyByDefault(session: Session): Promise<{ what: string; sql: string; undo: string }[]> {
  const [row] = await session.run(
    `SELECT current_user AS role, current_database() AS database,
       (SELECT split_part(s.setting, '=', 2) FROM pg_db_role_setting AS d, unnest(d.setconfig) AS s (setting)
        WHERE d.setrole = (SELECT oid FROM pg_roles WHERE rolname = current_user)
          AND d.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND s.setting LIKE 'default\\_transaction\\_read\\_only=%') AS before`,
  );
  if (row?.before === 'on') return [];
  const at = `ALTER ROLE ${quoteIdent(row?.role ?? '')} IN DATABASE ${quoteIdent(row?.database ?? '')}`;
  const undo =
    row?.before == null
      ? `${at} RESET default_transaction_read_only`
      : `${at} SET default_transaction_read_only = ${quoteLiteral(row.before)}`;
  return [{ what: 'read-only by default', sql: `${at} SET default_transaction_read_only = on`, undo }];
}

/** Inside a transaction, without spoiling it. */
async function attempt(session: Session, sql: string): Promise<unknown> {
  await session.run('SAVEPOINT attempt');
  try {
    await session.run(sql);
    await session.run('RELEASE SAVEPOINT attempt');
    return null;
  } catch (error) {
    await session.run('ROLLBACK TO SAVEPOINT attempt');
    return error;
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
