/**
 * Columns that are generated on the primary and plain on the secondary. The WAL does not carry them, so they are worked
 * out before a batch is applied: by the primary, from the values of the change itself. A generated column depends on
 * nothing but its own row, so what a reader of the secondary sees is still the state of one commit (G1).
 */
import type { Relation, Row, RowChange } from '../core/change.js';
import type { Binding, Derivation } from './binding.js';
import type { TransactionPart } from './entries.js';
import type { BindingLookup } from './fold.js';

/** One row to be worked out. `complete` is false when the WAL lacks a value that an expression may use. */
export interface DerivationInput {
  /** Values of `derivation.inputs`, in that order. */
  readonly values: Row;
  readonly complete: boolean;
  /** The row's key on the primary, in key order; null for a table without one. */
  readonly key: readonly string[] | null;
}

/** Works out `derivation.outputs` for each row, in order. Undefined for a row that is gone on the primary by now. */
export type Deriver = (binding: Binding, rows: readonly DerivationInput[]) => Promise<readonly Row[]>;

interface Slot {
  readonly input: DerivationInput;
  readonly place: (values: Row) => void;
}

/** The same parts with the derived values behind each row's own; the very same where there is nothing to derive. */
export async function deriveColumns(
  parts: readonly TransactionPart[],
  lookup: BindingLookup,
  derive: Deriver,
): Promise<readonly TransactionPart[]> {
  const bindings = new Map<Relation, Binding | null>();
  const derived = (relation: Relation): Binding | null => {
    let found = bindings.get(relation);
    if (found === undefined) {
      const binding = lookup(relation);
      found = binding?.derivation ? binding : null;
      bindings.set(relation, found);
    }
    return found;
  };
  const slots = new Map<Binding, Slot[]>();
  const out = parts.map((part) => {
    const touches = part.changes.some((change) => change.kind !== 'truncate' && derived(change.relation));
    if (!touches) return part;
    const changes = part.changes.map((change) => {
      const binding = change.kind === 'truncate' ? null : derived(change.relation);
      return binding ? widened(change as RowChange, binding, slots) : change;
    });
    return { ...part, changes };
  });
  for (const [binding, wanted] of slots) {
    const values = await derive(
      binding,
      wanted.map((slot) => slot.input),
    );
    wanted.forEach((slot, i) => {
      slot.place(values[i] ?? []);
    });
  }
  return out;
}

/** A copy of the change whose rows have room for the derived values, and an order for each of them. */
function widened(change: RowChange, binding: Binding, slots: Map<Binding, Slot[]>): RowChange {
  const derivation = binding.derivation as Derivation;
  const list = slots.get(binding) ?? [];
  slots.set(binding, list);
  const { relation } = change;
  const { columns } = relation;
  const order = (row: Row, old: Row | null, oldIs: 'key' | 'full' | null): Row => {
    const wide: (string | null | undefined)[] = [...row];
    const known = (index: number) => {
      if (row[index] !== undefined) return row[index];
      return oldIs === 'full' || (oldIs === 'key' && columns[index]?.isKey) ? old?.[index] : undefined;
    };
    const values = derivation.inputs.map(({ convert, index }) => {
      const value = known(index);
      return convert && typeof value === 'string' ? convert(value) : value;
    });
    const key = binding.key?.map((at) => known(binding.sourceIndexes[at] as number) as string) ?? null;
    list.push({
      input: { values, complete: !values.includes(undefined), key },
      place: (found) => {
        derivation.outputs.forEach((_, i) => {
          wide[columns.length + i] = found[i];
        });
      },
    });
    return wide;
  };
  // An old row is compared with the secondary's only where there is no key.
  const bag = binding.key === null;
  if (change.kind === 'insert') return { kind: 'insert', relation, row: order(change.row, null, null) };
  if (change.kind === 'delete') return bag ? { ...change, old: order(change.old, null, null) } : change;
  const old = bag && change.old ? order(change.old, null, null) : change.old;
  const { oldIs } = change;
  return { kind: 'update', relation, old, oldIs, row: order(change.row, change.old, oldIs) };
}
