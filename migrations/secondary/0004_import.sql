-- How far the import of a file has come, on the side that it writes to: moved in the transaction of each statement.
CREATE TABLE IF NOT EXISTS db_redundancy.import_progress (
  sha256 text PRIMARY KEY,
  statements int8 NOT NULL DEFAULT 0,
  merge boolean NOT NULL DEFAULT false,
  started_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  finished_at timestamptz
);
