/** A schema that uses every type and every kind of object that the translation knows. Needs PostgreSQL 15 or newer. */
export const HOSTILE_TABLE = 'Ünï "tab" ON ONLY x.y USING z; -- 1';
/** 63 bytes, the longest name PostgreSQL keeps. */
export const LONG_NAME = `n${'ä'.repeat(31)}`;

export const RICH_SCHEMA = `
CREATE SCHEMA shop;
CREATE SCHEMA "Sché ma.""x""";
CREATE EXTENSION hstore WITH SCHEMA public;
CREATE EXTENSION citext WITH SCHEMA public;
CREATE EXTENSION ltree WITH SCHEMA public;
CREATE EXTENSION pg_trgm WITH SCHEMA public;

CREATE TYPE public.status AS ENUM ('open', 'it''s "quoted"', 'back\\slash', 'schließen', '');
CREATE TYPE shop.pair AS (x integer, "Y" text);
CREATE TYPE shop.float_range AS RANGE (subtype = float8);
CREATE DOMAIN shop.email AS varchar(100) NOT NULL CHECK (VALUE ~ '^[^@]+@[^@]+$') CONSTRAINT short CHECK (length(VALUE) < 90);
CREATE DOMAIN shop.work_email AS shop.email DEFAULT 'a@b' CHECK (VALUE <> 'x@y');

CREATE TABLE public.everything (
  id bigserial PRIMARY KEY,
  c_smallint smallint, c_integer integer DEFAULT 7, c_bigint bigint,
  c_numeric numeric, c_numeric_ps numeric(12,4) DEFAULT 1.5, c_numeric_neg numeric(3,-2),
  c_real real, c_double double precision, c_boolean boolean NOT NULL DEFAULT false,
  c_text text DEFAULT 'it''s', c_varchar varchar(40), c_varchar_any varchar, c_char char(5), c_name name, c_onechar "char",
  c_bytea bytea, c_uuid uuid DEFAULT gen_random_uuid(),
  c_date date DEFAULT CURRENT_DATE, c_time time, c_time3 time(3), c_timetz timetz, c_timestamp timestamp(3),
  c_timestamptz timestamptz DEFAULT now(), c_interval interval, c_interval_ds interval day to second(2),
  c_inet inet, c_cidr cidr, c_macaddr macaddr, c_macaddr8 macaddr8, c_bit bit(4), c_varbit bit varying(9),
  c_json json, c_jsonb jsonb DEFAULT '{"a": 1}', c_xml xml, c_money money,
  c_enum public.status DEFAULT 'open', c_enums public.status[],
  c_ints integer[] DEFAULT '{1,2}', c_texts text[], c_varchars varchar(10)[], c_numerics numeric(8,2)[], c_matrix integer[][],
  c_moneys money[], c_jsonbs jsonb[],
  c_email shop.email, c_work shop.work_email, c_emails shop.email[],
  c_citext citext, c_ltree ltree, c_hstore hstore, c_tsvector tsvector, c_pair shop.pair,
  c_int4range int4range, c_tstzrange tstzrange, c_multirange int4multirange, c_floats shop.float_range,
  c_point point, c_box box, c_path path, c_polygon polygon, c_circle circle, c_line line, c_lseg lseg,
  c_oid oid, c_pg_lsn pg_lsn,
  CONSTRAINT positive CHECK (c_integer > 0),
  CONSTRAINT not_future CHECK (c_timestamptz <= now())
);
COMMENT ON TABLE public.everything IS 'it''s every\\thing';
COMMENT ON COLUMN public.everything.c_integer IS 'a column';
CREATE INDEX everything_trgm ON public.everything USING gin (c_text public.gin_trgm_ops);
CREATE INDEX everything_jsonb ON public.everything USING gin (c_jsonb);
CREATE INDEX everything_hash ON public.everything USING hash (c_uuid);
CREATE INDEX everything_gist ON public.everything USING gist (c_int4range);
CREATE INDEX everything_brin ON public.everything USING brin (c_timestamptz);

CREATE SEQUENCE shop.order_no AS integer INCREMENT BY 5 MINVALUE 10 MAXVALUE 100000 START WITH 20 CACHE 3 CYCLE;
CREATE TABLE shop.customers (
  id integer GENERATED ALWAYS AS IDENTITY (START WITH 100 INCREMENT BY 2),
  number integer DEFAULT nextval('shop.order_no'),
  mail shop.email,
  state text COLLATE "C" NOT NULL DEFAULT 'new',
  first text, last text, price numeric(10,2), qty integer,
  full_name text GENERATED ALWAYS AS (first || ' ' || last) STORED,
  total numeric(14,2) GENERATED ALWAYS AS (price * qty) STORED,
  rank smallint NOT NULL,
  CONSTRAINT customers_key PRIMARY KEY (id) INCLUDE (state),
  CONSTRAINT customers_rank UNIQUE (rank) DEFERRABLE INITIALLY DEFERRED,
  CONSTRAINT customers_name UNIQUE NULLS NOT DISTINCT (first, last),
  CONSTRAINT customers_state CHECK (state IN ('new', 'old'))
);
CREATE INDEX customers_active ON shop.customers (lower(state) DESC NULLS LAST, mail) INCLUDE (qty) WHERE state <> 'old';
CREATE UNIQUE INDEX customers_lower ON shop.customers (lower(first::text));

CREATE TABLE shop.orders (
  customer integer NOT NULL REFERENCES shop.customers ON DELETE CASCADE,
  line smallserial,
  note text,
  span tstzrange,
  PRIMARY KEY (customer, line),
  EXCLUDE USING gist (span WITH &&)
);
ALTER TABLE shop.orders ADD CONSTRAINT old_notes CHECK (note <> '') NOT VALID;
CREATE FUNCTION shop.stamp() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.note := coalesce(NEW.note, '-'); RETURN NEW; END$$;
CREATE TRIGGER stamp BEFORE INSERT ON shop.orders FOR EACH ROW EXECUTE FUNCTION shop.stamp();
CREATE FUNCTION shop.code() RETURNS text LANGUAGE sql VOLATILE AS $$SELECT 'c' || random()::text$$;
CREATE FUNCTION shop.twice(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS $$SELECT $1 * 2$$;
CREATE TABLE shop.coded (
  code text PRIMARY KEY DEFAULT shop.code(), n integer CHECK (shop.twice(n) > 0),
  n2 integer GENERATED ALWAYS AS (shop.twice(n)) STORED
);
CREATE INDEX coded_twice ON shop.coded (shop.twice(n));

CREATE TABLE public.measures (at timestamptz NOT NULL, device integer NOT NULL, value double precision, PRIMARY KEY (at, device))
  PARTITION BY RANGE (at);
CREATE TABLE public.measures_2025 PARTITION OF public.measures FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE public.measures_rest PARTITION OF public.measures DEFAULT;
CREATE INDEX measures_value ON public.measures (value);

CREATE TABLE public.keyless (a integer, b text);
ALTER TABLE public.keyless REPLICA IDENTITY FULL;
CREATE UNLOGGED TABLE public.scratch (a integer);
CREATE VIEW public.a_view AS SELECT 1 AS one;

CREATE TABLE "Sché ma.""x"""."${HOSTILE_TABLE.replaceAll('"', '""')}" (
  "Id "" x" bigint GENERATED BY DEFAULT AS IDENTITY, "select" text DEFAULT 'a', "ünï.code" integer, ${LONG_NAME} text,
  CONSTRAINT "key . "" ö" PRIMARY KEY ("Id "" x"),
  CONSTRAINT "chk "" USING " CHECK ("ünï.code" > 0 AND "select" <> '"')
);
COMMENT ON COLUMN "Sché ma.""x"""."${HOSTILE_TABLE.replaceAll('"', '""')}"."select" IS 'quote '' and "';
CREATE INDEX "idx ON ONLY "" USING a" ON "Sché ma.""x"""."${HOSTILE_TABLE.replaceAll('"', '""')}" ("ünï.code", lower("select"));
`;
