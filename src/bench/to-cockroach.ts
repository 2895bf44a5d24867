/** P6: a backlog into CockroachDB, against the plainest fast way to write there: UPSERT of arrays, one after the other. */
import type { CockroachPlace } from './cockroach-place.js';
import type { BenchContext, Workload } from './context.js';
import { sized } from './context.js';
import type { BenchDatabase } from './database.js';
import type { Figure } from './figures.js';
import { Ours } from './ours.js';
import { SCHEMA, tableSql, transactionsSql } from './rows.js';
import { assertRows, beside, freshTables, holdWrites, SELDOM_MS, secondsSince, untilVisible } from './sides.js';

const ROWS_EACH = 1000;
/** No batch ends while somebody has the checkpoint. */
const HOLD_SQL = 'SELECT lsn FROM db_redundancy.checkpoint FOR UPDATE';
const COLUMNS = [
  'id',
  'wallet',
  'name',
  'status',
  'amount',
  'fee',
  'active',
  'tags',
  'doc',
  'note',
  'created_at',
  'updated_at',
];
const TYPES = [
  'int8',
  'uuid',
  'text',
  'text',
  'numeric',
  'float8',
  'bool',
  'text',
  'text',
  'text',
  'timestamptz',
  'timestamptz',
];
const CASTS: Readonly<Record<string, string>> = { tags: '::text[]', doc: '::jsonb' };

export const toCockroach: Workload = {
  ids: ['P6'],
  name: 'to CockroachDB',
  refused: ({ cockroach }) =>
    cockroach === null ? 'no CockroachDB was found: COCKROACH_BIN, a cockroach on PATH, or --secondary' : null,
  run: (context) => (context.cockroach as CockroachPlace).use((cockroach) => compared(context, cockroach)),
};

async function compared(context: BenchContext, cockroach: BenchDatabase): Promise<readonly Figure[]> {
  const rows = sized(context, 500_000);
  const ours: number[] = [];
  const raw: number[] = [];
  const there = { ...context, secondary: cockroach };
  for (let turn = 0; turn < context.turns; turn += 1) {
    await freshTables(there, [tableSql('rows')]);
    const start = () => Ours.start(context, { tables: ['rows'], secondary: cockroach });
    await beside(start, async () => {
      // Rows and arrays are there beforehand, for both: nothing but the replication is measured.
      const release = await holdWrites(cockroach, HOLD_SQL);
      await context.primary.run(transactionsSql('rows', rows, ROWS_EACH));
      await release();
      ours.push(rows / (await untilVisible(there, 'rows', rows, SELDOM_MS)));
      await assertRows(cockroach, 'rows', rows);
    });
    raw.push(await rawUpserts(context, cockroach, rows));
  }
  context.say(`${cockroach.version}.`);
  return [
    {
      ...{ id: 'P6', workload: `${rows.toLocaleString('en-US')} rows to CockroachDB, transactions of ${ROWS_EACH}` },
      ...{ unit: 'rows/s', ours, opponent: 'raw UPSERT of arrays, one connection', theirs: raw, notes: [] },
      aim: { of: 'ratio', least: 0.8 },
    },
  ];
}

/** The arrays are made beforehand, by the primary: nothing but the statements is measured. */
async function rawUpserts({ primary, signal }: BenchContext, cockroach: BenchDatabase, rows: number): Promise<number> {
  await cockroach.run(`DROP TABLE IF EXISTS ${SCHEMA}.rows`);
  await cockroach.run(tableSql('rows'));
  const arrays = COLUMNS.map((name, i) =>
    TYPES[i] === 'text' ? `array_agg(${name}::text ORDER BY id)::text` : `array_agg(${name} ORDER BY id)::text`,
  );
  const batches: string[][] = [];
  for (let from = 1; from <= rows; from += ROWS_EACH) {
    const { rows: found } = await primary.client.query<string[]>({
      text: `SELECT ${arrays.join(', ')} FROM ${SCHEMA}.rows WHERE id >= $1 AND id < $2`,
      values: [from, from + ROWS_EACH],
      rowMode: 'array',
    });
    batches.push(found[0] ?? []);
  }
  const list = COLUMNS.map((name) => `${name}${CASTS[name] ?? ''}`).join(', ');
  const text = `UPSERT INTO ${SCHEMA}.rows (${COLUMNS.join(', ')}) SELECT ${list} FROM unnest(${TYPES.map((type, i) => `$${i + 1}::${type}[]`).join(', ')}) AS u(${COLUMNS.join(', ')})`;
  const began = performance.now();
  for (const values of batches) {
    signal.throwIfAborted();
    await cockroach.client.query({ name: 'raw', text, values });
  }
  const rate = rows / secondsSince(began);
  await assertRows(cockroach, 'rows', rows);
  return rate;
}
