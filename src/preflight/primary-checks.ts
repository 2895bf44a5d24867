import { directHost, isPooledNeonHost } from '../config/contradictions.js';
import { quoteIdent, quoteLiteral } from '../core/ident.js';
import type { PrimaryFacts, PublicationFacts } from './primary-facts.js';
import { check, type PreflightResult, type Problem } from './result.js';

const SHORTEST_SENDER_TIMEOUT_MS = 10_000;
const SMALLEST_WAL_KEEP_MB = 1024;

export interface PrimaryWanted {
  readonly host: string;
  readonly slot: string;
  readonly publication: string;
}

/** The checks of the server itself: settings, rights, slot, publication. Pure. */
export function primaryChecks(facts: PrimaryFacts, wanted: PrimaryWanted): PreflightResult[] {
  const role = quoteIdent(facts.role);
  return [
    check('primary-direct-host', 'Host is direct, not pooled', {
      detail: wanted.host,
      problem: isPooledNeonHost(wanted.host)
        ? {
            detail: `${wanted.host} is pooled; replication is not possible through it`,
            remedy: `Use ${directHost(wanted.host)} in DATABASE_URL.`,
          }
        : null,
    }),
    check('primary-recovery', 'Server is a primary', {
      detail: 'not in recovery',
      problem: facts.inRecovery
        ? { detail: 'the server is a standby (in recovery)', remedy: 'Use the URL of its primary.' }
        : null,
    }),
    check('primary-writable', 'Server takes writes', {
      detail: 'transactions are read-write',
      problem: facts.readOnly
        ? {
            severity: 'warning',
            detail: 'default_transaction_read_only is on',
            remedy:
              'Nothing to do while a failover fences this side; else ALTER DATABASE ... RESET default_transaction_read_only.',
          }
        : null,
    }),
    check('primary-encoding', 'Database has an encoding', {
      detail: `server_encoding is ${facts.encoding}`,
      problem:
        facts.encoding === 'SQL_ASCII'
          ? {
              detail: 'server_encoding is SQL_ASCII: its text need not be UTF-8, and no other would arrive unchanged',
              remedy:
                "Move the data to a database with an encoding: CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0;",
            }
          : null,
    }),
    check('primary-wal-level', 'wal_level is logical', {
      detail: `wal_level is ${facts.walLevel}`,
      problem:
        facts.walLevel === 'logical'
          ? null
          : {
              remedy:
                "ALTER SYSTEM SET wal_level = 'logical'; then restart the server (on Neon: project settings, Logical Replication, Enable).",
            },
    }),
    check('primary-replication-right', 'Role may replicate', {
      detail: `role ${facts.role}${facts.superuser ? ' is a superuser' : ''}`,
      problem:
        facts.replication || facts.superuser
          ? null
          : {
              detail: `role ${facts.role} lacks REPLICATION`,
              remedy: `ALTER ROLE ${role} REPLICATION; (on Neon: use a role made in the console, the CLI or the API, not in SQL).`,
            },
    }),
    check('primary-create-right', 'Role may create the publication and schema db_redundancy', {
      detail: `CREATE on database ${facts.database}`,
      problem: facts.canCreate
        ? null
        : {
            detail: `role ${facts.role} lacks CREATE on database ${facts.database}`,
            remedy: `GRANT CREATE ON DATABASE ${quoteIdent(facts.database)} TO ${role};`,
          },
    }),
    slotCheck(facts, wanted.slot),
    senderCheck(facts),
    senderTimeoutCheck(facts.walSenderTimeoutMs),
    walKeepCheck(facts.maxSlotWalKeepMb),
    publicationCheck(facts.publication, wanted.publication),
  ];
}

function slotCheck(facts: PrimaryFacts, name: string): PreflightResult {
  const { slot, usedSlots, maxSlots } = facts;
  const id = 'primary-slot';
  const title = 'Replication slot is there or can be created';
  if (!slot) {
    return check(id, title, {
      detail: `${usedSlots} of ${maxSlots} slots in use, ${name} will be created`,
      problem:
        usedSlots < maxSlots
          ? null
          : {
              detail: `all ${maxSlots} slots are in use`,
              remedy:
                'Drop a slot that nobody needs (SELECT slot_name, active, database FROM pg_replication_slots; SELECT pg_drop_replication_slot(...)) or raise max_replication_slots.',
            },
    });
  }
  const ours = slot.type === 'logical' && slot.plugin === 'pgoutput' && slot.database === facts.database;
  const dropIt = `SELECT pg_drop_replication_slot(${quoteLiteral(name)});`;
  const problem: Problem | null = !ours
    ? {
        detail: `slot ${name} is ${slot.type}, plugin ${slot.plugin ?? 'none'}, database ${slot.database ?? 'none'}`,
        remedy: `Choose another name with DB_REPLICATION_SLOT, or drop it when nobody needs it: ${dropIt}`,
      }
    : slot.walStatus === 'lost'
      ? {
          severity: 'warning',
          detail: `slot ${name} is lost (wal_status): WAL that it needed was removed`,
          remedy: 'Nothing to do: the streamer makes a new slot and starts a full sync.',
        }
      : null;
  return check(id, title, {
    detail: `slot ${name} is there${slot.active ? ', in use by another process' : ''}`,
    problem,
  });
}

function senderCheck({ slot, usedSenders, maxSenders }: PrimaryFacts): PreflightResult {
  // A slot in use has a sender already, which is free when its process ends and this one takes over.
  const free = usedSenders < maxSenders || slot?.active === true;
  return check('primary-wal-sender', 'A WAL sender is free', {
    detail: `${usedSenders} of ${maxSenders} WAL senders in use`,
    problem: free
      ? null
      : { remedy: 'End a replication connection that nobody needs (pg_stat_replication) or raise max_wal_senders.' },
  });
}

function senderTimeoutCheck(timeoutMs: number): PreflightResult {
  const off = timeoutMs === 0;
  const short = !off && timeoutMs < SHORTEST_SENDER_TIMEOUT_MS;
  return check('primary-wal-sender-timeout', 'wal_sender_timeout is reasonable', {
    detail: off ? 'wal_sender_timeout is off' : `wal_sender_timeout is ${timeoutMs / 1000} s`,
    problem: off
      ? {
          severity: 'warning',
          detail: 'wal_sender_timeout is off: a dead connection keeps the slot in use',
          remedy: "ALTER SYSTEM SET wal_sender_timeout = '60s'; SELECT pg_reload_conf();",
        }
      : short
        ? {
            severity: 'warning',
            remedy:
              "Short timeouts end slow connections: ALTER SYSTEM SET wal_sender_timeout = '60s'; SELECT pg_reload_conf();",
          }
        : null,
  });
}

function walKeepCheck(megabytes: number): PreflightResult {
  const unlimited = megabytes === -1;
  return check('primary-wal-keep', 'max_slot_wal_keep_size fits', {
    detail: unlimited ? 'max_slot_wal_keep_size is -1 (no limit)' : `max_slot_wal_keep_size is ${megabytes} MB`,
    problem: unlimited
      ? {
          severity: 'warning',
          detail: 'max_slot_wal_keep_size is -1: a slot that stands still can fill the disk of the primary',
          remedy:
            "Set a limit below the free disk space, for instance ALTER SYSTEM SET max_slot_wal_keep_size = '10GB'; SELECT pg_reload_conf();",
        }
      : megabytes < SMALLEST_WAL_KEEP_MB
        ? {
            severity: 'warning',
            remedy: `The slot is lost, and a full sync needed, when the secondary is away for ${megabytes} MB of WAL: raise it where the disk allows.`,
          }
        : null,
  });
}

function publicationCheck(publication: PublicationFacts | null, name: string): PreflightResult {
  const quoted = quoteIdent(name);
  let problem: Problem | null = null;
  if (publication && publication.withheld.length > 0) {
    const remedy = `ALTER PUBLICATION ${quoted} SET (publish = 'insert, update, delete, truncate');`;
    problem = { detail: `publication ${name} leaves out ${publication.withheld.join(', ')}`, remedy };
  } else if (publication && !publication.owned) {
    const remedy = `ALTER PUBLICATION ${quoted} OWNER TO CURRENT_USER; as its owner or a superuser, so that tables can be added.`;
    problem = { severity: 'warning', detail: `publication ${name} belongs to another role`, remedy };
  }
  return check('primary-publication', 'Publication is there or can be created', {
    detail: publication ? `publication ${name} is there` : `publication ${name} will be created`,
    problem,
  });
}
