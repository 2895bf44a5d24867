/**
 * G7: which rows of a fenced CockroachDB changed since a position, found by reading. An oracle notes what a random storm
 * wrote (inserts, updates, deletes, changes of keys, rows that go and come back, TRUNCATE): every key of it that is there
 * now, or was there at the position, must be found, and nothing that was not written.
 */
import { Client } from 'pg';
import { expect, it, onTestFailed } from 'vitest';
import { TargetSession } from '../../src/apply/target-session.js';
import { readRecent } from '../../src/recovery/recent-changes.js';
import { type RecoveryTable, readTables } from '../../src/recovery/tables.js';
import { createDatabasePair } from '../harness/cluster.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query } from '../harness/sql.js';
import { connectionOf } from './catchup-support.js';
import { Random, testSeed } from './support/random.js';
import { failedOver, recoveryOf } from './support/recovery.js';

/** With secondary indexes, whose entries are older than a row of which they do not hold the changed column. */
const DDL = `
CREATE TABLE one (id int PRIMARY KEY, a int, b text, c int UNIQUE);
CREATE INDEX ON one (a); CREATE INDEX ON one (b) WHERE a > 3;
CREATE TABLE two (tenant text, no numeric(8, 2), b text, PRIMARY KEY (tenant, no));
CREATE TABLE bag (a int, b text);
ALTER TABLE bag REPLICA IDENTITY FULL;
INSERT INTO one SELECT i, i % 7, 'base', i FROM generate_series(1, 60) i;
INSERT INTO two SELECT 't' || i % 3, i, 'base' FROM generate_series(1, 60) i;
INSERT INTO bag SELECT i % 4, 'base' FROM generate_series(1, 20) i`;

/** Two rows' keys at most, as the statement returns them. */
function statement(random: Random): { readonly table: string; readonly sql: string } {
  const id = () => random.int(1, 90);
  const two = () => `tenant = 't${random.int(0, 2)}' AND no = ${id()}`;
  return random.weighted([
    [5, { table: 'one', sql: `UPDATE one SET b = 'w${id()}' WHERE id = ${id()} RETURNING id` }],
    [3, { table: 'one', sql: `UPSERT INTO one (id, a, b) VALUES (${id()}, 5, 'n') RETURNING id` }],
    [4, { table: 'one', sql: `DELETE FROM one WHERE id = ${id()} RETURNING id` }],
    [4, { table: 'two', sql: `UPDATE two SET b = 'w' WHERE ${two()} RETURNING tenant, no` }],
    [3, { table: 'two', sql: `UPSERT INTO two VALUES ('t${random.int(0, 2)}', ${id()}, 'n') RETURNING tenant, no` }],
    [4, { table: 'two', sql: `DELETE FROM two WHERE ${two()} RETURNING tenant, no` }],
    [1, { table: 'bag', sql: `INSERT INTO bag VALUES (${id()}, 'n')` }],
    [1, { table: 'bag', sql: `DELETE FROM bag WHERE a = ${random.int(0, 3)} LIMIT 1` }],
  ]);
}

const nameOf = (table: string, row: Record<string, unknown>) =>
  `${table} ${JSON.stringify(table === 'one' ? [String(row.id)] : [String(row.tenant), String(Number(row.no))])}`;

async function keysNow(client: Client): Promise<Set<string>> {
  const one = await client.query<Record<string, unknown>>('SELECT id FROM one');
  const two = await client.query<Record<string, unknown>>('SELECT tenant, no FROM two');
  return new Set([...one.rows.map((row) => nameOf('one', row)), ...two.rows.map((row) => nameOf('two', row))]);
}

async function storm(client: Client, random: Random): Promise<{ written: Set<string>; bag: number }> {
  const written = new Set<string>();
  let bag = 0;
  const count = random.weighted<number>([
    [1, 0],
    [4, random.int(1, 12)],
    [2, 80],
  ]);
  for (let i = 0; i < count; i++) {
    if (random.chance(0.02)) {
      const table = random.chance(0.5) ? 'one' : 'two';
      for (const key of await keysNow(client)) if (key.startsWith(table)) written.add(key);
      await client.query(`TRUNCATE ${table}`);
      continue;
    }
    const from = random.int(1, 90);
    const { sql, table } = random.chance(0.1)
      ? { table: 'one', sql: `UPDATE one SET id = ${random.int(91, 140)} WHERE id = ${from} RETURNING id` }
      : statement(random);
    const moved = sql.startsWith('UPDATE one SET id');
    const { rows, rowCount } = await client.query<Record<string, unknown>>(sql).catch((error: { code?: string }) => {
      if (error.code !== '23505') throw error;
      return { rows: [], rowCount: 0 };
    });
    if (table === 'bag') bag += rowCount ?? 0;
    else for (const row of rows) written.add(nameOf(table, row));
    if (moved && rows.length > 0) written.add(nameOf('one', { id: from }));
  }
  return { written, bag };
}

describeDialects('the last changes of a fenced secondary', (dialect) => {
  const cockroach = it.runIf(dialect === 'cockroach');

  cockroach(
    'G7 are all found by reading, whatever a random storm did',
    async () => {
      const seed = testSeed();
      onTestFailed(() => console.error(`DB_TEST_SEED=${seed}`));
      const random = new Random(seed);
      await using pair = await createDatabasePair('recent', dialect);
      await query(pair.primary.url, DDL);
      for (const sql of DDL.split(';').filter((each) => !/REPLICA IDENTITY/.test(each)))
        await query(pair.secondary.url, sql);
      const secondary = connectionOf(pair.secondary.url);
      const sessions = [
        await TargetSession.connect(connectionOf(pair.primary.url)),
        await TargetSession.connect(secondary),
      ];
      const client = new Client(secondary);
      await client.connect();
      const listed = ['one', 'two', 'bag'].map((name) => ({ schema: 'public', name, complete: true }));
      const { ordered } = await readTables(sessions[0] as TargetSession, sessions[1] as TargetSession, listed);
      const options = { secondary, stream: 'recent' };
      const rounds = process.env.DB_TEST_LONG === undefined ? 12 : 300;
      let keys = 0;
      let deleted = 0;
      try {
        for (let round = 0; round < rounds; round++) {
          const about = `seed ${seed}, round ${round}`;
          const { rows } = await client.query<{ at: string }>('SELECT cluster_logical_timestamp()::text AS at');
          const before = await keysNow(client);
          const { bag, written } = await storm(client, random);
          const after = await keysNow(client);
          const found = new Set<string>();
          const signal = new AbortController().signal;
          await readRecent(options, {
            tables: ordered as RecoveryTable[],
            since: rows[0]?.at ?? '',
            signal,
            found: async (touched) => {
              for (const { rowKey, table } of touched) found.add(`${table.name} ${rowKey}`);
            },
          });
          const wanted = [...written].filter((key) => before.has(key) || after.has(key));
          expect(
            wanted.filter((key) => !found.has(key)),
            `${about}: not found`,
          ).toEqual([]);
          const named = [...found].filter((key) => !key.startsWith('bag'));
          expect(
            named.filter((key) => !written.has(key)),
            `${about}: found, and not written`,
          ).toEqual([]);
          expect(found.has('bag *changed'), about).toBe(bag > 0);
          keys += wanted.length;
          deleted += wanted.filter((key) => !after.has(key)).length;
        }
        expect(deleted).toBeGreaterThan(rounds);
        console.log(`[${dialect}] ${rounds} storms: ${keys} changed keys found, ${deleted} of them deleted`);
        // A column that is not known here: the changefeed has to tell of it.
        const { rows } = await client.query<{ at: string }>('SELECT cluster_logical_timestamp()::text AS at');
        await client.query('ALTER TABLE one ADD COLUMN d int DEFAULT 3');
        const late = readRecent(options, {
          tables: ordered as RecoveryTable[],
          since: rows[0]?.at ?? '',
          signal: new AbortController().signal,
          found: async () => undefined,
        });
        await expect(late).rejects.toThrow('Columns have changed');
      } finally {
        await client.end();
        for (const session of sessions) await session.close();
      }
    },
    600_000,
  );

  cockroach(
    'G7 are brought home by a drain, deletes and rows of a table without a key among them',
    async () => {
      await using it_ = await failedOver(DDL, { dialect });
      await using recovery = recoveryOf(it_.pair);
      await recovery.notePosition(2);
      recovery.follow();
      await it_.secondary(`UPDATE one SET b = 'first' WHERE id = 1`);
      const [row] = await it_.primary('SELECT pg_current_wal_insert_lsn()::text AS lsn');
      const [high, low] = String(row?.lsn).split('/') as [string, string];
      recovery.recoverPrimary((BigInt(`0x${high}`) << 32n) + BigInt(`0x${low}`));
      await expect.poll(() => recovery.progress().lagMs, { timeout: 30_000 }).not.toBeNull();
      await it_.secondary(
        `UPDATE one SET b = 'last' WHERE id = 2; DELETE FROM one WHERE id = 3; DELETE FROM two WHERE no = 5`,
      );
      await it_.secondary(`INSERT INTO bag VALUES (77, 'last')`);
      const drained = await recovery.drain(new AbortController().signal);
      for (const table of ['one', 'two', 'bag']) {
        const { primary, secondary } = await it_.equal(table);
        expect(primary, table).toEqual(secondary);
      }
      console.log(`[${dialect}] drained in ${drained.tookMs} ms`);
    },
    120_000,
  );
});
