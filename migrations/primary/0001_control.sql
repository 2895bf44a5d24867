-- Mirror of the secondary's control row: news of a higher epoch for routers and controllers that cannot reach it.
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

-- The write probe of every health check: a read-only database answers SELECT 1.
CREATE TABLE IF NOT EXISTS db_redundancy.heartbeat (
  stream text PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT now(),
  beat int8 NOT NULL DEFAULT 0,
  holder text NOT NULL
);

-- What a fence has changed on this database, with the statement that restores it; row 0 says that the fence stands.
CREATE TABLE IF NOT EXISTS db_redundancy.fence (
  stream text NOT NULL,
  no int8 NOT NULL,
  what text NOT NULL,
  undo text NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (stream, no)
);

GRANT USAGE ON SCHEMA db_redundancy TO public;

GRANT SELECT ON TABLE db_redundancy.control TO public;
