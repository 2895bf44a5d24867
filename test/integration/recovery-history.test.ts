/**
 * G7, G8 as a property: a random history on both sides of a failover, a controller that dies at random points, and an
 * oracle that knows what each side acknowledged.
 */
import { expect, it } from 'vitest';
import type { CrashPoint } from '../../src/recovery/options.js';
import { describeDialects, type SecondaryDialect } from '../harness/secondary-dialects.js';
import { withClient } from '../harness/sql.js';
import { Random, testSeed } from './support/random.js';
import { failedOver, fenceOf, recoveryOf } from './support/recovery.js';

/** `stamp` names the write that made the version: the oracle's. */
const DDL = `
CREATE TABLE stamped (id int PRIMARY KEY, stamp text NOT NULL, u int UNIQUE, updated_at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE bare (tenant text, no numeric(8, 2), stamp text NOT NULL, PRIMARY KEY (tenant, no));
CREATE TABLE parent (id int PRIMARY KEY, stamp text NOT NULL);
CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent, boss int REFERENCES child, stamp text NOT NULL);
CREATE TABLE bag (a int, stamp text);
ALTER TABLE bag REPLICA IDENTITY FULL;
INSERT INTO stamped SELECT i, 'base', i, '2026-01-01' FROM generate_series(1, 30) i;
INSERT INTO bare SELECT 't' || i % 3, i, 'base' FROM generate_series(1, 30) i;
INSERT INTO parent SELECT i, 'base' FROM generate_series(1, 10) i;
INSERT INTO child SELECT i, 1 + i % 10, NULL, 'base' FROM generate_series(1, 30) i;
INSERT INTO bag SELECT i % 4, 'base' FROM generate_series(1, 20) i;`;
const TABLES = ['stamped', 'bare', 'parent', 'child', 'bag'];

const SELDOM: readonly CrashPoint[] = ['tail-settled', 'tail-moved', 'slot-aligned', 'checkpoint-moved'];

interface Write {
  readonly table: string;
  readonly sql: string;
}

/** One transaction, whose last statement returns the keys it touched. `s` is its stamp. */
function write(random: Random, s: string): Write {
  const id = () => random.int(1, 45);
  const key = () => `tenant = 't${random.int(0, 2)}' AND no = ${id()}`;
  const taken = id();
  return random.weighted<Write>([
    [
      4,
      at(
        'stamped',
        `UPDATE stamped SET stamp = '${s}', updated_at = clock_timestamp() WHERE id = ${id()} RETURNING id, stamp`,
      ),
    ],
    [
      3,
      at(
        'stamped',
        `INSERT INTO stamped (id, stamp, updated_at) VALUES (${id()}, '${s}', clock_timestamp()) ON CONFLICT (id) DO UPDATE SET stamp = excluded.stamp, updated_at = excluded.updated_at RETURNING id, stamp`,
      ),
    ],
    [2, at('stamped', `DELETE FROM stamped WHERE id = ${id()} RETURNING id, NULL AS stamp`)],
    // A unique value goes from one row to another, in the end twice around.
    [
      2,
      at(
        'stamped',
        `UPDATE stamped SET u = CASE WHEN u = ${taken} THEN NULL ELSE ${taken} END, stamp = '${s}', updated_at = clock_timestamp() WHERE id = ${id()} AND (u = ${taken} OR NOT EXISTS (SELECT 1 FROM stamped AS o WHERE o.u = ${taken})) RETURNING id, stamp`,
      ),
    ],
    [3, at('bare', `UPDATE bare SET stamp = '${s}' WHERE ${key()} RETURNING tenant, no, stamp`)],
    [
      2,
      at(
        'bare',
        `INSERT INTO bare VALUES ('t${random.int(0, 2)}', ${id()}, '${s}') ON CONFLICT (tenant, no) DO UPDATE SET stamp = excluded.stamp RETURNING tenant, no, stamp`,
      ),
    ],
    [2, at('bare', `DELETE FROM bare WHERE ${key()} RETURNING tenant, no, NULL AS stamp`)],
    [
      2,
      at(
        'parent',
        `INSERT INTO parent VALUES (${id()}, '${s}') ON CONFLICT (id) DO UPDATE SET stamp = excluded.stamp RETURNING id, stamp`,
      ),
    ],
    [
      3,
      at(
        'child',
        `INSERT INTO child SELECT ${id()}, p.id, (SELECT min(id) FROM child), '${s}' FROM parent p ORDER BY p.id DESC LIMIT 1 ON CONFLICT (id) DO UPDATE SET stamp = excluded.stamp, parent = excluded.parent RETURNING id, stamp`,
      ),
    ],
    [2, at('bag', `INSERT INTO bag VALUES (${random.int(0, 4)}, '${s}')`)],
    [1, at('bag', `DELETE FROM bag WHERE a = ${random.int(0, 4)} AND stamp <> 'base'`)],
  ]);
}

function at(table: string, sql: string): Write {
  return { table, sql };
}

function keyOf(table: string, row: Record<string, unknown>): string {
  return `${table} ${JSON.stringify(table === 'bare' ? [String(row.tenant), String(Number(row.no))] : [String(row.id)])}`;
}

interface Acknowledged {
  count: number;
  /** Stamp of the last acknowledged write of each key; null: it deleted the row. */
  readonly last: Map<string, string | null>;
}

async function writes(url: string, random: Random, side: string, count: number): Promise<Acknowledged> {
  const acknowledged: Acknowledged = { count: 0, last: new Map() };
  await withClient(url, async (client) => {
    for (let i = 0; i < count; i++) {
      const { sql, table } = write(random, `${side}${i}`);
      try {
        const { rows } = await client.query<Record<string, unknown>>(sql);
        acknowledged.count += 1;
        for (const row of table === 'bag' ? [] : rows)
          acknowledged.last.set(keyOf(table, row), row.stamp === null ? null : String(row.stamp));
      } catch (error) {
        if (!/^(23|40001)/.test(String((error as { code?: string }).code))) throw error;
      }
    }
  });
  return acknowledged;
}

async function run(dialect: SecondaryDialect, seed: number, size: { tail: number; writes: number; crashes: number }) {
  const random = new Random(seed);
  await using it_ = await failedOver(DDL, { dialect });
  const { pair, primary } = it_;
  await writes(pair.primary.url, random, 'p', size.tail);
  const tail = new Map<string, Record<string, unknown>[]>();
  for (const table of TABLES) tail.set(table, await primary(`SELECT * FROM ${table}`));
  // Whichever comes n-th, or the first of a kind that comes seldom.
  const crash = () =>
    random.chance(0.7)
      ? { point: null, after: random.int(1, 8) }
      : { point: SELDOM[random.int(0, SELDOM.length - 1)] as CrashPoint, after: 1 };
  let recovery = recoveryOf(pair, crash());
  let crashes = 0;
  const reborn = async (): Promise<void> => {
    await recovery.bury();
    crashes += 1;
    recovery = recoveryOf(pair, crashes < size.crashes ? crash() : null);
    recovery.follow();
  };
  await recovery.notePosition(3);
  recovery.follow();
  let writing = true;
  const writer = writes(pair.secondary.url, new Random(seed + 1), 's', size.writes).finally(() => {
    writing = false;
  });
  const fence = await fenceOf(pair);
  recovery.recoverPrimary(fence);
  while (writing) {
    if (await Promise.race([writer.then(() => false), recovery.crashed.then(() => true)])) {
      await reborn();
      recovery.recoverPrimary(fence);
    }
  }
  const acknowledged = await writer;
  const signal = AbortSignal.timeout(50_000);
  // What is final on the secondary, and nobody writes there any more.
  type Step = 'drain' | 'hand back' | 'done';
  for (let step: Step = 'drain'; step !== 'done'; ) {
    const now = recovery;
    const done: Promise<Step> =
      step === 'drain'
        ? now.drain(signal).then(({ mended }) => {
            // The comparison is a second line of defence: the copying itself must have been right.
            expect(mended, `seed ${seed}`).toBe(0);
            return 'hand back';
          })
        : now.handBack().then(() => 'done');
    done.catch(() => undefined);
    const next: Step | null = await Promise.race([done, now.crashed.then(() => null)]);
    if (next !== null) step = next;
    else {
      await reborn();
      recovery.recoverPrimary(fence);
      step = 'drain';
    }
  }
  for (const table of TABLES) {
    const { primary: ours, secondary: theirs } = await it_.equal(table);
    expect(ours, `${table}, seed ${seed}`).toEqual(theirs);
  }
  await checkAccount(it_, tail, acknowledged, seed);
  await recovery.finish();
  await primary(`INSERT INTO stamped (id, stamp) VALUES (1000, 'after')`);
  const stream = await it_.streamAgain();
  for (const table of TABLES) {
    const { primary: ours, secondary: theirs } = await it_.equal(table);
    expect(ours, `${table} after streaming again, seed ${seed}`).toEqual(theirs);
  }
  expect(stream.streamer.snapshot().deadLetters).toBe(0);
  await stream.stop();
  return { crashes, acknowledged: acknowledged.count, conflicts: (await it_.conflicts()).length };
}

/** Of each key: what the application wrote last stands, or lost to the tail and is kept; what it never wrote is the tail's. */
async function checkAccount(
  it_: Awaited<ReturnType<typeof failedOver>>,
  tail: ReadonlyMap<string, Record<string, unknown>[]>,
  acknowledged: Acknowledged,
  seed: number,
): Promise<void> {
  const stampIn = (version: string | null | undefined) =>
    version == null ? null : (JSON.parse(version) as { stamp: string }).stamp;
  const conflicts = new Map((await it_.conflicts()).map((row) => [`${row.table_name} ${row.row_key}`, row]));
  for (const table of TABLES.filter((name) => name !== 'bag')) {
    const stamps = async (rows: readonly Record<string, unknown>[]) =>
      new Map(rows.map((row) => [keyOf(table, row), String(row.stamp)]));
    const there = await stamps(await it_.primary(`SELECT * FROM ${table}`));
    const fenced = await stamps(tail.get(table) ?? []);
    const keys = new Set([...there.keys(), ...fenced.keys(), ...acknowledged.last.keys()]);
    for (const key of keys) {
      if (!key.startsWith(`${table} `)) continue;
      const final = there.get(key) ?? null;
      const lost = conflicts.get(key);
      const last = acknowledged.last.get(key);
      const about = `${key} is ${final}, the application's last is ${last}, the tail's ${fenced.get(key)}, ${JSON.stringify(lost)}, seed ${seed}`;
      if (last !== undefined && final !== last) {
        expect(lost?.winner, about).toBe('primary');
        expect(stampIn(lost?.secondary_version), about).toBe(last);
      }
      if (last === undefined && final !== (fenced.get(key) ?? null)) {
        // The secondary had no room for it: another row had taken its unique value.
        expect(lost?.winner, about).toBe('secondary');
        expect(stampIn(lost?.primary_version), about).toBe(fenced.get(key) ?? null);
      }
    }
  }
}

describeDialects('recovery under crashes', (dialect) => {
  it('G7 G8 loses nothing whenever the controller dies: random history with an oracle', async () => {
    const seed = testSeed();
    const long = process.env.DB_TEST_LONG !== undefined;
    const rounds = long ? 25 : 1;
    for (let round = 0; round < rounds; round++) {
      const size = long ? { tail: 600, writes: 1500, crashes: 12 } : { tail: 120, writes: 250, crashes: 4 };
      const { acknowledged, conflicts, crashes } = await run(dialect, seed + 31 * round, size);
      expect(acknowledged).toBeGreaterThan(size.writes / 2);
      if (long) console.log(`round ${round}: ${acknowledged} writes, ${conflicts} conflicts, ${crashes} crashes`);
    }
  }, 2_400_000);
});
