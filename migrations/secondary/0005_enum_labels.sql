-- The labels of the primary's enum types as the secondary was last made to have them: a label that is renamed keeps its
-- oid. `labels` is JSON, in the type's order: [{"oid": 16388, "label": "blue", "formerly": ["sad"]}].
CREATE TABLE IF NOT EXISTS db_redundancy.enum_labels (
  stream text NOT NULL,
  schema_name text NOT NULL,
  type_name text NOT NULL,
  type_oid int8 NOT NULL,
  labels text NOT NULL,
  -- While the stream may still bring labels from before the last change; NULL: it cannot.
  unsettled text,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (stream, schema_name, type_name)
);
