/** A random history on the primary: concurrent sessions, few rows, so that they meet at every one of them. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { Random } from './random.js';

/** `big` lies out of line, so that most updates leave it out of the WAL. */
export const HISTORY_DDL = `
CREATE TABLE plain (id int PRIMARY KEY, v text, n int, big text);
ALTER TABLE plain ALTER big SET STORAGE EXTERNAL;
CREATE TABLE composite (tenant text, no bigint, amount numeric(12, 2), code int UNIQUE, PRIMARY KEY (tenant, no));
CREATE TABLE bag (a int, b text);
ALTER TABLE bag REPLICA IDENTITY FULL;
CREATE TABLE uniq (id int PRIMARY KEY, u int UNIQUE DEFERRABLE INITIALLY IMMEDIATE, note text);
`;

export const HISTORY_FIRST_ROWS = `
INSERT INTO plain SELECT i, 'v' || i, i, repeat(md5(i::text), 100) FROM generate_series(1, 40) i;
INSERT INTO composite SELECT 't' || i % 4, i, i, i FROM generate_series(1, 30) i;
INSERT INTO bag SELECT i % 5, CASE WHEN i % 2 = 0 THEN 'b' || i % 3 END FROM generate_series(1, 30) i;
INSERT INTO uniq SELECT i, i, 'n' FROM generate_series(1, 20) i;
`;

/** What a reader selects of each table, every value as text. */
export const HISTORY_TABLES: Readonly<Record<string, readonly string[]>> = {
  plain: ['id::text', 'v', 'n::text', 'md5(big)'],
  composite: ['tenant', 'no::text', 'amount::text', 'code::text'],
  bag: ['a::text', 'b'],
  uniq: ['id::text', 'u::text', 'note'],
};

type Write = (random: Random) => string;

const plainId = (random: Random) => random.int(1, 60);
const word = (random: Random) => `'w${random.int(0, 99_999)}'`;
const tenant = (random: Random) => `'t${random.int(0, 3)}'`;

const WRITES: readonly (readonly [number, Write])[] = [
  [4, (r) => `UPDATE plain SET n = n + 1 WHERE id = ${plainId(r)}`],
  [2, (r) => `UPDATE plain SET v = ${word(r)} WHERE id BETWEEN ${r.int(1, 50)} AND ${r.int(20, 60)}`],
  [2, (r) => `UPDATE plain SET big = repeat(md5(${word(r)}), 100) WHERE id = ${plainId(r)}`],
  [
    4,
    (r) =>
      `INSERT INTO plain VALUES (${plainId(r)}, ${word(r)}, 0, repeat(md5(${word(r)}), 100)) ON CONFLICT (id) DO UPDATE SET v = excluded.v`,
  ],
  [2, (r) => `INSERT INTO plain VALUES (${plainId(r)}, NULL, NULL, NULL) ON CONFLICT DO NOTHING`],
  [3, (r) => `DELETE FROM plain WHERE id = ${plainId(r)}`],
  [3, (r) => moveTo(plainId(r), plainId(r))],
  // A chain of keys: the place of one row is taken by another within a transaction.
  [1, (r) => `${moveTo(plainId(r), 100 + r.int(1, 5))}; ${moveTo(plainId(r), plainId(r))}`],
  [
    3,
    (r) =>
      `INSERT INTO composite VALUES (${tenant(r)}, ${r.int(1, 40)}, ${r.int(-999, 999)}.${r.int(0, 99)}) ON CONFLICT (tenant, no) DO UPDATE SET amount = composite.amount + excluded.amount`,
  ],
  [2, (r) => takeCode(r.int(1, 40), `tenant = ${tenant(r)} AND no = ${r.int(1, 40)}`)],
  [2, (r) => swapCodes(r.int(1, 40), r.int(1, 40))],
  [2, (r) => `DELETE FROM composite WHERE tenant = ${tenant(r)} AND no < ${r.int(1, 8)}`],
  [1, (r) => `UPDATE composite SET no = no + 100 WHERE tenant = ${tenant(r)} AND no = ${r.int(1, 40)}`],
  [
    4,
    (r) =>
      `INSERT INTO bag SELECT ${r.int(1, 5)}, ${r.chance(0.5) ? 'NULL' : word(r)} FROM generate_series(1, ${r.int(1, 3)})`,
  ],
  [2, (r) => `UPDATE bag SET b = ${r.chance(0.3) ? 'NULL' : word(r)} WHERE a = ${r.int(1, 5)}`],
  [2, (r) => `DELETE FROM bag WHERE ctid = (SELECT ctid FROM bag WHERE a = ${r.int(1, 5)} LIMIT 1)`],
  [1, (r) => `DELETE FROM bag WHERE a = ${r.int(1, 5)}`],
  [
    2,
    (r) =>
      `INSERT INTO uniq VALUES (${r.int(1, 30)}, ${r.int(1, 40)}, ${word(r)}) ON CONFLICT (id) DO UPDATE SET note = excluded.note`,
  ],
  [2, (r) => swapUnique(r.int(1, 20), r.int(1, 20))],
  [1, () => 'UPDATE uniq SET u = 41 - u'],
  [1, (r) => `DELETE FROM uniq WHERE id = ${r.int(1, 30)}`],
  [0.3, () => 'TRUNCATE bag'],
  [0.2, () => 'TRUNCATE composite, uniq'],
];

function moveTo(from: number, to: number): string {
  return `UPDATE plain SET id = ${to} WHERE id = ${from} AND NOT EXISTS (SELECT FROM plain WHERE id = ${to})`;
}

/** A unique value goes from one row to another. */
function takeCode(code: number, where: string): string {
  return `UPDATE composite SET code = NULL WHERE code = ${code}; UPDATE composite SET code = ${code} WHERE ${where}`;
}

/** Each of two rows has the other's value in the end: folded, neither can be written first. */
function swapCodes(a: number, b: number): string {
  const give = (from: number, to: number) => `UPDATE composite SET code = ${to} WHERE code = ${from}`;
  return [give(a, -1), give(b, a), give(-1, b)].join('; ');
}

function swapUnique(a: number, b: number): string {
  return `UPDATE uniq SET u = (SELECT u FROM uniq AS other WHERE other.id = CASE uniq.id WHEN ${a} THEN ${b} ELSE ${a} END)
    WHERE id IN (${a}, ${b}) AND EXISTS (SELECT FROM uniq WHERE id = ${a}) AND EXISTS (SELECT FROM uniq WHERE id = ${b})`;
}

/** The statements of one transaction, BEGIN and COMMIT (or, seldom, ROLLBACK) included. */
function randomTransaction(random: Random): string {
  const statements = ['BEGIN'];
  const writes = random.chance(0.1) ? random.int(10, 25) : random.int(1, 5);
  for (let i = 0; i < writes; i++) {
    const write = random.weighted(WRITES)(random);
    if (random.chance(0.85)) statements.push(write);
    else if (random.chance(0.5)) statements.push('SAVEPOINT s', write, 'ROLLBACK TO s');
    else {
      const undone = random.weighted(WRITES)(random);
      statements.push('SAVEPOINT s', write, 'SAVEPOINT t', undone, 'ROLLBACK TO t', 'RELEASE s');
    }
    // Locks are held for a moment, so that transactions overlap.
    if (random.chance(0.05)) statements.push('SELECT pg_sleep(0.003)');
  }
  statements.push(random.chance(0.04) ? 'ROLLBACK' : 'COMMIT');
  return statements.join('; ');
}

export interface HistoryOptions {
  readonly seed: number;
  readonly sessions: number;
  readonly transactions: number;
  readonly maxPauseMs: number;
  readonly enough: () => boolean;
  /** The secondary is too far behind: writing waits, since reads of old states alone prove less. */
  readonly behind: () => boolean;
}

/**
 * Runs `transactions` in each of `sessions`, and goes on until there are `enough`. What collides (deadlock, unique value, serialization) is rolled back, and
 * another follows. @returns the number that committed.
 */
export async function runHistory(url: string, options: HistoryOptions): Promise<number> {
  const runs = Array.from({ length: options.sessions }, async (_, index) => {
    const random = new Random(options.seed + 7919 * index);
    const client = new Client({ connectionString: url });
    client.on('error', () => undefined);
    await client.connect();
    try {
      await client.query("SET deadlock_timeout = '10ms'");
      let committed = 0;
      for (let i = 0; i < options.transactions || !options.enough(); i++) {
        while (options.behind()) await sleep(5);
        const text = randomTransaction(random);
        try {
          await client.query(text);
          committed += text.endsWith('COMMIT') ? 1 : 0;
        } catch (error) {
          if (!/^(23505|40P01|40001)$/.test(String((error as { code?: string }).code))) throw error;
          await client.query('ROLLBACK');
        }
        if (random.chance(0.2)) await sleep(random.int(0, options.maxPauseMs));
      }
      return committed;
    } finally {
      await client.end();
    }
  });
  return (await Promise.all(runs)).reduce((sum, committed) => sum + committed, 0);
}
