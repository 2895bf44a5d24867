/**
 * What to do about an error.
 * - `retry`: nothing was committed; roll back, wait (back-off), do the same again on a working connection.
 * - `reread-checkpoint`: the same, but the transaction's outcome is unknown (the connection was lost, perhaps while
 *   COMMIT was under way): read the checkpoint from the secondary before anything is applied again.
 * - `bisect`: some row or table of the batch is at fault: search it, then act by DB_APPLY_ON_ERROR.
 * - `halt`: trying again cannot help; a person is needed.
 */
export type PolicyAction = 'retry' | 'reread-checkpoint' | 'bisect' | 'halt';

/**
 * The one table from errors to actions (SPEC section 4). Exact SQLSTATEs come first; the class (first two characters)
 * answers for the rest, and every class of PostgreSQL's appendix A has a line, so that no error falls through.
 */
interface Rule {
  readonly action: PolicyAction;
  readonly hint: string;
}

const OUTCOME_UNKNOWN =
  'The connection was lost and the outcome of the transaction is unknown; the checkpoint tells, and the stream goes on by itself.';
const NOT_REACHED = 'The server cannot be reached at the moment; the connection is tried again with back-off.';
const SCHEMA_MISMATCH =
  'The table on the secondary does not look like the one on the primary; bring it back with db:sync -- --table T after mending it.';
const DEFECT =
  'This should not happen and is a defect of db-redundancy or of its configuration; report it with the log line.';
const CODE_RAISED =
  'A trigger, function or check on the secondary refused the change; remove it from the standby table.';

const rule = (action: PolicyAction, hint: string): Rule => ({ action, hint });

/** The first line that fits counts; a line with `message` fits only errors with such a message. */
export const SQLSTATES: readonly (Rule & { readonly sqlstate: string; readonly message?: RegExp })[] = [
  // Connection: 08006 and 08003 are losses of an open connection, the rest of class 08 is failure to connect.
  { sqlstate: '08003', ...rule('reread-checkpoint', OUTCOME_UNKNOWN) },
  { sqlstate: '08006', ...rule('reread-checkpoint', OUTCOME_UNKNOWN) },
  { sqlstate: '08007', ...rule('reread-checkpoint', OUTCOME_UNKNOWN) },
  // A prepared statement that outlived a schema change: prepared anew, it works.
  {
    sqlstate: '0A000',
    message: /cached plan must not change result type/,
    ...rule('retry', 'A table changed under a prepared statement; the statement is prepared anew.'),
  },
  // Transaction state
  {
    sqlstate: '25006',
    ...rule(
      'retry',
      'The database is read-only (a standby, a fence, or out of storage); the stream resumes when it takes writes.',
    ),
  },
  {
    sqlstate: '25P02',
    ...rule('retry', 'An earlier statement of the transaction failed; the transaction is repeated.'),
  },
  {
    sqlstate: '25P03',
    ...rule('retry', 'The setting idle_in_transaction_session_timeout ended the session; raise it if this repeats.'),
  },
  {
    sqlstate: '25P04',
    ...rule(
      'retry',
      'The setting transaction_timeout ended the transaction; raise it or lower DB_APPLY_MAX_ROWS if this repeats.',
    ),
  },
  // Serialization and unknown outcomes
  { sqlstate: '40002', ...rule('bisect', 'The change breaks a constraint that is checked at commit.') },
  { sqlstate: '40003', ...rule('reread-checkpoint', OUTCOME_UNKNOWN) },
  // Privileges, and the parts of class 42 that are nobody's row
  { sqlstate: '42501', ...rule('halt', 'The role lacks a privilege; db:doctor names it together with the GRANT.') },
  // Object state
  {
    sqlstate: '55006',
    ...rule(
      'retry',
      'The object (often the slot) is in use by another session; it is tried again until that session ends.',
    ),
  },
  {
    sqlstate: '55P03',
    ...rule('retry', 'A lock was not granted in time; another session holds the table, see pg_locks.'),
  },
  {
    sqlstate: '55P04',
    ...rule(
      'bisect',
      'A new enum value is used in the transaction that added it; the table is brought back by db:sync.',
    ),
  },
  // Operator intervention
  {
    sqlstate: '57014',
    ...rule(
      'retry',
      'The statement was cancelled or ran into statement_timeout; raise it or lower DB_APPLY_MAX_ROWS if this repeats.',
    ),
  },
  // 57P01 also comes after a commit that was waiting for replication, and from a draining CockroachDB node.
  { sqlstate: '57P01', ...rule('reread-checkpoint', OUTCOME_UNKNOWN) },
  { sqlstate: '57P02', ...rule('reread-checkpoint', OUTCOME_UNKNOWN) },
  { sqlstate: '57P04', ...rule('halt', 'The database was dropped; restore it or correct the URL.') },
  // System errors
  {
    sqlstate: '58P01',
    ...rule(
      'halt',
      'A file that the server needs is gone, often WAL behind a slot: a full sync is needed (db:sync -- --full).',
    ),
  },
  { sqlstate: '58P02', ...rule('halt', 'The server found a file that should not be there; see its log.') },
  // Internal errors: CockroachDB and the proxies of hosted services use these for trouble that passes.
  { sqlstate: 'XX001', ...rule('halt', 'The server reports corrupted data; see its log before anything else.') },
  { sqlstate: 'XX002', ...rule('halt', 'The server reports a corrupted index; see its log, then REINDEX.') },
  {
    sqlstate: 'XXA00',
    ...rule(
      'reread-checkpoint',
      'The transaction was committed, but a schema change in it failed; the checkpoint tells.',
    ),
  },
  {
    sqlstate: '08P01',
    message: /bigger than maximum allowed message size/,
    ...rule('bisect', 'A row is larger than CockroachDB takes in one statement (16 MiB).'),
  },
  { sqlstate: 'XXC01', ...rule('halt', 'CockroachDB refuses this without a licence.') },
  { sqlstate: 'XXC02', ...rule('halt', 'CockroachDB refuses this without a valid licence.') },
];

/** Every class of SQLSTATE. */
export const SQLSTATE_CLASSES: Readonly<Record<string, Rule>> = {
  '00': rule('halt', DEFECT),
  '01': rule('halt', DEFECT),
  '02': rule('halt', DEFECT),
  '03': rule('halt', DEFECT),
  '08': rule('retry', NOT_REACHED),
  '09': rule('bisect', CODE_RAISED),
  '0A': rule('halt', 'The server does not support this; db:doctor compares versions and settings with what is needed.'),
  '0B': rule('halt', DEFECT),
  '0F': rule('halt', DEFECT),
  '0L': rule('halt', 'A grant of the role is not valid; see db:doctor.'),
  '0P': rule('halt', 'The role is not valid; see db:doctor.'),
  '0Z': rule('halt', DEFECT),
  '10': rule('bisect', 'An XML expression on the secondary refused the value.'),
  '20': rule('bisect', CODE_RAISED),
  '21': rule('bisect', 'A statement met one row twice; the batch is replayed in source order.'),
  '22': rule('bisect', 'The secondary refuses a value (too long, out of range, malformed): compare the column types.'),
  '23': rule(
    'bisect',
    'The secondary refuses a row by a constraint: a unique, check, not-null or foreign key that differs from the primary.',
  ),
  '24': rule('halt', DEFECT),
  '25': rule('halt', DEFECT),
  '26': rule('retry', 'A prepared statement is gone (a pooler, or a server restart); it is prepared anew.'),
  '27': rule('bisect', CODE_RAISED),
  '28': rule('halt', 'The server refuses the login; check user, password and pg_hba.conf, or lift the fence.'),
  '2B': rule('halt', 'Other objects depend on the one that is to be changed; see the log line.'),
  '2D': rule('halt', DEFECT),
  '2F': rule('bisect', CODE_RAISED),
  '34': rule('halt', DEFECT),
  '38': rule('bisect', CODE_RAISED),
  '39': rule('bisect', CODE_RAISED),
  '3B': rule('halt', DEFECT),
  '3D': rule('halt', 'The database does not exist; correct the URL or create it.'),
  '3F': rule('bisect', SCHEMA_MISMATCH),
  '40': rule('retry', 'The transaction met another one; it is repeated.'),
  '42': rule('bisect', SCHEMA_MISMATCH),
  '44': rule('bisect', CODE_RAISED),
  '53': rule(
    'retry',
    'The server is out of disk, memory, connections or quota; the stream resumes when it has some again.',
  ),
  '54': rule(
    'bisect',
    'A row is larger than the secondary takes (an index entry, the number of columns, a statement).',
  ),
  '55': rule(
    'halt',
    'The object is not in a state that allows this, for instance an invalidated slot; see the log line.',
  ),
  '57': rule(
    'retry',
    'The server is starting, stopping or was told to end the session; the connection is tried again with back-off.',
  ),
  '58': rule('retry', 'The server met an error of its system (often I/O); see its log if this repeats.'),
  '72': rule('retry', 'The snapshot was too old; the statement is repeated.'),
  F0: rule('halt', 'The configuration file of the server is in error; see its log.'),
  HV: rule('halt', 'A foreign data wrapper failed; foreign tables cannot be replicated.'),
  P0: rule('bisect', CODE_RAISED),
  XX: rule(
    'retry',
    'The server met an internal error, or the service is out of quota or restarting; see its console if this repeats.',
  ),
};

const TLS = 'TLS failed: check sslmode and sslrootcert in the URL against the certificate of the server.';

/** Codes of Node's errors. `reread-checkpoint` counts as `retry` while connecting, when nothing can have been sent. */
export const NODE_CODES: Readonly<Record<string, Rule>> = {
  ECONNREFUSED: rule('retry', NOT_REACHED),
  ENOTFOUND: rule('retry', 'The host name cannot be resolved; check the URL if this repeats.'),
  EAI_AGAIN: rule('retry', 'The host name cannot be resolved at the moment.'),
  EHOSTUNREACH: rule('reread-checkpoint', NOT_REACHED),
  ENETUNREACH: rule('reread-checkpoint', NOT_REACHED),
  EHOSTDOWN: rule('reread-checkpoint', NOT_REACHED),
  ENETDOWN: rule('reread-checkpoint', NOT_REACHED),
  EADDRNOTAVAIL: rule('retry', NOT_REACHED),
  ENOENT: rule('retry', 'The socket file of the server is missing; the server does not run, or the URL is wrong.'),
  EMFILE: rule('retry', 'This process is out of file descriptors; raise ulimit -n if this repeats.'),
  ECONNRESET: rule('reread-checkpoint', OUTCOME_UNKNOWN),
  ECONNABORTED: rule('reread-checkpoint', OUTCOME_UNKNOWN),
  EPIPE: rule('reread-checkpoint', OUTCOME_UNKNOWN),
  ETIMEDOUT: rule('reread-checkpoint', OUTCOME_UNKNOWN),
  ENOTCONN: rule('reread-checkpoint', OUTCOME_UNKNOWN),
  ERR_STREAM_DESTROYED: rule('reread-checkpoint', OUTCOME_UNKNOWN),
  ERR_STREAM_PREMATURE_CLOSE: rule('reread-checkpoint', OUTCOME_UNKNOWN),
  ERR_SOCKET_CLOSED: rule('reread-checkpoint', OUTCOME_UNKNOWN),
  ERR_STREAM_WRITE_AFTER_END: rule('reread-checkpoint', OUTCOME_UNKNOWN),
  ERR_TLS_CERT_ALTNAME_INVALID: rule('halt', TLS),
  CERT_HAS_EXPIRED: rule('halt', TLS),
  DEPTH_ZERO_SELF_SIGNED_CERT: rule('halt', TLS),
  SELF_SIGNED_CERT_IN_CHAIN: rule('halt', TLS),
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: rule('halt', TLS),
  UNABLE_TO_GET_ISSUER_CERT: rule('halt', TLS),
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: rule('halt', TLS),
};

/** Errors of pg that carry no code, by their message: the driver gives nothing else to know them by. */
export const CONNECTION_MESSAGES: readonly (Rule & { readonly message: RegExp })[] = [
  {
    message:
      /^Connection terminated due to connection timeout|^timeout expired|^timeout exceeded when trying to connect/,
    ...rule('retry', NOT_REACHED),
  },
  {
    message:
      /^Connection terminated|^Client has encountered a connection error|^Client was closed|^Connection ended|^Query read timeout/,
    ...rule('reread-checkpoint', OUTCOME_UNKNOWN),
  },
  { message: /^Client network socket disconnected before secure TLS/, ...rule('retry', NOT_REACHED) },
  { message: /^There was an error establishing an SSL connection/, ...rule('retry', NOT_REACHED) },
  { message: /^The server does not support SSL connections/, ...rule('halt', TLS) },
  { message: /^SASL:/, ...rule('halt', 'The password is missing or does not fit; check the URL.') },
];
