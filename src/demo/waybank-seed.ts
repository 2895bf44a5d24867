/** Rows for the twelve tables: believable, many enough that copying them can be watched, and the same at every run. */
import type { ClientBase } from 'pg';

/** `hex('x', n, digits)`: a made-up address or hash that depends on the row's number alone. */
const hex = (salt: string, number: string, digits: number) =>
  `'0x' || left(encode(sha256(('${salt}' || ${number})::bytea), 'hex'), ${digits})`;
const network = (number: string) => `(enum_range(NULL::network))[1 + ${number} % 4]`;
const user = (number: string) => `md5('user' || ${number})::uuid`;

/** Users from 1 to this number have a billing profile, and positions. */
const CUSTOMERS = 4000;

/** By table, in an order that satisfies the foreign keys. */
const SEED: Readonly<Record<string, string>> = {
  users: `
    INSERT INTO users (id, wallet_address, email, display_name, roles, preferences, last_login_at, created_at)
    SELECT ${user('i')}, ${hex('wallet', 'i', 40)}, CASE WHEN i % 5 > 0 THEN 'user' || i || '@example.com' END,
           'Investor ' || i, CASE WHEN i % 50 = 0 THEN '{investor,admin}' ELSE '{investor}' END::text[],
           jsonb_build_object('language', (ARRAY['en', 'es', 'de', 'ja'])[1 + i % 4], 'darkMode', i % 2 = 0, 'alerts', i % 3),
           now() - i * interval '7 minutes', now() - i * interval '1 hour'
    FROM generate_series(1, 5000) i`,
  custom_pools: `
    INSERT INTO custom_pools (network, address, name, token0, token1, fee_tier, tvl_usd, volume_24h_usd, apr, tags)
    SELECT ${network('i')}, ${hex('pool', 'i', 40)}, t0 || '/' || t1, t0, t1, (ARRAY[100, 500, 3000, 10000])[1 + i % 4],
           i * 81237.45, i * 9123.10, (i % 90) + 0.1234, ARRAY[CASE WHEN i % 3 = 0 THEN 'stable' ELSE 'volatile' END, 'v' || 3 + i % 2]
    FROM generate_series(1, 300) i,
         LATERAL (SELECT (ARRAY['ETH', 'WBTC', 'MATIC', 'ARB', 'UNI'])[1 + i % 5] t0, (ARRAY['USDC', 'DAI', 'USDT'])[1 + i % 3] t1)`,
  billing_profiles: `
    INSERT INTO billing_profiles (user_id, legal_name, country, tax_id, balance_usd, address)
    SELECT ${user('i')}, 'Company ' || i || ' Ltd', (ARRAY['ES', 'DE', 'FR', 'US', 'JP'])[1 + i % 5],
           CASE WHEN i % 3 = 0 THEN 'VAT' || 100000 + i END, 500 + (i * 7919 % 2000000) / 100.0,
           jsonb_build_object('street', 'Calle Mayor ' || i % 200, 'city', (ARRAY['Madrid', 'Köln', '東京', 'Paris'])[1 + i % 4])
    FROM generate_series(1, ${CUSTOMERS}) i`,
  real_positions: `
    INSERT INTO real_positions (id, user_id, pool_id, deposited_usd, fees_earned, tick_lower, tick_upper, in_range, details, opened_at)
    SELECT md5('position' || i)::uuid, ${user(`(1 + i % ${CUSTOMERS})`)}, 1 + i % 300, 1000 + (i * 104729 % 5000000) / 100.0,
           (i % 1000) * 0.000000000123456789, -1000 - i % 5000, 1000 + i % 5000, i % 7 > 0,
           jsonb_build_object('strategy', (ARRAY['balanced', 'narrow', 'wide'])[1 + i % 3], 'autoCompound', i % 2 = 0),
           now() - i * interval '13 minutes'
    FROM generate_series(1, 8000) i`,
  position_history: `
    INSERT INTO position_history (position_id, user_id, event, amount_usd, tx_hash, details, created_at)
    SELECT md5('position' || 1 + i % 8000)::uuid, ${user(`(1 + (1 + i % 8000) % ${CUSTOMERS})`)},
           (enum_range(NULL::position_event))[1 + i % 5], (i * 31337 % 900000) / 100.0, ${hex('tx', 'i', 64)},
           CASE WHEN i % 4 = 0 THEN jsonb_build_object('gasUsd', (i % 700) / 100.0, 'block', 19000000 + i) END,
           now() - i * interval '3 minutes'
    FROM generate_series(1, 40000) i`,
  invoices: `
    INSERT INTO invoices (number, billing_profile_id, status, amount, lines, issued_on, paid_at)
    SELECT 'WB-2026-' || lpad(i::text, 6, '0'), 1 + i % ${CUSTOMERS}, (enum_range(NULL::invoice_status))[1 + i % 4],
           (i * 6151 % 400000) / 100.0, jsonb_build_array(jsonb_build_object('text', 'Management fee', 'quantity', 1 + i % 3)),
           current_date - i % 700, CASE WHEN i % 4 = 2 THEN now() - i * interval '1 hour' END
    FROM generate_series(1, 10000) i`,
  referrals: `
    INSERT INTO referrals (user_id, code, rewards_usd)
    SELECT ${user('i')}, 'WAY' || upper(left(md5('code' || i), 8)), (i * 17 % 50000) / 100.0 FROM generate_series(1, 1000) i`,
  referred_users: `
    INSERT INTO referred_users (referral_id, user_id, rewarded, joined_at)
    SELECT 1 + i % 1000, ${user('(1000 + i)')}, i % 2 = 0, now() - i * interval '2 hours' FROM generate_series(1, 3000) i`,
  leads: `
    INSERT INTO leads (email, full_name, source, stage, score, interests, notes, contacted_at)
    SELECT 'lead' || i || '@example.org', 'Lead Ñº ' || i, (ARRAY['landing page', 'referral', 'event', 'podcast'])[1 + i % 4],
           (enum_range(NULL::lead_stage))[1 + i % 5], i % 100, (ARRAY['defi', 'staking', 'nft'])[1:1 + i % 3],
           CASE WHEN i % 3 = 0 THEN repeat('Asked for a demo. ', 1 + i % 9) END, CASE WHEN i % 5 > 0 THEN now() - i * interval '5 hours' END
    FROM generate_series(1, 2500) i`,
  managed_nfts: `
    INSERT INTO managed_nfts (network, contract_address, token_id, owner_id, position_state, verified)
    SELECT ${network('i')}, '0xc36442b4a4522e871399cd717abdd847ab11fe88', 700000000000000000000000 + i, ${user(`(1 + i % ${CUSTOMERS})`)},
           jsonb_build_object('liquidity', (i * 1000003::bigint)::text, 'tokens', jsonb_build_array('ETH', 'USDC')), i % 4 > 0
    FROM generate_series(1, 4000) i`,
  app_config: `
    INSERT INTO app_config (key, value, description)
    SELECT 'feature.' || i, jsonb_build_object('enabled', i % 2 = 0, 'rollout', i * 2), 'Feature switch ' || i FROM generate_series(1, 40) i`,
  timeframe_adjustments: `
    INSERT INTO timeframe_adjustments (timeframe_days, network, adjustment, updated_by)
    SELECT days, each, 1 - days / 1000.0, ${user('50')} FROM unnest(ARRAY[7, 30, 90, 180, 365]) days, unnest(enum_range(NULL::network)) each`,
};

/** Fills the empty tables, and gives the planner its statistics. @returns rows by table. */
export async function seedWaybank(client: ClientBase): Promise<ReadonlyMap<string, number>> {
  const rows = new Map<string, number>();
  for (const [table, sql] of Object.entries(SEED)) rows.set(table, (await client.query(sql)).rowCount ?? 0);
  await client.query('ANALYZE');
  return rows;
}
