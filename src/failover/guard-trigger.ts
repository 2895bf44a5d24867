/**
 * The guard: a trigger on every replicated table that refuses writes of sessions which do not say that they are ours.
 * It is what fences those that no REVOKE reaches: owners, superusers, and applications that use our own role. Closing
 * and opening replace the trigger's function, which waits for nobody; only putting a trigger in place takes a lock.
 */
import { quoteIdent, quoteLiteral, quoteTable, type TableName } from '../core/ident.js';
import { WRITER_SETTING } from '../core/writer.js';
import type { Session } from './database.js';
import { list } from './roles.js';

/** The schema names the owner: catalogs leave triggers of functions in db_redundancy out (schema/catalog). */
const FUNCTION = 'db_redundancy.guard';
const ROWS = 'db_redundancy_guard';
const TRUNCATE = 'db_redundancy_guard_truncate';

/** 25006, as a read-only database answers: routers know that nothing was executed. */
export async function setGuard(session: Session, closed: boolean, why: string): Promise<void> {
  const refuse = closed
    ? `IF coalesce(current_setting('${WRITER_SETTING}', true), '') <> 'on' THEN
         RAISE EXCEPTION USING ERRCODE = '25006', MESSAGE = ${quoteLiteral(why)},
           HINT = 'Connect through the router, or look at db:status.';
       END IF;`
    : '';
  await session.run(
    `CREATE OR REPLACE FUNCTION ${FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS $guard$
     BEGIN
       ${refuse}
       IF TG_LEVEL = 'STATEMENT' THEN RETURN NULL; END IF;
       IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
       RETURN NEW;
     END $guard$`,
  );
}

interface Guardable extends TableName {
  readonly partitioned: boolean;
  readonly guarded: boolean;
  readonly truncateGuarded: boolean;
}

/** Of a partitioned table its partitions too: rows may be written to them directly. */
const TABLES_SQL = `
WITH RECURSIVE wanted AS (
  SELECT c.oid, false AS child FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
  JOIN unnest($1::text[], $2::text[]) AS w (schema_name, table_name) ON w.schema_name = n.nspname AND w.table_name = c.relname
  UNION SELECT i.inhrelid, true FROM wanted AS w JOIN pg_inherits AS i ON i.inhparent = w.oid)
SELECT n.nspname AS schema, c.relname AS name, bool_or(w.child)::text AS child, (c.relkind = 'p')::text AS partitioned,
  EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = c.oid AND t.tgname = '${ROWS}')::text AS guarded,
  EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = c.oid AND t.tgname = '${TRUNCATE}')::text AS truncate_guarded
FROM wanted AS w JOIN pg_class AS c ON c.oid = w.oid JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') GROUP BY 1, 2, c.oid, c.relkind ORDER BY 3, 1, 2`;

export async function guardableTables(session: Session, tables: readonly TableName[]): Promise<Guardable[]> {
  const rows = await session.run(TABLES_SQL, [
    list(tables.map((table) => table.schema)),
    list(tables.map((table) => table.name)),
  ]);
  return rows.map((row) => ({
    schema: row.schema ?? '',
    name: row.name ?? '',
    partitioned: row.partitioned === 'true',
    guarded: row.guarded === 'true',
    truncateGuarded: row.truncate_guarded === 'true',
  }));
}

/**
 * For the open transaction: waits until nobody holds an uncommitted change of the tables, and puts the missing triggers
 * in place. Afterwards no transaction that began earlier can write, since the trigger is there for it as well.
 */
export async function installGuards(session: Session, tables: readonly Guardable[]): Promise<void> {
  for (const table of tables) await session.run(`LOCK TABLE ONLY ${at(table)} IN SHARE ROW EXCLUSIVE MODE`);
  for (const table of tables) {
    // A row trigger of a partitioned table is its partitions' too; on plain tables one call a statement is enough.
    if (!table.guarded && !(await hasTrigger(session, table, ROWS))) {
      const each = table.partitioned ? 'ROW' : 'STATEMENT';
      await session.run(
        `CREATE TRIGGER ${ROWS} BEFORE INSERT OR UPDATE OR DELETE ON ${at(table)} FOR EACH ${each} EXECUTE FUNCTION ${FUNCTION}()`,
      );
      await session.run(`ALTER TABLE ${at(table)} ENABLE ALWAYS TRIGGER ${ROWS}`);
    }
    if (!table.truncateGuarded) {
      await session.run(
        `CREATE TRIGGER ${TRUNCATE} BEFORE TRUNCATE ON ${at(table)} FOR EACH STATEMENT EXECUTE FUNCTION ${FUNCTION}()`,
      );
      await session.run(`ALTER TABLE ONLY ${at(table)} ENABLE ALWAYS TRIGGER ${TRUNCATE}`);
    }
  }
}

/** One transaction a table: each waits for its own lock only. */
export function removalsOf(table: TableName): string[] {
  return [ROWS, TRUNCATE].map((name) => `DROP TRIGGER IF EXISTS ${quoteIdent(name)} ON ${at(table)}`);
}

/** Again: creating the parent's trigger in this transaction may have created this one. */
async function hasTrigger(session: Session, table: TableName, name: string): Promise<boolean> {
  const rows = await session.run(
    `SELECT 1 AS there FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
     WHERE n.nspname = $1 AND c.relname = $2 AND t.tgname = $3`,
    [table.schema, table.name, name],
  );
  return rows.length > 0;
}

function at(table: TableName): string {
  return quoteTable(table.schema, table.name);
}
