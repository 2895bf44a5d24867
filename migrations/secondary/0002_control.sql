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

-- The catch-up's journal: keys written on the secondary since the failover, and how far it has read and copied.
CREATE TABLE IF NOT EXISTS db_redundancy.touched_keys (
  stream text NOT NULL,
  schema_name text NOT NULL,
  table_name text NOT NULL,
  row_key text NOT NULL,
  at text NOT NULL,
  copied boolean NOT NULL DEFAULT false,
  PRIMARY KEY (stream, schema_name, table_name, row_key)
);

CREATE TABLE IF NOT EXISTS db_redundancy.catchup (
  stream text PRIMARY KEY,
  failover_epoch int8 NOT NULL,
  source_position text NOT NULL,
  tail_lsn text,
  phase text NOT NULL,
  detail text NOT NULL DEFAULT '{}',
  updated_at timestamptz NOT NULL DEFAULT now()
);
