/**
 * Labels of an enum that were renamed on the primary. A label keeps its oid and its place among the others whatever it is
 * called; the WAL carries the name that it had when the row was written. So the secondary's labels are told apart by
 * their place, renamed, and names of before are kept for as long as the stream may still bring them. Pure.
 */
import { quoteLiteral, quoteTable } from '../core/ident.js';
import type { EnumModel, QualifiedName } from './model.js';

export interface KnownLabel {
  readonly oid: number;
  readonly label: string;
  /** Names that it had before: changes that are still on their way may use them. */
  readonly formerly: readonly string[];
}

export interface Unsettled {
  /** Every transaction of the primary that may hold names of before has a lower id. */
  readonly horizon: string;
  /** Tables that use the type must be read again when those have ended: a name of before is another label's now. */
  readonly reload: boolean;
  /** Oid of the label that a name which nobody has seen in the catalog stands for; null: cannot be told. */
  readonly unseen: number | null;
}

/** A type as the secondary was last made to have it. */
export interface KnownEnum extends QualifiedName {
  readonly oid: number;
  readonly labels: readonly KnownLabel[];
  readonly unsettled: Unsettled | null;
}

export interface Relabeling {
  /** For the secondary, in order. */
  readonly statements: readonly string[];
  /** For people: `sad is blue now`. */
  readonly renamed: readonly string[];
  /** What the secondary has then. */
  readonly next: KnownEnum;
  /** Tables that use the type must be read again: the stream cannot tell what is meant. */
  readonly reload: boolean;
  /** Why it cannot be followed; null: it can. */
  readonly refused: string | null;
}

/** Null for a type whose labels were read without their oids. */
export function knownEnum(model: EnumModel): KnownEnum | null {
  const { schema, name, labels, oids } = model;
  if (!oids) return null;
  const known = labels.map((label, i) => ({ oid: oids.labels[i] as number, label, formerly: [] }));
  return { schema, name, oid: oids.type, labels: known, unsettled: null };
}

export function sameLabels(a: KnownEnum, b: KnownEnum): boolean {
  const text = ({ labels }: KnownEnum) => JSON.stringify(labels.map(({ label, oid }) => [oid, label]));
  return a.oid === b.oid && text(a) === text(b);
}

/**
 * From what the secondary was made to have to what the primary has now.
 * @param present the secondary's labels in order: a former attempt may have come part of the way
 * @param horizon see Unsettled
 */
export function relabel(known: KnownEnum, now: KnownEnum, present: readonly string[], horizon: string): Relabeling {
  const before = new Map(known.labels.map((label) => [label.oid, label]));
  const changed = now.labels.filter(({ label, oid }) => before.get(oid)?.label !== label);
  const names = identify(known, now, present);
  const pairs = now.labels.flatMap(({ label, oid }): Rename[] => {
    const from = names.get(oid);
    return from === undefined || from === label ? [] : [{ oid, from, to: label }];
  });
  const plan = renames(pairs, present, quoteTable(now.schema, now.name));
  const current = new Set(now.labels.map(({ label }) => label));
  const former = (oid: number) => {
    const old = before.get(oid);
    return old ? [...old.formerly, old.label] : [];
  };
  // A name of one label that is another one's now: what the stream brings under it may be either.
  const reused = now.labels.some(({ oid }) =>
    former(oid).some((name) => now.labels.some((other) => other.label === name && other.oid !== oid)),
  );
  const reload = reused || (known.unsettled?.reload ?? false);
  const candidates = new Set([
    ...changed.map(({ oid }) => oid),
    ...(known.unsettled && known.unsettled.unseen !== null ? [known.unsettled.unseen] : []),
  ]);
  // Of several, any will do where everything is read again; else such a row is refused, and its table pauses.
  const unseen = candidates.size === 1 || reload ? ([...candidates][0] ?? null) : null;
  const labels = now.labels.map(({ label, oid }) => {
    const formerly = [...new Set(former(oid))].filter((name) => !current.has(name));
    return { oid, label, formerly };
  });
  return {
    statements: plan.statements,
    renamed: changed.flatMap(({ label, oid }) =>
      before.has(oid) ? [`${before.get(oid)?.label} is ${label} now`] : [],
    ),
    next: { ...now, labels, unsettled: { horizon, reload, unseen } },
    reload,
    refused: plan.refused,
  };
}

/** Present names by all names that a change may have for them; null where every name stands for itself. */
export function presentNames({ labels, unsettled }: KnownEnum): ReadonlyMap<string, string> | null {
  if (unsettled === null) return null;
  const names = new Map(labels.flatMap(({ formerly, label }) => formerly.map((name) => [name, label] as const)));
  for (const { label } of labels) names.set(label, label);
  return names;
}

/** A label had these names for so short a time that no look at the catalog has seen them; null: nobody can tell which. */
export function learn(known: KnownEnum, names: readonly string[]): KnownEnum | null {
  const { labels, unsettled } = known;
  if (unsettled === null || unsettled.unseen === null) return null;
  const learned = names.filter((name) => !labels.some((each) => each.label === name || each.formerly.includes(name)));
  if (learned.length === 0) return null;
  const add = (each: KnownLabel) =>
    each.oid === unsettled.unseen ? { ...each, formerly: [...each.formerly, ...learned] } : each;
  return { ...known, labels: labels.map(add) };
}

/** No change can come any more that has a name of before. */
export function settled(known: KnownEnum): KnownEnum {
  return { ...known, labels: known.labels.map((label) => ({ ...label, formerly: [] })), unsettled: null };
}

interface Rename {
  readonly oid: number;
  from: string;
  readonly to: string;
}

/** A label on its way around a circle; known by its oid again after a crash. */
function between(oid: number): string {
  return `db_redundancy ${oid}`;
}

/**
 * What the secondary calls each label. The order of labels never changes on the primary, and the secondary has them in
 * the same order, with those that are new here or not yet there. Where its order is another one, names must do.
 */
function identify(known: KnownEnum, now: KnownEnum, present: readonly string[]): ReadonlyMap<number, string> {
  const before = new Map(known.labels.map((label) => [label.oid, label]));
  const may = ({ label, oid }: KnownLabel, name: string) =>
    name === label || name === before.get(oid)?.label || name === between(oid);
  const dead = new Set<number>();
  const walk = (i: number, j: number): [number, string][] | null => {
    if (i === now.labels.length) return j === present.length ? [] : null;
    const at = i * (present.length + 1) + j;
    if (dead.has(at)) return null;
    const label = now.labels[i] as KnownLabel;
    const name = present[j];
    if (name !== undefined && may(label, name)) {
      const rest = walk(i + 1, j + 1);
      if (rest) return [[label.oid, name], ...rest];
    }
    const rest = before.has(label.oid) ? null : walk(i + 1, j);
    if (rest === null) dead.add(at);
    return rest;
  };
  const found = walk(0, 0);
  if (found) return new Map(found);
  const there = new Set(present);
  const named = new Set<string>(known.labels.map(({ label }) => label).filter((label) => there.has(label)));
  return new Map(
    known.labels.flatMap(({ label, oid }, i): [number, string][] => {
      const place = present.length === known.labels.length ? (present[i] as string) : '';
      const name = [between(oid), label].find((each) => there.has(each)) ?? (named.has(place) ? '' : place);
      return name === '' ? [] : [[oid, name]];
    }),
  );
}

function renames(
  pairs: readonly Rename[],
  present: readonly string[],
  type: string,
): { statements: string[]; refused: string | null } {
  const literal = (text: string) => quoteLiteral(text).trim();
  const taken = new Set(present);
  const pending = pairs.map((pair) => ({ ...pair }));
  const statements: string[] = [];
  const rename = (pair: Rename, to: string) => {
    statements.push(`ALTER TYPE ${type} RENAME VALUE ${literal(pair.from)} TO ${literal(to)}`);
    taken.delete(pair.from);
    taken.add(to);
    pair.from = to;
  };
  while (pending.length > 0) {
    const free = pending.findIndex(({ to }) => !taken.has(to));
    if (free >= 0) {
      const pair = pending[free] as Rename;
      rename(pair, pair.to);
      pending.splice(free, 1);
      continue;
    }
    const blocked = pending.find(({ to }) => !pending.some(({ from }) => from === to));
    if (blocked) return { statements: [], refused: `the secondary has both labels, ${blocked.from} and ${blocked.to}` };
    const first = pending[0] as Rename;
    rename(first, between(first.oid));
  }
  return { statements, refused: null };
}
