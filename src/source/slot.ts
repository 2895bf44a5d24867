/** Publication and replication slot on the primary: look, create, add tables. Names are quoted or travel as parameters. */
import type { ClientBase } from 'pg';
import { quoteIdent, quoteTable, type TableName, tableKey } from '../core/ident.js';
import { type Lsn, parseLsn } from '../core/lsn.js';
import { narrowness, widenStatements } from './publication-whole.js';

export interface SlotInfo {
  readonly name: string;
  readonly plugin: string | null;
  readonly database: string | null;
  readonly active: boolean;
  readonly restartLsn: Lsn | null;
  readonly confirmedFlushLsn: Lsn | null;
  /** reserved, extended, unreserved, lost; null before the slot has a position. */
  readonly walStatus: string | null;
  /** Bytes of WAL that the primary keeps for the slot. */
  readonly retainedBytes: number | null;
}

export interface SourceState {
  /** pg_control_system().system_identifier; empty where the role may not read it. */
  readonly systemId: string;
  readonly currentLsn: Lsn;
  /** Where the next record goes: a slot that was just created may begin there, before that is written. */
  readonly insertLsn: Lsn;
  /** server_version_num, e.g. 180004. */
  readonly serverVersion: number;
  /** Milliseconds; 0 is no timeout. */
  readonly walSenderTimeoutMs: number;
}

export async function readSourceState(client: ClientBase): Promise<SourceState> {
  const { rows } = await client.query<Record<string, string>>(
    `SELECT pg_current_wal_lsn()::text AS lsn, pg_current_wal_insert_lsn()::text AS insert, current_setting('server_version_num') AS version,
            (SELECT setting FROM pg_settings WHERE name = 'wal_sender_timeout') AS timeout`,
  );
  const system = await client
    .query<{ id: string }>('SELECT system_identifier::text AS id FROM pg_control_system()')
    .catch(() => null);
  const row = rows[0] ?? {};
  return {
    systemId: system?.rows[0]?.id ?? '',
    currentLsn: parseLsn(row.lsn ?? '0/0'),
    insertLsn: parseLsn(row.insert ?? '0/0'),
    serverVersion: Number(row.version),
    walSenderTimeoutMs: Number(row.timeout),
  };
}

/** Null when there is no such slot. */
export async function readSlot(client: ClientBase, name: string): Promise<SlotInfo | null> {
  const { rows } = await client.query<Record<string, string | null>>(
    `SELECT plugin, database, active::text, restart_lsn::text, confirmed_flush_lsn::text, wal_status,
            pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::text AS retained
     FROM pg_replication_slots WHERE slot_name = $1`,
    [name],
  );
  const row = rows[0];
  if (!row) return null;
  const lsn = (text: string | null | undefined) => (text ? parseLsn(text) : null);
  return {
    name,
    plugin: row.plugin ?? null,
    database: row.database ?? null,
    active: row.active === 'true',
    restartLsn: lsn(row.restart_lsn),
    confirmedFlushLsn: lsn(row.confirmed_flush_lsn),
    walStatus: row.wal_status ?? null,
    retainedBytes: row.retained == null ? null : Number(row.retained),
  };
}

/** A server that cannot look whether its client is still there, or is older than PostgreSQL 14, does without. */
const LOOK_FOR_CLIENT_SQL = `SET client_connection_check_interval = '1s'`;

/**
 * Creates the slot and returns its consistent point. Waits for the transactions that are running on the primary, for as
 * long as they take: should this process die meanwhile, the server gives the slot up.
 */
export async function createSlot(client: ClientBase, name: string): Promise<Lsn> {
  await client.query(LOOK_FOR_CLIENT_SQL).catch(() => undefined);
  const { rows } = await client.query<{ lsn: string }>(
    `SELECT lsn::text FROM pg_create_logical_replication_slot($1, 'pgoutput')`,
    [name],
  );
  return parseLsn(rows[0]?.lsn ?? '');
}

export async function dropSlot(client: ClientBase, name: string): Promise<void> {
  await client.query('SELECT pg_drop_replication_slot($1)', [name]);
}

/** Tables of the publication; null when there is no such publication. */
export async function readPublication(client: ClientBase, name: string): Promise<TableName[] | null> {
  const { rows } = await client.query<{ viaroot: string }>(
    'SELECT pubviaroot::text AS viaroot FROM pg_publication WHERE pubname = $1',
    [name],
  );
  if (rows.length === 0) return null;
  const tables = await client.query<{ schemaname: string; tablename: string }>(
    'SELECT schemaname, tablename FROM pg_publication_tables WHERE pubname = $1 ORDER BY 1, 2',
    [name],
  );
  return tables.rows.map((row) => ({ schema: row.schemaname, name: row.tablename }));
}

/**
 * Creates the publication, or adds the tables that it lacks, and what it leaves out of them. Partitioned tables are
 * published through their root, so that a row keeps its identity when it moves between partitions. Returns the tables
 * that were added.
 */
export async function ensurePublication(
  client: ClientBase,
  name: string,
  tables: readonly TableName[],
): Promise<TableName[]> {
  const existing = await readPublication(client, name);
  const list = (names: readonly TableName[]) => names.map((table) => quoteTable(table.schema, table.name)).join(', ');
  if (existing === null) {
    await client.query(
      `CREATE PUBLICATION ${quoteIdent(name)} FOR TABLE ${list(tables)} WITH (publish_via_partition_root = true)`,
    );
    await publishGenerated(client, name);
    return [...tables];
  }
  const asked = new Set(tables.map(tableKey));
  const narrow = await narrowness(client, name);
  const ours = { all: narrow.all, tables: narrow.tables.filter((table) => asked.has(tableKey(table))) };
  for (const statement of widenStatements(name, ours)) await client.query(statement);
  const known = new Set((narrow.all ? ((await readPublication(client, name)) ?? []) : existing).map(tableKey));
  const missing = tables.filter((table) => !known.has(tableKey(table)));
  if (missing.length > 0) await client.query(`ALTER PUBLICATION ${quoteIdent(name)} ADD TABLE ${list(missing)}`);
  await publishGenerated(client, name);
  return missing;
}

/**
 * From PostgreSQL 18 on, a table under REPLICA IDENTITY FULL whose stored generated columns are not published refuses the
 * application's UPDATE and DELETE. They are published where a table has some; before 18 there is no such choice.
 */
async function publishGenerated(client: ClientBase, name: string): Promise<void> {
  const { rows } = await client.query<{ wanted: string }>(
    `SELECT (current_setting('server_version_num')::int >= 180000 AND to_jsonb(p) ->> 'pubgencols' = 'n' AND EXISTS (
       SELECT 1 FROM pg_publication_tables t
       JOIN pg_attribute a ON a.attrelid = format('%I.%I', t.schemaname, t.tablename)::regclass AND a.attgenerated = 's'
       WHERE t.pubname = p.pubname))::text AS wanted
     FROM pg_publication p WHERE p.pubname = $1`,
    [name],
  );
  if (rows[0]?.wanted === 'true' || rows[0]?.wanted === 't')
    await client.query(`ALTER PUBLICATION ${quoteIdent(name)} SET (publish_generated_columns = stored)`);
}
