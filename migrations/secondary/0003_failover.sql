-- Set while the stream must not run (the secondary is active): whoever takes the lead looks at it in the same statement.
ALTER TABLE db_redundancy.checkpoint ADD COLUMN IF NOT EXISTS held text;

-- When the primary was last seen, and where its WAL was: the measure of the stream's lag after it is gone.
ALTER TABLE db_redundancy.controller ADD COLUMN IF NOT EXISTS primary_seen_at timestamptz;

ALTER TABLE db_redundancy.controller ADD COLUMN IF NOT EXISTS primary_lsn text;

-- What became of a promotion-time object at the last failover: null, created, failed.
ALTER TABLE db_redundancy.promotion ADD COLUMN IF NOT EXISTS state text;

ALTER TABLE db_redundancy.promotion ADD COLUMN IF NOT EXISTS error text;

-- What a fence has changed on this database, with the statement that restores it; row 0 says that the fence stands.
CREATE TABLE IF NOT EXISTS db_redundancy.fence (
  stream text NOT NULL,
  no int8 NOT NULL,
  what text NOT NULL,
  undo text NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (stream, no)
);

-- Routers read the control row themselves when the controller is silent. It holds no secrets.
GRANT USAGE ON SCHEMA db_redundancy TO public;

GRANT SELECT ON TABLE db_redundancy.control TO public;
