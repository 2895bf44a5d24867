import type { ClientBase } from 'pg';

/** What the primary says about itself, read in one statement that works as an ordinary role on PostgreSQL 14 to 18. */
export interface PrimaryFacts {
  readonly role: string;
  readonly superuser: boolean;
  /** rolreplication, or membership in the role by which a provider hands that right out. */
  readonly replication: boolean;
  /** CREATE on the database: needed for the publication and for schema db_redundancy. */
  readonly canCreate: boolean;
  readonly database: string;
  /** Encoding of the database, as server_encoding names it. */
  readonly encoding: string;
  readonly inRecovery: boolean;
  readonly readOnly: boolean;
  readonly walLevel: string;
  readonly maxSlots: number;
  readonly usedSlots: number;
  readonly maxSenders: number;
  readonly usedSenders: number;
  /** Milliseconds; 0 is off. */
  readonly walSenderTimeoutMs: number;
  /** Megabytes; -1 is no limit. */
  readonly maxSlotWalKeepMb: number;
  readonly slot: SlotFacts | null;
  readonly publication: PublicationFacts | null;
}

export interface SlotFacts {
  readonly type: string;
  readonly plugin: string | null;
  readonly database: string | null;
  readonly active: boolean;
  readonly walStatus: string | null;
}

export interface PublicationFacts {
  readonly owned: boolean;
  readonly allTables: boolean;
  readonly viaRoot: boolean;
  /** Kinds of change that it leaves out: of insert, update, delete, truncate. */
  readonly withheld: readonly string[];
}

const FACTS = `
SELECT current_user::text AS role,
       r.rolsuper AS superuser,
       r.rolreplication OR EXISTS (
         SELECT FROM pg_roles p WHERE p.rolname = 'rds_replication' AND pg_has_role(p.oid, 'MEMBER')) AS replication,
       has_database_privilege(current_database(), 'CREATE') AS "canCreate",
       current_database()::text AS database,
       current_setting('server_encoding') AS encoding,
       pg_is_in_recovery() AS "inRecovery",
       current_setting('transaction_read_only')::bool AS "readOnly",
       current_setting('wal_level') AS "walLevel",
       (SELECT setting::int FROM pg_settings WHERE name = 'max_replication_slots') AS "maxSlots",
       (SELECT count(*)::int FROM pg_replication_slots) AS "usedSlots",
       (SELECT setting::int FROM pg_settings WHERE name = 'max_wal_senders') AS "maxSenders",
       (SELECT count(*)::int FROM pg_stat_replication) AS "usedSenders",
       (SELECT setting::int FROM pg_settings WHERE name = 'wal_sender_timeout') AS "walSenderTimeoutMs",
       (SELECT setting::int FROM pg_settings WHERE name = 'max_slot_wal_keep_size') AS "maxSlotWalKeepMb",
       (SELECT json_build_object('type', slot_type, 'plugin', plugin, 'database', database, 'active', active,
                                 'walStatus', wal_status)
        FROM pg_replication_slots WHERE slot_name = $1) AS slot,
       (SELECT json_build_object(
                 'owned', r.rolsuper OR pg_has_role(p.pubowner, 'USAGE'), 'allTables', p.puballtables,
                 'viaRoot', p.pubviaroot, 'withheld', array_remove(ARRAY[
                   CASE WHEN NOT pubinsert THEN 'insert' END, CASE WHEN NOT pubupdate THEN 'update' END,
                   CASE WHEN NOT pubdelete THEN 'delete' END, CASE WHEN NOT pubtruncate THEN 'truncate' END], NULL))
        FROM pg_publication p WHERE pubname = $2) AS publication
FROM pg_roles r WHERE r.rolname = current_user`;

export async function readPrimaryFacts(client: ClientBase, slot: string, publication: string): Promise<PrimaryFacts> {
  const { rows } = await client.query<PrimaryFacts>(FACTS, [slot, publication]);
  const facts = rows[0];
  if (!facts) throw new Error('The current role is not in pg_roles.');
  return facts;
}
