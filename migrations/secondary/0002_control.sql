-- What the failover controller decides, authoritative here, mirrored on the primary. Changed only by compare-and-set on
-- epoch, to epoch + 1. Routers read it when the controller is silent (SELECT for the application's role).
CREATE TABLE IF NOT EXISTS db_redundancy.control (
  stream text PRIMARY KEY,
  epoch int8 NOT NULL,
  state text NOT NULL,
  active text NOT NULL,
  phase text NOT NULL,
  grace_ms int8 NOT NULL DEFAULT 0,
  paused boolean NOT NULL DEFAULT false,
  since timestamptz NOT NULL DEFAULT now(),
  actor text NOT NULL,
  reason text NOT NULL,
  detail text NOT NULL DEFAULT '{}'
);

-- Which controller may decide; renewed by the write probe of every health check.
CREATE TABLE IF NOT EXISTS db_redundancy.controller (
  stream text PRIMARY KEY,
  holder text NOT NULL,
  until timestamptz NOT NULL,
  beat int8 NOT NULL DEFAULT 0
);

CREATE TABLE IF NOT EXISTS db_redundancy.history (
  stream text NOT NULL,
  epoch int8 NOT NULL,
  from_state text NOT NULL,
  to_state text NOT NULL,
  active text NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  duration_ms int8,
  actor text NOT NULL,
  reason text NOT NULL,
  guards text NOT NULL DEFAULT '[]',
  PRIMARY KEY (stream, epoch)
);

-- Rows that were written on both sides of a failover: the one that lost, with both versions (G8).
CREATE TABLE IF NOT EXISTS db_redundancy.conflicts (
  stream text NOT NULL,
  failover_epoch int8 NOT NULL,
  schema_name text NOT NULL,
  table_name text NOT NULL,
  row_key text NOT NULL,
  position int8 NOT NULL,
  winner text NOT NULL,
  rule text NOT NULL,
  primary_version text,
  secondary_version text,
  primary_at timestamptz,
  secondary_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (stream, failover_epoch, schema_name, table_name, row_key, position)
);

-- The catch-up's journal: keys written on the secondary since the failover, folded to one row a key. A row_key that does
-- not begin with a bracket stands for a whole table: '*changed', '*columns', '*truncated' (on the secondary), '*tail' (on the primary).
CREATE TABLE IF NOT EXISTS db_redundancy.touched_keys (
  stream text NOT NULL,
  schema_name text NOT NULL,
  table_name text NOT NULL,
  row_key text NOT NULL,
  -- Position of the last change; what was copied is marked only while it stands here unchanged. '' where none is known.
  at text NOT NULL,
  at_ms int8 NOT NULL,
  -- False for keys that the merge of the tail has entered and nobody has written on the secondary.
  written boolean NOT NULL DEFAULT true,
  -- The fence up to which the primary's own changes of the row are decided upon.
  settled text,
  copied boolean NOT NULL DEFAULT false,
  PRIMARY KEY (stream, schema_name, table_name, row_key)
);
CREATE INDEX IF NOT EXISTS touched_keys_pending ON db_redundancy.touched_keys (stream, copied, at_ms);

CREATE TABLE IF NOT EXISTS db_redundancy.catchup (
  stream text PRIMARY KEY,
  failover_epoch int8 NOT NULL,
  -- The process whose recovery it is; every transaction of a former one fails.
  owner text NOT NULL DEFAULT '',
  source_position text NOT NULL,
  -- False when changes of the secondary were missed: then the journal is no evidence that a row was not written.
  journal_complete boolean NOT NULL DEFAULT true,
  -- Everything that committed on the primary before this is merged, and so many changes of the transaction behind it.
  tail_lsn text,
  tail_changes int8 NOT NULL DEFAULT 0,
  -- The fence up to which tail and comparison are done; null while they are not.
  merged_lsn text,
  -- Tables whose comparison is done, as JSON.
  compared text NOT NULL DEFAULT '[]',
  phase text NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now()
);
