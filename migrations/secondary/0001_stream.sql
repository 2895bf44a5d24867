-- The stream's own state: one row, one table or one chunk each, all keyed by the stream's name.
CREATE TABLE IF NOT EXISTS db_redundancy.checkpoint (
  stream text PRIMARY KEY,
  epoch int8 NOT NULL DEFAULT 0,
  leader text,
  renewed_at timestamptz NOT NULL DEFAULT now(),
  slot text NOT NULL,
  publication text NOT NULL,
  system_id text NOT NULL,
  lsn text NOT NULL,
  commit_at timestamptz,
  partial_lsn text,
  partial_changes int8 NOT NULL DEFAULT 0
);

CREATE TABLE IF NOT EXISTS db_redundancy.tables (
  stream text NOT NULL,
  schema_name text NOT NULL,
  table_name text NOT NULL,
  state text NOT NULL,
  purge boolean NOT NULL DEFAULT false,
  reason text,
  columns text,
  partitions text,
  rows_loaded int8 NOT NULL DEFAULT 0,
  rows_expected int8,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (stream, schema_name, table_name)
);

CREATE TABLE IF NOT EXISTS db_redundancy.load_progress (
  stream text NOT NULL,
  schema_name text NOT NULL,
  table_name text NOT NULL,
  range_no int8 NOT NULL,
  upper_key text,
  cursor_key text,
  rows int8 NOT NULL DEFAULT 0,
  done boolean NOT NULL DEFAULT false,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (stream, schema_name, table_name, range_no)
);

-- Keys that a row moved to while its table was loading and it was not there yet: read again before the load ends.
CREATE TABLE IF NOT EXISTS db_redundancy.load_rereads (
  stream text NOT NULL,
  schema_name text NOT NULL,
  table_name text NOT NULL,
  row_key text NOT NULL,
  PRIMARY KEY (stream, schema_name, table_name, row_key)
);

CREATE TABLE IF NOT EXISTS db_redundancy.dead_letters (
  stream text NOT NULL,
  commit_lsn text NOT NULL,
  position int8 NOT NULL,
  schema_name text NOT NULL,
  table_name text NOT NULL,
  operation text NOT NULL,
  change text NOT NULL,
  sqlstate text,
  error text NOT NULL,
  commit_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (stream, commit_lsn, position, schema_name, table_name)
);

CREATE TABLE IF NOT EXISTS db_redundancy.promotion (
  stream text NOT NULL,
  schema_name text NOT NULL,
  table_name text NOT NULL,
  kind text NOT NULL,
  name text NOT NULL,
  statement text NOT NULL,
  undo text NOT NULL,
  PRIMARY KEY (stream, schema_name, table_name, kind, name)
);
