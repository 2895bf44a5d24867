/**
 * What the demo's application does: transactions over all twelve tables. Those that move money do so between a customer's
 * balance and a position, or between two balances, and never change the total.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import type { ClientBase } from 'pg';

export interface Position {
  readonly id: string;
  readonly userId: string;
  readonly profileId: number;
}

/** What the transactions pick from. `positions` follows what they open and close. */
export interface Stock {
  readonly profileIds: readonly number[];
  readonly customers: readonly { readonly userId: string; readonly profileId: number }[];
  readonly positions: Position[];
}

/** Inside an open transaction. @returns false when it must be rolled back, for want of money. */
export type Transaction = (client: ClientBase, stock: Stock) => Promise<boolean>;

const below = (n: number) => Math.floor(Math.random() * n);
const pick = <T>(from: readonly T[]): T => from[below(from.length)] as T;
const dollars = (most: number) => (0.01 + Math.random() * most).toFixed(2);
const hash = () => `0x${randomBytes(32).toString('hex')}`;

async function changes(client: ClientBase, text: string, values: unknown[]): Promise<boolean> {
  return ((await client.query(text, values)).rowCount ?? 0) > 0;
}

/** The balance is always locked before the position, so that transactions do not wait for one another in a circle. */
const credit = (client: ClientBase, profileId: number, amount: string) =>
  changes(client, 'UPDATE billing_profiles SET balance_usd = balance_usd + $2 WHERE id = $1', [profileId, amount]);
const debit = (client: ClientBase, profileId: number, amount: string) =>
  changes(client, 'UPDATE billing_profiles SET balance_usd = balance_usd - $2 WHERE id = $1 AND balance_usd >= $2', [
    profileId,
    amount,
  ]);

async function record(client: ClientBase, position: Position, event: string, amount: string): Promise<void> {
  await client.query(
    'INSERT INTO position_history (position_id, user_id, event, amount_usd, tx_hash, details) VALUES ($1, $2, $3, $4, $5, $6)',
    [position.id, position.userId, event, amount, hash(), { gasUsd: Number(dollars(3)) }],
  );
}

const deposit: Transaction = async (client, stock) => {
  const position = pick(stock.positions);
  const amount = dollars(400);
  if (!(await debit(client, position.profileId, amount))) return false;
  const text = 'UPDATE real_positions SET deposited_usd = deposited_usd + $2 WHERE id = $1';
  if (!(await changes(client, text, [position.id, amount]))) return false;
  await record(client, position, 'deposit', amount);
  return true;
};

const withdraw: Transaction = async (client, stock) => {
  const position = pick(stock.positions);
  const amount = dollars(400);
  await credit(client, position.profileId, amount);
  const text = 'UPDATE real_positions SET deposited_usd = deposited_usd - $2 WHERE id = $1 AND deposited_usd >= $2';
  if (!(await changes(client, text, [position.id, amount]))) return false;
  await record(client, position, 'withdrawal', amount);
  return true;
};

const transfer: Transaction = async (client, stock) => {
  const [from, to] = [pick(stock.profileIds), pick(stock.profileIds)];
  if (from === to) return false;
  const amount = dollars(100);
  const take = () => debit(client, from, amount);
  const give = () => credit(client, to, amount);
  for (const step of from < to ? [take, give] : [give, take]) if (!(await step())) return false;
  return true;
};

const open: Transaction = async (client, stock) => {
  const { userId, profileId } = pick(stock.customers);
  const position = { id: randomUUID(), userId, profileId };
  const amount = dollars(300);
  if (!(await debit(client, profileId, amount))) return false;
  await client.query(
    `INSERT INTO real_positions (id, user_id, pool_id, deposited_usd, tick_lower, tick_upper, details)
     VALUES ($1, $2, $3, $4, $5, $6, $7)`,
    [position.id, userId, 1 + below(300), amount, -below(5000) - 1, below(5000) + 1, { strategy: 'narrow' }],
  );
  await client.query(
    `INSERT INTO managed_nfts (network, contract_address, token_id, owner_id, position_state)
     VALUES ('unichain', $1, $2::numeric, $3, $4)`,
    [
      hash().slice(0, 42),
      BigInt(`0x${randomBytes(24).toString('hex')}`).toString(),
      userId,
      { positionId: position.id },
    ],
  );
  await record(client, position, 'opened', amount);
  stock.positions.push(position);
  return true;
};

const close: Transaction = async (client, stock) => {
  // Out of the stock at once: nobody else picks a position that is being closed.
  const [position] = stock.positions.splice(below(stock.positions.length), 1);
  if (!position) return false;
  await client.query('SELECT 1 FROM billing_profiles WHERE id = $1 FOR UPDATE', [position.profileId]);
  const { rows } = await client.query<{ deposited_usd: string }>(
    'DELETE FROM real_positions WHERE id = $1 RETURNING deposited_usd',
    [position.id],
  );
  const amount = rows[0]?.deposited_usd;
  if (amount === undefined) return false;
  await credit(client, position.profileId, amount);
  await client.query(`DELETE FROM managed_nfts WHERE position_state ->> 'positionId' = $1 AND owner_id = $2`, [
    position.id,
    position.userId,
  ]);
  await record(client, position, 'closed', amount);
  return true;
};

const invoice: Transaction = async (client, stock) => {
  const profileId = pick(stock.profileIds);
  const { rows } = await client.query<{ id: number }>(
    `INSERT INTO invoices (number, billing_profile_id, amount, lines) VALUES ($1, $2, $3, $4) RETURNING id`,
    [`WB-${randomBytes(6).toString('hex')}`, profileId, dollars(900), JSON.stringify([{ text: 'Fee', quantity: 1 }])],
  );
  if (below(2) > 0)
    await client.query(`UPDATE invoices SET status = 'paid', paid_at = now() WHERE id = $1`, [rows[0]?.id]);
  return true;
};

/** A new user, with all that hangs on one; every other one leaves again, and what hangs on him goes by cascade. */
const signUp: Transaction = async (client) => {
  const id = randomUUID();
  await client.query('INSERT INTO users (id, wallet_address, display_name, roles) VALUES ($1, $2, $3, $4)', [
    id,
    hash().slice(0, 42),
    'New investor Σ',
    ['investor', 'beta'],
  ]);
  await client.query(`INSERT INTO billing_profiles (user_id, legal_name, country) VALUES ($1, 'New', 'PT')`, [id]);
  await client.query('INSERT INTO referrals (user_id, code) VALUES ($1, $2)', [id, randomBytes(8).toString('hex')]);
  await client.query('INSERT INTO referred_users (referral_id, user_id) VALUES ($1, $2)', [1 + below(1000), id]);
  await client.query('UPDATE referrals SET rewards_usd = rewards_usd + 5 WHERE id = $1', [1 + below(1000)]);
  if (below(2) > 0) await client.query('DELETE FROM users WHERE id = $1', [id]);
  return true;
};

/** A part of the transaction is taken back, the rest is committed. */
const lead: Transaction = async (client) => {
  await client.query('INSERT INTO leads (email, full_name, source, interests) VALUES ($1, $2, $3, $4)', [
    `new${below(1e9)}@example.org`,
    'Zoë "Z" Lead',
    'landing page',
    ['defi'],
  ]);
  await client.query('SAVEPOINT before_update');
  await client.query(`UPDATE leads SET stage = 'lost', notes = 'never to be seen' WHERE id = $1`, [1 + below(2500)]);
  await client.query('ROLLBACK TO SAVEPOINT before_update');
  await client.query('DELETE FROM leads WHERE id = $1', [1 + below(2500)]);
  return true;
};

const figures: Transaction = async (client) => {
  const first = 1 + below(280);
  await client.query(
    'UPDATE custom_pools SET tvl_usd = tvl_usd * 1.0001, apr = $2::numeric / 100 WHERE id BETWEEN $1 AND $1 + 19',
    [first, below(9000)],
  );
  await client.query('UPDATE timeframe_adjustments SET adjustment = $1 WHERE timeframe_days = 30', [Math.random()]);
  await client.query(`UPDATE app_config SET value = value || $2 WHERE key = $1`, [
    `feature.${1 + below(40)}`,
    { rollout: below(100) },
  ]);
  return true;
};

/** By weight. */
const MIX: readonly (readonly [weight: number, transaction: Transaction])[] = [
  [30, deposit],
  [24, withdraw],
  [22, transfer],
  [6, open],
  [5, close],
  [5, invoice],
  [3, signUp],
  [3, lead],
  [2, figures],
];
const WEIGHTS = MIX.reduce((sum, [weight]) => sum + weight, 0);

export function anyTransaction(): Transaction {
  let at = Math.random() * WEIGHTS;
  for (const [weight, transaction] of MIX) {
    at -= weight;
    if (at < 0) return transaction;
  }
  return transfer;
}
