/** The columns that an older version of a relation speaks of, by names that have gone to others since. */
import { describe, expect, it } from 'vitest';
import { matchColumns } from '../../src/streamer/column-match.js';
import type { KnownColumn } from '../../src/streamer/tables-store.js';

const column = (attnum: number, name: string, more: Partial<KnownColumn> = {}): KnownColumn => ({
  ...{ attnum, name, nullable: true, type: 'text', typeOid: 25, typmod: -1, formerly: [] },
  ...more,
});
const match = (names: string[], known: KnownColumn[]) => Object.fromEntries(matchColumns(names, known));

describe('columns of a relation version', () => {
  it('are those of the same names where nothing has changed', () => {
    expect(match(['id', 'x'], [column(1, 'id'), column(2, 'x')])).toEqual({ id: 'id', x: 'x' });
  });

  it('G9 are told apart by their order where two have swapped their names', () => {
    const known = [column(1, 'id'), column(2, 'y', { formerly: ['x'] }), column(3, 'x', { formerly: ['y'] })];
    expect(match(['id', 'x', 'y'], known)).toEqual({ id: 'id', x: 'y', y: 'x' });
    expect(match(['id', 'y', 'x'], known)).toEqual({ id: 'id', x: 'x', y: 'y' });
  });

  it('G9 are gone where the name is that of a later column', () => {
    const known = [column(1, 'id'), column(3, 'y'), column(4, 'x', { replaces: [2] })];
    expect(match(['id', 'x', 'y'], known)).toEqual({ id: 'id', x: null, y: 'y' });
    expect(match(['id', 'y', 'x'], known)).toEqual({ id: 'id', x: 'x', y: 'y' });
    expect(match(['id', 'y'], known)).toEqual({ id: 'id', y: 'y' });
  });

  it('are found by a former name, and left open where nobody has it', () => {
    const known = [column(1, 'id'), column(2, 'after', { formerly: ['before'] }), column(5, 'late')];
    expect(match(['id', 'before', 'dropped'], known)).toEqual({ id: 'id', before: 'after' });
  });

  it('keep a rename in a chain apart', () => {
    const known = [column(1, 'b', { formerly: ['a'] }), column(2, 'c', { formerly: ['b'] })];
    expect(match(['a', 'b'], known)).toEqual({ a: 'b', b: 'c' });
    expect(match(['b', 'c'], known)).toEqual({ b: 'b', c: 'c' });
  });
});
