-- The first start of the primary in compose.yaml runs this: something to replicate. Put your own tables in its place.
CREATE TABLE users (
  id bigserial PRIMARY KEY,
  email text NOT NULL UNIQUE,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE invoices (
  id bigserial PRIMARY KEY,
  user_id bigint NOT NULL REFERENCES users,
  amount numeric(12,2) NOT NULL,
  paid boolean NOT NULL DEFAULT false,
  updated_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO users (email) VALUES ('ada@example.com'), ('bob@example.com');
INSERT INTO invoices (user_id, amount) VALUES (1, 19.90), (2, 5.00);
