/**
 * The fence of a CockroachDB. There are no triggers to guard with in older versions, and neither `root` nor an admin can
 * be kept out: the application needs a role of its own, which `db:doctor` checks. Rights to write are revoked and
 * sessions cancelled, which rolls open transactions back. Roles may still log in: routers read the control row.
 */
import { displayName, quoteIdent, quoteTable, type TableName } from '../core/ident.js';
import { sqlstateOf } from '../core/policy.js';
import { OWN_APPLICATION } from '../core/writer.js';
import type { Session, TextRow } from './database.js';
import {
  applyMeasure,
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
} from './fence.js';

const WRITES = ['INSERT', 'UPDATE', 'DELETE'] as const;
const PAUSE_MS = 50;
/** Admins by definition, whom nothing can be revoked from. */
const ADMINS = new Set(['root', 'admin', 'node']);

export class CockroachFence implements Fence {
  readonly #parts: FenceParts;

  constructor(parts: FenceParts) {
    this.#parts = parts;
  }

  async close(tables: readonly TableName[], signal: AbortSignal): Promise<FenceReport> {
    const { clock, database, deadlineMs, stream } = this.#parts;
    const grants = await database.use(deadlineMs * 4, async (session) => {
      const found = await readGrants(session, tables);
      await markClosed(session, stream);
      // Each is recorded before it is made: undoing one that was not made grants what is there already.
      for (const measure of found.measures) await applyMeasure(session, stream, measure);
      return found;
    });
    const writers = new Set([...grants.roles, ...(await this.#formerWriters())]);
    let ended = 0;
    for (let quiet = false; !quiet; ) {
      if (signal.aborted) throw new FenceError(database.side, 'sessions of the application go on', signal.reason);
      const cancelled = await this.#cancel(writers, grants.admin);
      ended += cancelled;
      quiet = cancelled === 0;
      if (!quiet) await clock.sleep(PAUSE_MS);
    }
    return { roles: [...writers], ended, gaps: grants.gaps };
  }

  async open(): Promise<void> {
    const { database, deadlineMs, log, stream } = this.#parts;
    await database.use(deadlineMs * 4, async (session) => {
      for (const { no, what, undo } of await readMeasures(session, stream)) {
        try {
          if (undo !== '') await session.run(undo);
        } catch (error) {
          if (!GONE.has(sqlstateOf(error) ?? '')) throw error;
          log.warn({ what, err: error }, 'Part of the fence was not undone: its object is gone');
        }
        await forgetMeasure(session, stream, no);
      }
    });
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
  async #cancel(roles: ReadonlySet<string>, admin: boolean): Promise<number> {
    const { database, deadlineMs } = this.#parts;
    return database.use(deadlineMs, async (session) => {
      // Every session is shown to admins and holders of VIEWACTIVITY, else one's own.
      const rows = await session
        .run(
          `SELECT session_id AS id, user_name AS role, application_name AS app FROM [SHOW CLUSTER SESSIONS] WHERE status IS DISTINCT FROM 'CLOSED'`,
        )
        .catch(() =>
          session.run(
            `SELECT session_id AS id, user_name AS role, application_name AS app FROM [SHOW CLUSTER SESSIONS]`,
          ),
        );
      const theirs = rows.filter((row) => isTheirs(row, roles, admin));
      for (const { id } of theirs) await session.run(`CANCEL SESSION IF EXISTS '${String(id).replaceAll("'", '')}'`);
      return theirs.length;
    });
  }
}

/** Internal sessions of the server and our own are spared; so are admins, whose sessions would come back as they were. */
function isTheirs(row: TextRow, roles: ReadonlySet<string>, _admin: boolean): boolean {
  const app = row.app ?? '';
  return roles.has(row.role ?? '') && !app.startsWith(OWN_APPLICATION) && !app.startsWith('$ internal');
}

interface Grants {
  readonly roles: readonly string[];
  readonly measures: readonly Measure[];
  readonly gaps: readonly string[];
  readonly admin: boolean;
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
  return { roles: members, measures, gaps, admin: false };
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
