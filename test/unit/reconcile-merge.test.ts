/** The difference of two sorted lists, as multisets. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type NumberedRow, symmetricDifference } from '../../src/reconcile/merge.js';

const text = ({ v, w }: NumberedRow) => `${v}:${w}`;

const sorted = (rows: readonly NumberedRow[]) => [...rows].sort((a, b) => Number(a.v - b.v) || Number(a.w - b.w));

/** The surplus of each value on either side. */
function surplus(ours: readonly NumberedRow[], theirs: readonly NumberedRow[]): string[] {
  const copies = new Map<string, number>();
  for (const row of ours) copies.set(text(row), (copies.get(text(row)) ?? 0) + 1);
  for (const row of theirs) copies.set(text(row), (copies.get(text(row)) ?? 0) - 1);
  return [...copies].flatMap(([row, n]) =>
    new Array<string>(Math.abs(n)).fill(`${n > 0 ? 'primary' : 'secondary'} ${row}`),
  );
}

it('finds the surplus of either side, and nothing else', () => {
  const number = fc.bigInt({ min: -3n, max: 3n });
  const rows = fc.array(fc.record({ v: number, w: number, key: fc.constant([]) }), { maxLength: 20 });
  fc.assert(
    fc.property(rows, rows, (ours, theirs) => {
      const found: string[] = [];
      for (const { side, row } of symmetricDifference(sorted(ours), sorted(theirs))) found.push(`${side} ${text(row)}`);
      expect(found.sort()).toEqual(surplus(ours, theirs).sort());
    }),
  );
});
