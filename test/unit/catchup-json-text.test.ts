/** JSON taken apart without losing a digit: JSON.parse is the oracle for everything that it can represent. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { arrayElements, objectMembers } from '../../src/catchup/json-text.js';
import { valueForm, valueText } from '../../src/catchup/value-text.js';

/** The same value with white space wherever JSON allows it. */
function spaced(value: unknown): string {
  return JSON.stringify(value, null, '\t\r\n ');
}

describe('lossless JSON', () => {
  it('splits an object and an array as JSON.parse does', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue()), fc.boolean(), (object, wide) => {
        const members = objectMembers(wide ? spaced(object) : JSON.stringify(object));
        const again = Object.fromEntries([...members].map(([name, text]) => [name, JSON.parse(text)]));
        expect(again).toEqual(JSON.parse(JSON.stringify(object)));
      }),
    );
    fc.assert(
      fc.property(fc.array(fc.jsonValue()), fc.boolean(), (array, wide) => {
        const elements = arrayElements(wide ? spaced(array) : JSON.stringify(array));
        expect(elements.map((text) => JSON.parse(text))).toEqual(JSON.parse(JSON.stringify(array)));
      }),
    );
  });

  it('keeps the text of every number', () => {
    const text = '{"a": 9223372036854775807, "b": 1.10, "c": [12345678901234567890.0123456789], "d": -0, "e": 1E+300}';
    expect([...objectMembers(text).values()]).toEqual([
      '9223372036854775807',
      '1.10',
      '[12345678901234567890.0123456789]',
      '-0',
      '1E+300',
    ]);
  });

  it.for([
    '',
    '{',
    '{"a"}',
    '{"a":}',
    '{"a":1,}',
    '{"a":1}x',
    '{"a":"b}',
    '{"a":[1}',
    '[1]',
    '"a"',
    '{a:1}',
    '{"a":1 "b":2}',
  ])('refuses %s as an object', (text) => {
    expect(() => objectMembers(text)).toThrow(SyntaxError);
  });

  it.for(['', '[', '[1,]', '[1 2]', '[1]]', '{"a":1}', '["a]', '[,1]'])('refuses %s as an array', (text) => {
    expect(() => arrayElements(text)).toThrow(SyntaxError);
  });
});

describe('values of a changefeed', () => {
  it.for([
    ['9223372036854775807', 'int8', '9223372036854775807'],
    ['1.50', 'numeric', '1.50'],
    ['"NaN"', 'numeric', 'NaN'],
    ['true', 'bool', 'true'],
    ['"a\\"b\\\\c\\u00fc"', 'text', 'a"b\\cü'],
    ['"null"', 'text', 'null'],
    ['"\\\\x00ff"', 'bytea', '\\x00ff'],
    ['"s"', 'jsonb', '"s"'],
    ['{"n": 1.10, "a": [1, null]}', 'jsonb', '{"n": 1.10, "a": [1, null]}'],
    ['[1, 2]', 'jsonb', '[1, 2]'],
    ['[1, null, 9223372036854775807]', '_int8', '{"1",NULL,"9223372036854775807"}'],
    ['["a,\\"", "NULL", "", null, "b\\\\c"]', '_text', '{"a,\\"","NULL","",NULL,"b\\\\c"}'],
    ['[]', '_text', '{}'],
    ['["2024-01-01T00:00:00Z", null]', '_timestamptz', '{"2024-01-01 00:00:00+00",NULL}'],
    ['"2024-01-01T00:00:00.123456"', 'timestamp', '2024-01-01 00:00:00.123456'],
    ['"-043-03-15T12:00:00"', 'timestamp', '0044-03-15 12:00:00 BC'],
    ['"0000-03-15T12:00:00Z"', 'timestamptz', '0001-03-15 12:00:00+00 BC'],
    ['"10000-01-01T00:00:00Z"', 'timestamptz', '10000-01-01 00:00:00+00'],
    ['null', 'int4', null],
  ] as const)('%s of type %s', ([json, type, text]) => {
    expect(valueText(json, valueForm(type))).toBe(text);
  });
});
