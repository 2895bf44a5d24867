import { describe, expect, it } from 'vitest';
import {
  type KnownEnum,
  knownEnum,
  learn,
  presentNames,
  relabel,
  sameLabels,
  settled,
} from '../../src/schema/enum-labels.js';

/** Labels as `oid: name`, in the type's order. */
function type(labels: Readonly<Record<number, string>>, order = Object.keys(labels).map(Number)): KnownEnum {
  const oids = { type: 1, labels: order };
  const names = order.map((oid) => labels[oid] as string);
  return knownEnum({ schema: 'public', name: 'mood', labels: names, oids }) as KnownEnum;
}

const rename = (from: string, to: string) => `ALTER TYPE "public"."mood" RENAME VALUE '${from}' TO '${to}'`;
const HORIZON = '900';

/** Carries the statements out. */
function carriedOut(present: readonly string[], statements: readonly string[]): string[] {
  const names = [...present];
  for (const statement of statements) {
    const [, from, to] = /RENAME VALUE '(.*)' TO '(.*)'$/.exec(statement) as RegExpExecArray;
    if (names.includes(to as string) || !names.includes(from as string)) throw new Error(`refused: ${statement}`);
    names[names.indexOf(from as string)] = to as string;
  }
  return names;
}

describe('labels of an enum that were renamed', () => {
  it('are renamed on the secondary, and keep their former names until those cannot come any more', () => {
    const before = type({ 10: 'sad', 12: 'ok' });
    const plan = relabel(before, type({ 10: 'blue', 12: 'ok' }), ['sad', 'ok'], HORIZON);
    expect(plan).toMatchObject({ statements: [rename('sad', 'blue')], refused: null, reload: false });
    expect(plan.renamed).toEqual(['sad is blue now']);
    const names = presentNames(plan.next);
    expect([names?.get('sad'), names?.get('blue'), names?.get('ok'), names?.get('other')]).toEqual(
      ['blue', 'blue', 'ok', undefined], // biome-ignore format: one line
    );
    expect(presentNames(settled(plan.next))).toBe(null);
    expect(sameLabels(plan.next, type({ 10: 'blue', 12: 'ok' }))).toBe(true);
    expect(sameLabels(plan.next, before)).toBe(false);
  });

  it('need nothing where a former attempt has renamed them and not said so', () => {
    const plan = relabel(type({ 10: 'sad', 12: 'ok' }), type({ 10: 'blue', 12: 'ok' }), ['blue', 'ok'], HORIZON);
    expect(plan.statements).toEqual([]);
    expect(presentNames(plan.next)?.get('sad')).toBe('blue');
  });

  it('are free for one another: a chain of names goes from its end', () => {
    const plan = relabel(type({ 10: 'a', 12: 'b' }), type({ 10: 'b', 12: 'c' }), ['a', 'b'], HORIZON);
    expect(plan.statements).toEqual([rename('b', 'c'), rename('a', 'b')]);
    expect(plan.reload).toBe(true);
  });

  it('go around a circle by a name of their own, from wherever a crash has left it, and are read again', () => {
    const [before, now] = [type({ 10: 'a', 12: 'b', 14: 'c' }), type({ 10: 'b', 12: 'c', 14: 'a' })];
    const whole = relabel(before, now, ['a', 'b', 'c'], HORIZON);
    expect(whole).toMatchObject({ reload: true, refused: null });
    expect(whole.statements).toHaveLength(4);
    for (let done = 0; done <= 4; done++) {
      const present = carriedOut(['a', 'b', 'c'], whole.statements.slice(0, done));
      const rest = relabel(before, now, present, HORIZON);
      expect(carriedOut(present, rest.statements)).toEqual(['b', 'c', 'a']);
      expect(rest.reload).toBe(true);
    }
  });

  it('give their name to a new label: the old one moves, whether or not the new one is there already', () => {
    const [before, now] = [type({ 10: 'sad', 12: 'ok' }), type({ 10: 'blue', 12: 'ok', 14: 'sad' })];
    const plan = relabel(before, now, ['sad', 'ok'], HORIZON);
    expect(plan).toMatchObject({ statements: [rename('sad', 'blue')], reload: true });
    expect(presentNames(plan.next)?.get('sad')).toBe('sad');
    expect(relabel(before, now, ['blue', 'ok', 'sad'], HORIZON).statements).toEqual([]);
    const first = type({ 10: 'blue', 12: 'ok', 14: 'sad' }, [14, 10, 12]);
    expect(relabel(before, first, ['sad', 'ok'], HORIZON).statements).toEqual([rename('sad', 'blue')]);
  });

  it('are told apart by name where the secondary has them in another order, or has others', () => {
    const [before, now] = [type({ 10: 'sad', 12: 'ok' }), type({ 10: 'blue', 12: 'ok' })];
    expect(relabel(before, now, ['ok', 'own', 'sad'], HORIZON).statements).toEqual([rename('sad', 'blue')]);
  });

  it('are not followed where the secondary has both', () => {
    const plan = relabel(type({ 10: 'sad' }), type({ 10: 'blue' }), ['sad', 'blue'], HORIZON);
    expect(plan).toMatchObject({ statements: [], refused: 'the secondary has both labels, sad and blue' });
  });

  it('have had names that no catalog has shown, which only one of them can have had', () => {
    const plan = relabel(type({ 10: 'a', 12: 'b' }), type({ 10: 'c', 12: 'b' }), ['a', 'b'], HORIZON);
    expect(presentNames(learn(plan.next, ['between', 'b']) as KnownEnum)?.get('between')).toBe('c');
    const two = relabel(type({ 10: 'a', 12: 'b' }), type({ 10: 'c', 12: 'd' }), ['a', 'b'], HORIZON);
    expect(learn(two.next, ['between'])).toBe(null);
    expect(learn(settled(plan.next), ['between'])).toBe(null);
    // Before the first is settled, the second may have been meant by either.
    const later = relabel(plan.next, type({ 10: 'c', 12: 'd' }), ['c', 'b'], HORIZON);
    expect(learn(later.next, ['between'])).toBe(null);
  });

  it('keep all names of before until they are settled', () => {
    const first = relabel(type({ 10: 'a' }), type({ 10: 'b' }), ['a'], HORIZON);
    const second = relabel(first.next, type({ 10: 'c' }), ['b'], HORIZON);
    expect(presentNames(second.next)?.get('a')).toBe('c');
    expect(presentNames(second.next)?.get('b')).toBe('c');
    const back = relabel(second.next, type({ 10: 'a' }), ['c'], HORIZON);
    expect(back).toMatchObject({ statements: [rename('c', 'a')], reload: false });
  });
});
