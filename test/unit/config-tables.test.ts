import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseTableList } from '../../src/config/tables.js';

describe('parseTableList', () => {
  it.each<[string, string[][]]>([
    ['users', [['public', 'users']]],
    [
      ' users , billing.payments ',
      [
        ['public', 'users'],
        ['billing', 'payments'],
      ],
    ],
    ['"My Schema"."T"', [['My Schema', 'T']]],
    [
      'public."a.b","c,d"',
      [
        ['public', 'a.b'],
        ['public', 'c,d'],
      ],
    ],
    ['"say ""hi"""', [['public', 'say "hi"']]],
    ['User', [['public', 'User']]],
    ['Ünïcode.täble', [['Ünïcode', 'täble']]],
  ])('%s', (text, expected) => {
    expect(parseTableList(text)).toEqual({ tables: expected.map(([schema, name]) => ({ schema, name })) });
  });

  it('takes * alone for all', () => {
    expect(parseTableList(' * ')).toEqual({ tables: '*' });
  });

  it.each<[string, RegExp[]]>([
    ['', [/empty name at position 1/]],
    ['users,', [/empty name at position 2/]],
    ['users,*', [/stands alone/]],
    ['a.b.c', [/malformed name at position 1/]],
    ['.users', [/malformed/]],
    ['users.', [/malformed/]],
    ['two words', [/malformed/]],
    ['"open', [/malformed/]],
    ['"a"b', [/malformed/]],
    ['""', [/malformed/]],
    ['users,"users",public.users', [/names public.users twice/, /names public.users twice/]],
    ['a.b.c,,x,x', [/position 1/, /position 2/, /twice/]],
    ['n'.repeat(64), [/more than 63 bytes/]],
    ['pg_catalog.pg_class', [/not a table of the application/]],
    ['db_redundancy.control', [/not a table of the application/]],
  ])('refuses %j and names every mistake', (text, expected) => {
    const result = parseTableList(text);
    expect('mistakes' in result && result.mistakes).toEqual(expected.map((each) => expect.stringMatching(each)));
  });

  it('reads back any name that is quoted', () => {
    const part = fc
      .string({ minLength: 1, maxLength: 15 })
      .filter((text) => !text.includes('\0') && !/^pg_|^\*$/.test(text));
    const quote = (text: string) => `"${text.replaceAll('"', '""')}"`;
    fc.assert(
      fc.property(fc.uniqueArray(fc.tuple(part, part), { minLength: 1, selector: String }), (names) => {
        const text = names.map(([schema, name]) => `${quote(schema)}.${quote(name)}`).join(',');
        expect(parseTableList(text)).toEqual({ tables: names.map(([schema, name]) => ({ schema, name })) });
      }),
    );
  });
});
