/**
 * Which of the primary's columns a version of a relation speaks of. The WAL gives names only, and a name may have gone
 * to another column since: two columns swapped theirs, or one was dropped and another added in its place. The columns
 * come in the order of their numbers, and that tells them apart. Pure.
 */
import type { KnownColumn } from './tables-store.js';

/** Names as the relation has them, to present names; null: the column is gone. A name that is nobody's is not there. */
export function matchColumns(
  names: readonly string[],
  known: readonly KnownColumn[],
): ReadonlyMap<string, string | null> {
  const now = new Map(known.map((column) => [column.name, column.name]));
  const ours = names.filter((name) => now.has(name));
  const byNumber = [...known].sort((a, b) => a.attnum - b.attnum);
  if (ours.length === known.length && ours.every((name, i) => name === byNumber[i]?.name)) return now;
  return new Map(longestChain(names.flatMap((name) => candidates(name, known))));
}

interface Candidate {
  readonly name: string;
  readonly attnum: number;
  readonly present: string | null;
}

/** In falling order of their numbers, so that of two for one name none can follow the other in a chain. */
function candidates(name: string, known: readonly KnownColumn[]): Candidate[] {
  return known
    .flatMap((column): Candidate[] => [
      ...(column.name === name || column.formerly.includes(name)
        ? [{ name, attnum: column.attnum, present: column.name }]
        : []),
      ...(column.name === name ? (column.replaces ?? []).map((attnum) => ({ name, attnum, present: null })) : []),
    ])
    .sort((a, b) => b.attnum - a.attnum);
}

/** The most names that can be given columns with rising numbers; a name left over keeps its nearest present column. */
function longestChain(list: readonly Candidate[]): [string, string | null][] {
  const length: number[] = [];
  const before: number[] = [];
  list.forEach((candidate, i) => {
    length[i] = 1;
    before[i] = -1;
    for (let j = 0; j < i; j++) {
      if ((list[j] as Candidate).attnum < candidate.attnum && (length[j] as number) + 1 > (length[i] as number)) {
        length[i] = (length[j] as number) + 1;
        before[i] = j;
      }
    }
  });
  let at = length.indexOf(Math.max(...length, 0));
  const chosen = new Map<string, string | null>();
  for (; at >= 0; at = before[at] as number) {
    const { name, present } = list[at] as Candidate;
    chosen.set(name, present);
  }
  const taken = new Set(chosen.values());
  for (const { name, present } of list) if (!chosen.has(name) && !taken.has(present)) chosen.set(name, present);
  return [...chosen];
}
