-- What the last sweep and the last verify of each table found; for a sweep also where the next one begins.
CREATE TABLE IF NOT EXISTS db_redundancy.reconcile (
  stream text NOT NULL,
  schema_name text NOT NULL,
  table_name text NOT NULL,
  kind text NOT NULL,
  run_id text NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  cursor_ms int8,
  outcome text NOT NULL,
  PRIMARY KEY (stream, schema_name, table_name, kind)
);

-- A verify that somebody has ordered: {"id": "...", "repair": false}. The process that leads the stream carries it out.
ALTER TABLE db_redundancy.tables ADD COLUMN IF NOT EXISTS verify_order text;
