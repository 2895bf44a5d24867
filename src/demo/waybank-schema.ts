/**
 * The twelve tables of WayBank, a product that manages liquidity-pool positions, as the demo's primary has them: with
 * the types, keys, indexes and triggers that such an application really uses.
 */

const TYPES = `
CREATE TYPE network AS ENUM ('ethereum', 'polygon', 'arbitrum', 'unichain');
CREATE TYPE user_status AS ENUM ('active', 'suspended', 'closed');
CREATE TYPE position_status AS ENUM ('pending', 'active', 'closed');
CREATE TYPE position_event AS ENUM ('opened', 'deposit', 'withdrawal', 'fees_collected', 'rebalanced', 'closed');
CREATE TYPE invoice_status AS ENUM ('draft', 'open', 'paid', 'void');
CREATE TYPE lead_stage AS ENUM ('new', 'contacted', 'qualified', 'won', 'lost');
`;

const TABLES = `
CREATE TABLE users (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  wallet_address text NOT NULL UNIQUE CHECK (wallet_address ~ '^0x[0-9a-f]{40}$'),
  email text,
  display_name varchar(80),
  status user_status NOT NULL DEFAULT 'active',
  roles text[] NOT NULL DEFAULT '{investor}',
  preferences jsonb NOT NULL DEFAULT '{}',
  last_login_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX users_email_key ON users (lower(email)) WHERE email IS NOT NULL;

CREATE TABLE custom_pools (
  id serial PRIMARY KEY,
  network network NOT NULL,
  address text NOT NULL,
  name text NOT NULL,
  token0 varchar(12) NOT NULL,
  token1 varchar(12) NOT NULL,
  fee_tier integer NOT NULL CHECK (fee_tier IN (100, 500, 3000, 10000)),
  tvl_usd numeric(20, 2) NOT NULL DEFAULT 0,
  volume_24h_usd numeric(20, 2) NOT NULL DEFAULT 0,
  apr numeric(9, 4),
  tags text[] NOT NULL DEFAULT '{}',
  active boolean NOT NULL DEFAULT true,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (network, address)
);

CREATE TABLE billing_profiles (
  id serial PRIMARY KEY,
  user_id uuid NOT NULL UNIQUE REFERENCES users ON DELETE CASCADE,
  legal_name text NOT NULL,
  country char(2) NOT NULL,
  tax_id text,
  balance_usd numeric(18, 2) NOT NULL DEFAULT 0 CHECK (balance_usd >= 0),
  address jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE real_positions (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id uuid NOT NULL REFERENCES users,
  pool_id integer NOT NULL REFERENCES custom_pools,
  status position_status NOT NULL DEFAULT 'active',
  deposited_usd numeric(18, 2) NOT NULL CHECK (deposited_usd >= 0),
  fees_earned numeric(38, 18) NOT NULL DEFAULT 0,
  tick_lower integer NOT NULL,
  tick_upper integer NOT NULL CHECK (tick_upper > tick_lower),
  in_range boolean NOT NULL DEFAULT true,
  details jsonb NOT NULL DEFAULT '{}',
  opened_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX real_positions_user_idx ON real_positions (user_id, opened_at DESC);
CREATE INDEX real_positions_active_idx ON real_positions (pool_id) WHERE status = 'active';

CREATE TABLE position_history (
  id bigserial PRIMARY KEY,
  position_id uuid NOT NULL,
  user_id uuid NOT NULL REFERENCES users,
  event position_event NOT NULL,
  amount_usd numeric(18, 2) NOT NULL,
  tx_hash text,
  details jsonb,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX position_history_position_idx ON position_history (position_id, id);

CREATE TABLE invoices (
  id serial PRIMARY KEY,
  number varchar(20) NOT NULL UNIQUE,
  billing_profile_id integer NOT NULL REFERENCES billing_profiles ON DELETE CASCADE,
  status invoice_status NOT NULL DEFAULT 'open',
  amount numeric(14, 2) NOT NULL,
  currency char(3) NOT NULL DEFAULT 'USD',
  lines jsonb NOT NULL,
  issued_on date NOT NULL DEFAULT current_date,
  paid_at timestamptz,
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX invoices_unpaid_idx ON invoices (billing_profile_id) WHERE status = 'open';

CREATE TABLE referrals (
  id serial PRIMARY KEY,
  user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  code varchar(16) NOT NULL UNIQUE,
  reward_rate numeric(5, 4) NOT NULL DEFAULT 0.0500,
  rewards_usd numeric(18, 2) NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE referred_users (
  id serial PRIMARY KEY,
  referral_id integer NOT NULL REFERENCES referrals ON DELETE CASCADE,
  user_id uuid NOT NULL UNIQUE REFERENCES users ON DELETE CASCADE,
  rewarded boolean NOT NULL DEFAULT false,
  joined_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE leads (
  id serial PRIMARY KEY,
  email text NOT NULL,
  full_name text,
  source varchar(40) NOT NULL,
  stage lead_stage NOT NULL DEFAULT 'new',
  score smallint,
  interests text[] NOT NULL DEFAULT '{}',
  notes text,
  contacted_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE managed_nfts (
  id serial PRIMARY KEY,
  network network NOT NULL,
  contract_address text NOT NULL,
  token_id numeric(78, 0) NOT NULL,
  owner_id uuid NOT NULL REFERENCES users,
  position_state jsonb NOT NULL DEFAULT '{}',
  verified boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (network, contract_address, token_id)
);
CREATE INDEX managed_nfts_owner_idx ON managed_nfts (owner_id);

CREATE TABLE app_config (
  key text PRIMARY KEY,
  value jsonb NOT NULL,
  description text,
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE timeframe_adjustments (
  timeframe_days integer NOT NULL,
  network network NOT NULL,
  adjustment double precision NOT NULL,
  updated_by uuid REFERENCES users,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (timeframe_days, network)
);
`;

/** Every UPDATE moves `updated_at`, as the periodic comparison of a real set-up needs it. */
const TRIGGERS = `
CREATE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.updated_at := now();
  RETURN NEW;
END $$;
DO $$
DECLARE each regclass;
BEGIN
  FOR each IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' LOOP
    EXECUTE format('CREATE TRIGGER touch BEFORE UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION touch_updated_at()', each);
  END LOOP;
END $$;
`;

/** For an empty database. */
export const WAYBANK_DDL = TYPES + TABLES + TRIGGERS;

/**
 * Money in the whole system. It moves between balances and positions, always within one transaction, so that every
 * state that a transaction left behind has the same total. One statement is one snapshot.
 */
export const TOTAL_MONEY_SQL = `
SELECT b.total AS balances, (b.total + p.total)::text AS total
FROM (SELECT sum(balance_usd) AS total FROM billing_profiles) b, (SELECT sum(deposited_usd) AS total FROM real_positions) p`;
