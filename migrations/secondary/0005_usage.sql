-- What a month has cost so far, by estimate: request units by class of statement, seconds that the primary was awake.
CREATE TABLE IF NOT EXISTS db_redundancy.usage (
  stream text NOT NULL,
  month text NOT NULL,
  what text NOT NULL,
  amount float8 NOT NULL DEFAULT 0,
  since timestamptz NOT NULL,
  PRIMARY KEY (stream, month, what)
);

-- Moved by a controller that only watches, when a router tells it of use of the primary: the leader reads it with its lease.
ALTER TABLE db_redundancy.controller ADD COLUMN IF NOT EXISTS stirred int8 NOT NULL DEFAULT 0;
