/** New rows go into a PostgreSQL secondary by COPY, in the same pipelined target transaction as everything else. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { copyText } from '../../src/apply/copy-query.js';
import { TargetSession } from '../../src/apply/target-session.js';
import type { Relation } from '../../src/core/change.js';
import { fold } from '../../src/pipeline/fold.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { Rig } from './retry-support.js';

/** Enough for a COPY where the dialect has one. */
const MANY = 200;

describeDialects('many new rows', (dialect) => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await Rig.create(dialect);
  });
  afterAll(async () => {
    await rig?.[Symbol.asyncDispose]();
  });

  const rows = (from: number, text = (i: number) => `v${i}`) =>
    Array.from({ length: MANY }, (_, i) => rig.insert('keyed', String(from + i), text(from + i), null));

  it('G3 go in once, with updates and deletes of the same rows folded in', async () => {
    await rig.apply(
      ...rows(1),
      rig.update('keyed', ['1', 'changed', 'b']),
      rig.delete('keyed', '2', null, null),
      rig.insert('keyed', '2', 'again', null),
      rig.delete('keyed', '3', null, null),
    );
    const found = await rig.rows('keyed');
    expect(found).toHaveLength(MANY - 1);
    expect(found).toEqual(expect.arrayContaining(['1,changed,b', '2,again,NULL', '200,v200,NULL']));
  });

  it('G3 replace what is there already, and what follows in the batch is applied all the same', async () => {
    await rig.sql(`INSERT INTO keyed VALUES (1050, 'stale', 'stale')`);
    await rig.apply(...rows(1001), rig.insert('bag', '1', 'one'), rig.insert('bag', '1', 'one'));
    expect(await rig.rows('keyed')).toEqual(expect.arrayContaining(['1050,v1050,NULL', '1001,v1001,NULL']));
    expect(await rig.rows('bag')).toEqual(['1,one', '1,one']);
    // And again while the table is remembered.
    await rig.apply(...rows(2001));
    expect(await rig.rows('keyed')).toContain('2200,v2200,NULL');
  });

  it('G5 of a chunk go in the same way, and replace what the stream has brought meanwhile', async () => {
    await rig.sql(`INSERT INTO keyed VALUES (3050, 'streamed', 'streamed')`);
    const lookup = (relation: Relation) => rig.registry.lookup(relation);
    await rig.applier.applySteps(fold(rows(3001), lookup), [
      { text: `INSERT INTO bag VALUES (8, 'done')`, values: [] },
    ]);
    const found = await rig.rows('keyed');
    expect(found.filter((row) => /^3[0-9]{3},/.test(row))).toHaveLength(MANY);
    expect(found).toEqual(expect.arrayContaining(['3050,v3050,NULL', '3001,v3001,NULL', '3200,v3200,NULL']));
    // What goes with the chunk took effect once.
    expect((await rig.rows('bag')).filter((row) => row === '8,done')).toHaveLength(1);
  });

  it('G9 a value that the secondary refuses halts the stream as ever, and nothing of the batch is there', async () => {
    const inserts = Array.from({ length: MANY }, (_, i) => rig.insert('uniq', String(i), String(i % 150)));
    await expect(rig.apply(...inserts)).rejects.toThrow(/refused/);
    expect(await rig.rows('uniq')).toEqual([]);
    rig.applier = rig.newApplier(await checkpointOf(rig));
    rig.lsn = (await checkpointOf(rig)).lsn;
    await rig.apply(rig.insert('uniq', '1', '1'));
    expect(await rig.rows('uniq')).toEqual(['1,1']);
  });
});

describe('COPY in a pipeline', () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await Rig.create('postgres');
  });
  afterAll(async () => {
    await rig?.[Symbol.asyncDispose]();
  });

  it('keeps every text, as PostgreSQL itself reads it', async () => {
    const session = await TargetSession.connect({ connectionString: rig.url });
    try {
      await session.exec('CREATE TEMP TABLE texts (i int, v text)');
      const text = fc.oneof(
        fc.string({ unit: 'binary' }).map((each) => each.replaceAll('\0', '')),
        fc.stringMatching(/^[\\ntrbN\t\r\n.]*$/),
      );
      await fc.assert(
        fc.asyncProperty(fc.array(fc.option(text), { minLength: 1, maxLength: 30 }), async (values) => {
          const given = values.map((value) => (value === null ? null : Buffer.from(value).toString()));
          const copy = given.map((value, i) => `${i}\t${copyText(value)}\n`).join('');
          await session.pipeline([
            { text: 'DELETE FROM texts', values: [] },
            { text: 'COPY texts FROM STDIN', values: [], copy },
          ]);
          const { rows: found } = await session.run({ text: 'SELECT v FROM texts ORDER BY i', values: [] });
          expect(found.map((row) => row.v)).toEqual(given);
        }),
        { numRuns: 100 },
      );
    } finally {
      await session.close();
    }
  });

  it('leaves the connection in order when it cannot begin', async () => {
    const session = await TargetSession.connect({ connectionString: rig.url });
    try {
      const statement = (text: string) => ({ text, values: [] });
      const copy = `${'x'.repeat(1_000_000)}\n`;
      await expect(
        session.pipeline([
          statement('BEGIN'),
          statement(`INSERT INTO bag VALUES (7, 'seven')`),
          { text: 'COPY nowhere FROM STDIN', values: [], copy },
          statement('COMMIT'),
        ]),
      ).rejects.toMatchObject({ index: 2, code: '42P01' });
      const { rows: found } = await session.run(statement('SELECT count(*)::text AS n FROM bag WHERE a = 7'));
      expect(found).toEqual([{ n: '0' }]);
    } finally {
      await session.close();
    }
  });
});

async function checkpointOf(rig: Rig) {
  const found = await rig.checkpoint();
  if (!found) throw new Error('The checkpoint is missing');
  return found;
}
