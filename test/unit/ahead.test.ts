/** What is compiled ahead of its turn is used for the very batch it was made for, and only while its tables are as they were. */
import { describe, expect, it } from 'vitest';
import type { Change, Relation } from '../../src/core/change.js';
import { Ahead, type Compiled, type TableView } from '../../src/pipeline/ahead.js';
import type { TransactionPart } from '../../src/pipeline/entries.js';
import { bindingOf, relationOf } from './table-fixture.js';

const SHAPE = { columns: ['id', 'v'], key: ['id'] };
const relation = relationOf(SHAPE);

function part(id: number, of: Relation = relation): TransactionPart {
  const change: Change = { kind: 'insert', relation: of, row: [String(id), 'v'] };
  const at = { commitLsn: BigInt(id), endLsn: BigInt(id + 1), commitAtMs: 0, xid: id };
  const base = {
    kind: 'transaction',
    xid: id,
    commitLsn: at.commitLsn,
    commitAtMs: 0,
    first: true,
    echo: false,
  } as const;
  return { ...base, commit: at, changes: [change], bytes: 1 };
}

function rig() {
  const state: { view: TableView | null; fails: boolean; compiled: number } = {
    view: { binding: bindingOf(SHAPE), manner: 'streaming' },
    fails: false,
    compiled: 0,
  };
  const ahead = new Ahead({
    view: () => state.view,
    compile: (): Compiled => {
      if (state.fails) throw new Error('refused');
      state.compiled += 1;
      return { steps: [], statements: [] };
    },
  });
  return { ahead, state };
}

describe('a batch compiled ahead', () => {
  const parts = [part(1), part(2)];

  it('is used once, for these parts', () => {
    const { ahead, state } = rig();
    ahead.prepare(parts);
    expect(ahead.take([...parts])).not.toBeNull();
    expect(ahead.take(parts)).toBeNull();
    expect(state.compiled).toBe(1);
  });

  it('is not used for fewer, more, or others that look alike', () => {
    const { ahead } = rig();
    for (const others of [[parts[0] as TransactionPart], [...parts, part(3)], [part(1), part(2)]]) {
      ahead.prepare(parts);
      expect(ahead.take(others)).toBeNull();
    }
  });

  it('is not used when its table was bound anew, paused, told not to copy, or expired meanwhile', () => {
    for (const view of [
      { binding: bindingOf(SHAPE), manner: 'streaming' },
      { binding: null, manner: 'streaming' },
      { binding: 'same', manner: 'paused' },
      null,
    ] as const) {
      const { ahead, state } = rig();
      ahead.prepare(parts);
      const binding = view?.binding === 'same' ? (state.view?.binding ?? null) : (view?.binding ?? null);
      state.view = view && { ...view, binding };
      expect(ahead.take(parts)).toBeNull();
    }
  });

  it('is not made for a table that is not prepared, nor for columns that the primary works out', () => {
    const { ahead, state } = rig();
    const view = state.view as TableView;
    state.view = null;
    ahead.prepare(parts);
    const derivation = { inputs: [], outputs: [], types: new Map() };
    state.view = { ...view, binding: { ...bindingOf(SHAPE), derivation } };
    ahead.prepare(parts);
    expect(ahead.take(parts)).toBeNull();
    expect(state.compiled).toBe(0);
  });

  it('leaves an error to the batch itself', () => {
    const { ahead, state } = rig();
    state.fails = true;
    ahead.prepare(parts);
    expect(ahead.take(parts)).toBeNull();
  });
});
