/** P9: more tables, longer backlogs. A change should cost what it costs with few of them. */
import type { BenchContext, Workload } from './context.js';
import { sized } from './context.js';
import { type Figure, median } from './figures.js';
import { Ours, STREAM } from './ours.js';
import { SCHEMA } from './rows.js';
import { beside, freshTables, holdWrites, untilVisible } from './sides.js';

const ROWS_EACH = 100;
/** With its second hundred of rows a table gets more pages than one, and a map of its free space. */
const TIMES_BEFORE = 3;

export const scale: Workload = {
  ids: ['P9'],
  name: 'many tables, long backlogs',
  refused: ({ secondary }) => (secondary.isCockroach ? 'the stream is held by a row lock, as PostgreSQL has it' : null),
  async run(context) {
    const [few, some, many] = context.size < 0.1 ? [2, 5, 10] : [12, 100, 1000];
    const [short, middle, long] = [sized(context, 10_000), sized(context, 100_000), sized(context, 1_000_000)];
    const cells: { tables: number; changes: number; micros: number[] }[] = [
      { tables: few, changes: middle, micros: [] },
      { tables: some, changes: middle, micros: [] },
      { tables: many, changes: middle, micros: [] },
      { tables: few, changes: short, micros: [] },
      { tables: few, changes: long, micros: [] },
    ];
    for (let turn = 0; turn < context.turns; turn += 1)
      for (const cell of cells) cell.micros.push(await one(context, cell.tables, cell.changes, middle));
    const [base] = cells;
    return cells.slice(1).map(
      ({ changes, micros, tables }): Figure => ({
        ...{
          id: 'P9',
          workload: `${tables} tables, ${changes.toLocaleString('en-US')} changes`,
          unit: 'us a change',
          ours: micros,
        },
        opponent: `itself: ${few} tables, ${middle.toLocaleString('en-US')} changes`,
        theirs: base?.micros ?? null,
        ...{
          aim: { of: 'ratio', most: 1.3 },
          notes: [`medians ${median(micros).toFixed(1)} and ${median(base?.micros ?? []).toFixed(1)}`],
        },
      }),
    );
  },
};

/**
 * Microseconds a change, from a backlog that waits behind the checkpoint's row. The stream has run before, and every table
 * has grown before: its first rows have the server make its files, which is the file system's time.
 * @param before so many changes at least
 */
async function one(context: BenchContext, tables: number, changes: number, before: number): Promise<number> {
  const names = Array.from({ length: tables }, (_, i) => `t${i}`);
  const ddl = names.map(
    (name) =>
      `CREATE TABLE ${SCHEMA}.${name} (id bigint PRIMARY KEY, note text NOT NULL, amount numeric(12, 2), updated_at timestamptz)`,
  );
  await freshTables(context, [...ddl, `CREATE TABLE ${SCHEMA}.last (id bigint PRIMARY KEY)`]);
  return beside(
    () => Ours.start(context, { tables: [...names, 'last'] }),
    async () => {
      await write(context, tables, 1, Math.max(before, TIMES_BEFORE * tables * ROWS_EACH));
      await mark(context, 1);
      await untilVisible(context, 'last', 1);
      const release = await holdWrites(
        context.secondary,
        `SELECT 1 FROM db_redundancy.checkpoint WHERE stream = '${STREAM}' FOR UPDATE`,
      );
      await write(context, tables, 1_000_000, changes);
      await mark(context, 2);
      await release();
      return ((await untilVisible(context, 'last', 2)) * 1e6) / changes;
    },
  );
}

/** Transactions of 100 rows, each in one table; one table after the other. */
async function write({ primary }: BenchContext, tables: number, from: number, changes: number): Promise<void> {
  await primary.run(`DO $$ BEGIN FOR n IN 0 .. ${Math.ceil(changes / ROWS_EACH) - 1} LOOP
    EXECUTE format('INSERT INTO ${SCHEMA}.%I SELECT i, ''note '' || i, i * 1.5, now() FROM generate_series($1, $2) i', 't' || n % ${tables})
      USING ${from} + n * ${ROWS_EACH}, ${from} + (n + 1) * ${ROWS_EACH} - 1; COMMIT; END LOOP; END $$`);
}

async function mark({ primary }: BenchContext, id: number): Promise<void> {
  await primary.run(`INSERT INTO ${SCHEMA}.last VALUES (${id})`);
}
