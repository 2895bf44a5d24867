/** Parts of a large transaction: the next one is sent while the secondary works on the former, which may be refused. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Change } from '../../src/core/change.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { Rig } from './retry-support.js';

/** Enough for a COPY where the dialect has one. */
const MANY = 200;

describeDialects('parts of a large transaction', (dialect) => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await Rig.create(dialect);
  });
  afterAll(async () => {
    await rig?.[Symbol.asyncDispose]();
  });

  /** All parts are there at once, so that each is sent behind the one before it. */
  const applyParts = async (...parts: readonly (readonly Change[])[]) => {
    const whole = rig.part(parts.flat());
    const entries = parts.map((changes, i) => ({
      ...{ ...whole, changes, first: i === 0 },
      commit: i === parts.length - 1 ? whole.commit : null,
    }));
    let at = 0;
    await rig.applier.applyLarge(
      entries[0] ?? whole,
      async () => entries[++at] ?? whole,
      () => rig.goal(),
    );
  };
  const bag = (n: number) => Array.from({ length: 3 }, (_, i) => rig.insert('bag', String(n), `${n}-${i}`));
  const bagRows = (...ns: number[]) => ns.flatMap((n) => [0, 1, 2].map((i) => `${n},${n}-${i}`));

  it('G3 each takes effect once, also behind one whose rows must be taken out and put back', async () => {
    await rig.sql('INSERT INTO uniq VALUES (1, 1), (2, 2)');
    const reordered = rig.counters.batchesReordered;
    // Folded, the first update meets the unique value that the second gives away.
    const swap = [rig.update('uniq', ['1', '2']), rig.update('uniq', ['2', '1'])];
    await applyParts(bag(1), [...swap, ...bag(2)], bag(3), bag(4));
    expect(rig.counters.batchesReordered).toBe(reordered + 1);
    expect(await rig.rows('uniq')).toEqual(['1,2', '2,1']);
    expect(await rig.rows('bag')).toEqual(bagRows(1, 2, 3, 4));
    expect((await rig.checkpoint())?.lsn).toBe(rig.lsn);
  });

  it('G3 the same behind new rows that are there already', async () => {
    await rig.sql(`DELETE FROM bag; INSERT INTO keyed VALUES (50, 'stale', 'stale')`);
    const rows = Array.from({ length: MANY }, (_, i) => rig.insert('keyed', String(i), `v${i}`, null));
    await applyParts(bag(5), [...rows, ...bag(6)], [rig.update('keyed', ['50', 'changed', 'b']), ...bag(7)], bag(8));
    const found = await rig.rows('keyed');
    expect(found).toHaveLength(MANY);
    expect(found).toEqual(expect.arrayContaining(['50,changed,b', '199,v199,NULL']));
    expect(await rig.rows('bag')).toEqual(bagRows(5, 6, 7, 8));
  });

  it('G9 of one with a value that the secondary refuses nothing is there, nor of those around it', async () => {
    await rig.sql('DELETE FROM bag');
    const before = await rig.checkpoint();
    await expect(applyParts(bag(1), [rig.insert('uniq', '9', '1')], bag(2), bag(3))).rejects.toThrow(/refused/);
    expect(await rig.rows('bag')).toEqual([]);
    expect(await rig.checkpoint()).toEqual(before);
  });
});
