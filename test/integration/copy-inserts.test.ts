/** New rows go into a PostgreSQL secondary by COPY, in the same pipelined target transaction as everything else. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { copyText } from '../../src/apply/copy-query.js';
import { TargetSession } from '../../src/apply/target-session.js';
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

  it.each([
    ['at once', false],
    ['made ready ahead', true],
  ])('G1 G3 with doubled keys, in binary, end as the last one of each: %s', async (_, ahead) => {
    rig.applier = rig.newApplier(await checkpointOf(rig));
    // There is a connection by then.
    await rig.applier.moveCheckpoint(rig.goal());
    await rig.sql('DELETE FROM keyed');
    rig.applied.length = 0;
    const inserts = Array.from({ length: MANY }, (_, i) => rig.binaryInsert('keyed', String(i), `v${i}`, null));
    const part = rig.part([...inserts, rig.binaryInsert('keyed', '7', 'second', null)]);
    const ready = ahead ? rig.applier.ready([part]) : null;
    const copied = ready?.statements.filter(({ copy }) => copy !== undefined) ?? [];
    if (ahead && dialect === 'postgres') expect(copied.map(({ rows }) => rows)).toEqual([MANY + 1]);
    await rig.applier.applyBatch([part], rig.goal(), ready);
    const found = await rig.rows('keyed');
    expect(found).toHaveLength(MANY);
    expect(found).toEqual(expect.arrayContaining(['7,second,NULL', '8,v8,NULL']));
    // Who follows along (a window of a load) hears of every key.
    const keys = rig.applied.flatMap((step) =>
      step.kind === 'rows' ? [...(step.keyed[0]?.changes.keys() ?? [])] : [],
    );
    expect(keys.sort()).toEqual(inserts.map((insert) => insert.text(0) as string).sort());
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
