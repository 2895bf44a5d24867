/**
 * The fence of a CockroachDB. There are no triggers to guard with in older versions, and neither `root` nor an admin can
 * be kept out: the application needs a role of its own, which `db:doctor` checks. Rights to write are revoked and
 * sessions cancelled, which rolls open transactions back. Roles may still log in: routers read the control row.
 */
import { displayName, quoteIdent, quoteLiteral, quoteTable, type TableName } from '../core/ident.js';
import { sqlstateOf } from '../core/policy.js';
import { OWN_APPLICATION } from '../core/writer.js';
import type { Database, Session, TextRow } from './database.js';
import {
  type Fence,
  FenceError,
  type FenceParts,
  type FenceReport,
  forgetMeasure,
  GONE,
  type Measure,
  markClosed,
  readClosed,
  readMeasures,
  recordMeasure,
} from './fence.js';

const WRITES = ['INSERT', 'UPDATE', 'DELETE'] as const;
const PAUSE_MS = 50;
const ATTEMPTS = 10;
/** Admins by definition, whom nothing can be revoked from. */
const ADMINS = new Set(['root', 'admin', 'node']);

export class CockroachFence implements Fence {
  readonly #parts: FenceParts;
  readonly #aside: Database;

  /** @param aside a second connection: a REVOKE waits for open transactions, which are cancelled meanwhile */
  constructor(parts: FenceParts, aside: Database) {
    this.#parts = parts;
    this.#aside = aside;
  }

  async close(tables: readonly TableName[], signal: AbortSignal): Promise<FenceReport> {
    const { clock, database, deadlineMs } = this.#parts;
    const grants = await database.use(deadlineMs, (session) => readGrants(session, tables));
    const writers = new Set([...grants.roles, ...(await this.#formerWriters())]);
    let revoked = false;
    const revoking = this.#revoke(grants.measures).finally(() => {
      revoked = true;
    });
    revoking.catch(() => undefined);
    let ended = 0;
    for (let quiet = false; !quiet; ) {
      if (signal.aborted) throw new FenceError(database.side, 'sessions of the application go on', signal.reason);
      // In this order: who came after the last look, and before the rights were gone, is seen by the next.
      const last = revoked;
      const cancelled = await this.#cancel(writers);
      ended += cancelled;
      quiet = last && cancelled === 0;
      if (!quiet) await clock.sleep(PAUSE_MS);
    }
    await revoking;
    return { roles: [...writers], ended, gaps: grants.gaps };
  }

  async open(): Promise<void> {
    const { database, deadlineMs, log, stream } = this.#parts;
    const measures = await database.use(deadlineMs, (session) => readMeasures(session, stream));
    if (measures.length === 0) return;
    try {
      await this.#inTransaction(async (session) => {
        for (const { undo } of measures) if (undo !== '') await session.run(undo);
        await session.run('DELETE FROM db_redundancy.fence WHERE stream = $1', [stream]);
      });
    } catch (error) {
      if (!GONE.has(sqlstateOf(error) ?? '')) throw error;
      for (const measure of measures)
        await this.#undoOne(measure).catch((gone: unknown) => {
          if (!GONE.has(sqlstateOf(gone) ?? '')) throw gone;
          log.warn({ what: measure.what, err: gone }, 'Part of the fence was not undone: its object is gone');
        });
      await database.use(deadlineMs, (session) => forgetMeasure(session, stream, '0'));
    }
  }

  async #undoOne({ no, undo }: { readonly no: string; readonly undo: string }): Promise<void> {
    const { database, deadlineMs, stream } = this.#parts;
    await database.use(deadlineMs * 2, async (session) => {
      try {
        if (undo !== '') await session.run(undo);
      } finally {
        await forgetMeasure(session, stream, no);
      }
    });
  }

  /** Record and change in one transaction, as on PostgreSQL; its COMMIT waits for those who still use the old rights. */
  async #revoke(measures: readonly Measure[]): Promise<void> {
    const { stream } = this.#parts;
    await this.#inTransaction(async (session) => {
      for (const { sql } of measures) await session.run(sql);
      for (const measure of measures) await recordMeasure(session, stream, measure);
      await markClosed(session, stream);
    });
  }

  async #inTransaction(work: (session: Session) => Promise<void>): Promise<void> {
    const { clock, database, deadlineMs } = this.#parts;
    for (let attempt = 1; ; attempt++) {
      try {
        return await database.transaction(deadlineMs * 4, work);
      } catch (error) {
        if (sqlstateOf(error) !== '40001' || attempt >= ATTEMPTS) throw error;
        await clock.sleep(PAUSE_MS * attempt);
      }
    }
  }

  async remove(): Promise<void> {
    // Nothing is left in place.
  }

  isClosed(): Promise<boolean> {
    return readClosed(this.#parts);
  }

  /** Roles of measures that an earlier call made: their rights are gone, their sessions may not be. */
  async #formerWriters(): Promise<string[]> {
    const { database, deadlineMs, stream } = this.#parts;
    const measures = await database.use(deadlineMs, (session) => readMeasures(session, stream));
    return measures.flatMap(({ what }) =>
      what.startsWith('writes of ') ? [JSON.parse(what.slice(10)) as string] : [],
    );
  }

  /** Cancelled sessions go away a moment later: counted until they are gone. */
  async #cancel(roles: ReadonlySet<string>): Promise<number> {
    return this.#aside.use(this.#parts.deadlineMs, async (session) => {
      // Every session is shown to admins and holders of VIEWACTIVITY, else one's own.
      const rows = await session.run(
        'SELECT session_id AS id, user_name AS role, application_name AS app FROM [SHOW CLUSTER SESSIONS]',
      );
      const theirs = rows.filter((row) => isTheirs(row, roles));
      for (const { id } of theirs) await session.run(`CANCEL SESSION IF EXISTS ${quoteLiteral(id ?? '')}`);
      return theirs.length;
    });
  }
}

function isTheirs({ app, role }: TextRow, roles: ReadonlySet<string>): boolean {
  return roles.has(role ?? '') && !(app ?? '').replaceAll('_', '-').startsWith(OWN_APPLICATION);
}

interface Grants {
  readonly roles: readonly string[];
  readonly measures: readonly Measure[];
  readonly gaps: readonly string[];
}

async function readGrants(session: Session, tables: readonly TableName[]): Promise<Grants> {
  const [me] = await session.run('SELECT current_user AS name');
  const measures: Measure[] = [];
  const grantees = new Set<string>();
  for (const table of tables) {
    const at = quoteTable(table.schema, table.name);
    const rows = await session
      .run(`SELECT grantee, privilege_type AS privilege FROM [SHOW GRANTS ON TABLE ${at}]`)
      .catch((error: unknown) => {
        if (GONE.has(sqlstateOf(error) ?? '')) return [];
        throw error;
      });
    for (const grantee of new Set(rows.map((row) => row.grantee ?? ''))) {
      if (ADMINS.has(grantee) || grantee === me?.name) continue;
      const held = rows.filter((row) => row.grantee === grantee).map((row) => row.privilege ?? '');
      const writes = held.includes('ALL') ? ['ALL'] : WRITES.filter((each) => held.includes(each));
      if (writes.length === 0) continue;
      grantees.add(grantee);
      measures.push({
        what: `writes of ${JSON.stringify(grantee)}`,
        sql: `REVOKE ${held.includes('ALL') ? WRITES.join(', ') : writes.join(', ')} ON TABLE ${at} FROM ${quoteIdent(grantee)}`,
        undo: `GRANT ${writes.join(', ')} ON TABLE ${at} TO ${quoteIdent(grantee)}`,
      });
    }
  }
  const { members, gaps } = await membersOf(session, grantees, tables, me?.name ?? '');
  return { roles: members, measures, gaps };
}

/** Rights come by membership too; owners and admins keep theirs, whatever is revoked. */
async function membersOf(
  session: Session,
  grantees: ReadonlySet<string>,
  tables: readonly TableName[],
  me: string,
): Promise<{ members: string[]; gaps: string[] }> {
  const edges = await session.run(
    'SELECT r.rolname AS role, m.rolname AS member FROM pg_catalog.pg_auth_members AS a JOIN pg_catalog.pg_roles AS r ON r.oid = a.roleid JOIN pg_catalog.pg_roles AS m ON m.oid = a.member',
  );
  const closure = (start: Iterable<string>): Set<string> => {
    const found = new Set(start);
    for (let size = -1; size !== found.size; ) {
      size = found.size;
      for (const edge of edges) if (found.has(edge.role ?? '')) found.add(edge.member ?? '');
    }
    return found;
  };
  const admins = [...closure(['admin'])].filter((name) => !ADMINS.has(name) && name !== me);
  const owners = await session.run(
    `SELECT DISTINCT tableowner AS owner FROM pg_catalog.pg_tables WHERE schemaname = ANY ($1::text[])`,
    [
      `{${[...new Set(tables.map((table) => `"${table.schema.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`))].join(',')}}`,
    ],
  );
  const gaps = admins.map(
    (name) => `role ${name} is an admin and cannot be kept out: give the application another role`,
  );
  for (const { owner } of owners) {
    if (owner && owner !== me && !ADMINS.has(owner)) {
      gaps.push(
        `role ${owner} owns replicated tables (${tables.slice(0, 3).map(displayName).join(', ')}, ...) and cannot be kept out: give the application another role`,
      );
    }
  }
  return { members: [...closure(grantees)].filter((name) => !admins.includes(name)), gaps };
}
