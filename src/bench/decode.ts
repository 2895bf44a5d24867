/** P8: decoding alone, of what a real slot has sent, in turns with the parser of pg-logical-replication. */
import { PgoutputPlugin } from 'pg-logical-replication';
import { PgOutputDecoder } from '../source/pgoutput.js';
import type { BenchContext, Workload } from './context.js';
import { sized } from './context.js';
import { insertSql, tableSql } from './rows.js';
import { freshTables } from './sides.js';

const SLOT = 'db_redundancy_bench_decode';

export const decode: Workload = {
  ids: ['P8'],
  name: 'decode only',
  refused: () => null,
  async run(context) {
    const rows = sized(context, 100_000);
    const messages = await capture(context, rows);
    const rate = (pass: () => void) => {
      const began = performance.now();
      pass();
      return rows / ((performance.now() - began) / 1000);
    };
    const decodeOurs = () => {
      const decoder = new PgOutputDecoder();
      let inserts = 0;
      for (const message of messages) if (decoder.decode(message).kind === 'insert') inserts += 1;
      if (inserts !== rows) throw new RangeError(`Our decoder found ${inserts} of ${rows} rows.`);
    };
    const decodeTheirs = () => {
      const plugin = new PgoutputPlugin({ protoVersion: 1, publicationNames: [SLOT] });
      let inserts = 0;
      for (const message of messages) if (plugin.parse(message).tag === 'insert') inserts += 1;
      if (inserts !== rows) throw new RangeError(`The library's parser found ${inserts} of ${rows} rows.`);
    };
    // Once each for the compiler of the engine, which is not what is measured.
    decodeOurs();
    decodeTheirs();
    const ours: number[] = [];
    const theirs: number[] = [];
    for (let turn = 0; turn < context.turns; turn += 1) {
      ours.push(rate(decodeOurs));
      theirs.push(rate(decodeTheirs));
    }
    return [
      {
        ...{ id: 'P8', workload: `decode only, ${rows.toLocaleString('en-US')} rows of 12 columns`, unit: 'rows/s' },
        ...{ ours, opponent: 'parser of pg-logical-replication', theirs, aim: { of: 'ratio', least: 4 }, notes: [] },
      },
    ];
  },
};

/** The messages of one transaction, as the server's plugin makes them. */
async function capture(context: BenchContext, rows: number): Promise<Buffer[]> {
  const { primary } = context;
  await freshTables(context, [tableSql('decoded')], 'primary');
  await primary.run(`CREATE PUBLICATION ${SLOT} FOR TABLE db_redundancy_bench.decoded`);
  try {
    await primary.client.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [SLOT]);
    try {
      await primary.run(insertSql('decoded', 1, rows));
      const { rows: found } = await primary.client.query<{ data: Buffer }>(
        `SELECT data FROM pg_logical_slot_get_binary_changes($1, NULL, NULL, 'proto_version', '1', 'publication_names', $2)`,
        [SLOT, SLOT],
      );
      return found.map(({ data }) => data);
    } finally {
      await primary.client.query('SELECT pg_drop_replication_slot($1)', [SLOT]);
    }
  } finally {
    await primary.run(`DROP PUBLICATION ${SLOT}`);
  }
}
