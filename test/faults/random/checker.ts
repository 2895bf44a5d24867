/**
 * Finds lost, doubled, invented, torn and reordered writes in a history. Pure: it sees what the application did, what
 * the databases hold, and what recovery kept, and nothing of how it came about.
 *
 * A list has one line of versions as long as no failover left changes behind. Where one did, recovery chose one of two
 * lines by last write wins and kept the other in the conflicts: every acknowledged append must be in what is there now,
 * or in a version that was kept, and what a transaction read must be the beginning of one of them.
 */
import type { Conflicts, DatabaseState, Transaction } from './history.js';

export interface Violation {
  /** The guarantee that does not hold. */
  readonly guarantee: 'G1' | 'G2' | 'G3' | 'G5' | 'G6' | 'G7' | 'G8' | 'G9' | 'G10';
  readonly what: string;
}

export interface CheckedHistory {
  readonly transactions: readonly Transaction[];
  readonly final: DatabaseState;
  readonly conflicts: Conflicts;
  /** They only move. */
  readonly tokens: readonly number[];
}

/** @returns at most `limit` violations, the first of each kind first; empty where the history is sound. */
export function checkHistory(history: CheckedHistory, limit = 20): Violation[] {
  const { conflicts, final, transactions } = history;
  const found: Violation[] = [];
  const byElement = new Map(transactions.map((each) => [each.element, each]));
  for (const [list, elements] of final.lists) {
    found.push(...checkOrder(list, elements, byElement), ...checkMembers(list, elements, byElement));
  }
  const deleted = new Set(
    transactions
      .filter(({ deletes, outcome }) => deletes !== null && outcome !== 'aborted')
      .map(({ deletes }) => deletes),
  );
  for (const each of transactions) {
    found.push(...checkReads(each, final, conflicts));
    found.push(...checkWhole(each, final, conflicts, deleted));
  }
  for (const [element, times] of final.journal) {
    if (times > 1) found.push({ guarantee: 'G3', what: `${element} is ${times} times in the journal` });
    if (!possible(byElement.get(element)))
      found.push({ guarantee: 'G3', what: `${element} is in the journal and was never committed` });
  }
  for (const [token, times] of final.tokens) {
    if (times > 1) found.push({ guarantee: 'G3', what: `token ${token} is in ${times} places` });
  }
  for (const token of history.tokens) {
    if (!final.tokens.has(token) && !conflicts.tokens.has(token))
      found.push({ guarantee: 'G7', what: `token ${token} is gone` });
  }
  for (const id of final.events.keys()) {
    if (!possible(byElement.get(id)))
      found.push({ guarantee: 'G3', what: `event ${id} is there and was never committed` });
  }
  return found.slice(0, limit);
}

function possible(transaction: Transaction | undefined): boolean {
  return transaction !== undefined && transaction.outcome !== 'aborted';
}

/** Twice, never written, or rolled back. */
function checkMembers(
  list: number,
  elements: readonly number[],
  byElement: ReadonlyMap<number, Transaction>,
): Violation[] {
  const found: Violation[] = [];
  const seen = new Set<number>();
  for (const element of elements) {
    if (seen.has(element)) found.push({ guarantee: 'G3', what: `list ${list} has ${element} twice` });
    seen.add(element);
    const writer = byElement.get(element);
    if (!possible(writer) || !writer?.lists.includes(list)) {
      found.push({
        guarantee: 'G3',
        what: `list ${list} has ${element}, which was ${writer?.outcome ?? 'never written'}`,
      });
    }
  }
  return found;
}

/** What had been acknowledged before another transaction began stands before it. */
function checkOrder(
  list: number,
  elements: readonly number[],
  byElement: ReadonlyMap<number, Transaction>,
): Violation[] {
  const found: Violation[] = [];
  let latestStart = Number.NEGATIVE_INFINITY;
  let latest = 0;
  for (const element of elements) {
    const writer = byElement.get(element);
    if (!writer) continue;
    // The one before began after this one had ended: they stand the wrong way round.
    if (writer.outcome === 'acknowledged' && latestStart > writer.endMs) {
      found.push({
        guarantee: 'G1',
        what: `list ${list} has ${latest} before ${element}, which was acknowledged before that one began`,
      });
    }
    if (writer.startMs > latestStart) {
      latestStart = writer.startMs;
      latest = element;
    }
  }
  return found;
}

/** What an acknowledged transaction saw is the beginning of a line of versions. */
function checkReads({ element, outcome, reads }: Transaction, final: DatabaseState, conflicts: Conflicts): Violation[] {
  if (outcome !== 'acknowledged') return [];
  const found: Violation[] = [];
  for (const [list, read] of reads) {
    const lines = [final.lists.get(list) ?? [], ...(conflicts.lists.get(list) ?? [])];
    if (!lines.some((line) => beginsWith(line, read))) {
      const kept = lines.length - 1;
      found.push({
        guarantee: kept > 0 ? 'G8' : 'G7',
        what: `${element} saw ${read.length} elements in list ${list}, which no version of it begins with (${kept} kept in conflicts)`,
      });
    }
  }
  return found;
}

function beginsWith(line: readonly number[], beginning: readonly number[]): boolean {
  return line.length >= beginning.length && beginning.every((element, i) => line[i] === element);
}

/** All of an acknowledged transaction is there or accounted for; of one with an unknown outcome all or nothing. */
function checkWhole(
  each: Transaction,
  final: DatabaseState,
  conflicts: Conflicts,
  deleted: ReadonlySet<number | null>,
): Violation[] {
  const found: Violation[] = [];
  const { element, outcome } = each;
  const parts: { readonly name: string; readonly there: boolean; readonly kept: boolean }[] = each.lists.map(
    (list) => ({
      name: `list ${list}`,
      there: final.lists.get(list)?.includes(element) ?? false,
      kept: conflicts.lists.get(list)?.some((version) => version.includes(element)) ?? false,
    }),
  );
  if (!deleted.has(element)) {
    const kept = conflicts.events.has(element);
    parts.push({ name: 'its event', there: final.events.has(element), kept });
    parts.push({ name: 'its part', there: final.parts.get(element) === 1, kept });
  }
  if (each.journal) {
    parts.push({ name: 'its journal entry', there: final.journal.has(element), kept: conflicts.journal.has(element) });
  }
  const missing = parts.filter(({ kept, there }) => !there && !kept);
  if (outcome === 'acknowledged' && missing.length > 0) {
    found.push({
      guarantee: 'G7',
      what: `${element} was acknowledged and ${missing.map(({ name }) => name).join(', ')} is neither there nor in the conflicts`,
    });
  }
  const there = parts.filter((part) => part.there);
  const disputed = parts.some(({ kept }) => kept);
  if (outcome === 'unknown' && !disputed && there.length > 0 && missing.length > 0) {
    found.push({
      guarantee: 'G1',
      what: `${element} (outcome unknown) is torn: ${there[0]?.name} is there, ${missing[0]?.name} is not`,
    });
  }
  if (
    outcome === 'acknowledged' &&
    each.deletes !== null &&
    final.events.has(each.deletes) &&
    !conflicts.events.has(each.deletes)
  ) {
    found.push({ guarantee: 'G7', what: `event ${each.deletes} is there, and ${element} deleted it` });
  }
  return found;
}

/**
 * G6: statements that took effect, in the order of the servers' clocks, change sides no oftener than the route did.
 * @param changes how often the active side changed
 */
export function checkSides(state: DatabaseState, changes: number): Violation[] {
  const order = [...state.events.values()].sort((a, b) => a.atMs - b.atMs);
  let seen = 0;
  for (const [i, event] of order.entries()) {
    if (i > 0 && event.side !== order[i - 1]?.side) seen += 1;
  }
  return seen <= changes
    ? []
    : [{ guarantee: 'G6', what: `writes changed sides ${seen} times, and the route ${changes} times` }];
}

/**
 * G1 of one snapshot of the secondary while it stands by: whole transactions, and of each writer the first ones without
 * a gap. `exempt`: elements that a conflict names, which recovery moved by rows.
 */
export function checkSnapshot(
  state: DatabaseState,
  transactions: readonly Transaction[],
  exempt: ReadonlySet<number>,
): Violation[] {
  const found: Violation[] = [];
  const deleted = new Set(transactions.map(({ deletes }) => deletes));
  const members = new Map([...state.lists].map(([list, elements]) => [list, new Set(elements)]));
  const lastOf = new Map<number, Transaction>();
  const present = (each: Transaction): boolean[] => [
    ...each.lists.map((list) => members.get(list)?.has(each.element) ?? false),
    ...(deleted.has(each.element) ? [] : [state.events.has(each.element), state.parts.has(each.element)]),
    ...(each.journal ? [state.journal.has(each.element)] : []),
  ];
  // From the last to the first: once a writer's transaction is there, all that were acknowledged before it must be.
  for (const each of [...transactions].sort((a, b) => b.no - a.no)) {
    if (exempt.has(each.element)) continue;
    const there = present(each);
    const any = there.includes(true);
    if (any && there.includes(false)) found.push({ guarantee: 'G1', what: `${each.element} is torn` });
    if (any && each.outcome === 'aborted')
      found.push({ guarantee: 'G1', what: `${each.element} is visible and was rolled back` });
    const later = lastOf.get(each.writer);
    if (!any && later && each.outcome === 'acknowledged') {
      found.push({
        guarantee: 'G1',
        what: `${later.element} is visible and ${each.element}, which its writer committed before, is not`,
      });
    }
    if (any && !later) lastOf.set(each.writer, each);
  }
  return found;
}

/**
 * Both sides after everything has come to rest: rows that only the secondary has, or has oftener, took effect twice or
 * came back (G3, G5); rows that it lacks were lost (G2); other values are older ones (G5).
 */
export function checkEqual(primary: DatabaseState, secondary: DatabaseState): Violation[] {
  const found: Violation[] = [];
  const say = (guarantee: Violation['guarantee'], name: string, keys: readonly number[], what: string): void => {
    if (keys.length > 0)
      found.push({ guarantee, what: `${name} ${keys.slice(0, 5).join(', ')} (${keys.length}): ${what}` });
  };
  for (const name of ['lists', 'events', 'parts', 'journal', 'tokens'] as const) {
    const [ours, theirs]: readonly ReadonlyMap<number, unknown>[] = [primary[name], secondary[name]];
    const counted = name !== 'lists' && name !== 'events';
    const text = (value: unknown) => JSON.stringify(value, (key, each) => (key === 'atMs' ? undefined : each));
    const both = [...(ours?.keys() ?? [])].filter(
      (key) => theirs?.has(key) && text(ours?.get(key)) !== text(theirs.get(key)),
    );
    const more = both.filter((key) => counted && Number(theirs?.get(key)) > Number(ours?.get(key)));
    say(
      'G2',
      name,
      [...(ours?.keys() ?? [])].filter((key) => !theirs?.has(key)),
      'not on the secondary',
    );
    say('G3', name, more, 'oftener on the secondary than on the primary');
    say(
      'G5',
      name,
      [...(theirs?.keys() ?? [])].filter((key) => !ours?.has(key)),
      'on the secondary only',
    );
    say(
      'G5',
      name,
      both.filter((key) => !more.includes(key)),
      'another value on the secondary',
    );
  }
  return found;
}
