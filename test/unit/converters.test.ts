/** Text of money and hstore to what a secondary without these types takes. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { converterFor, hstoreToJson, moneyToDecimal } from '../../src/streamer/converters.js';

describe('moneyToDecimal', () => {
  it.each([
    ['$0.00', '0.00'],
    ['$1,234.50', '1234.50'],
    ['-$1,234.50', '-1234.50'],
    ['($1,234.50)', '-1234.50'],
    ['-$92,233,720,368,547,758.08', '-92233720368547758.08'],
    ['$92,233,720,368,547,758.07', '92233720368547758.07'],
  ])('%s is %s', (money, decimal) => {
    expect(moneyToDecimal(money)).toBe(decimal);
  });
});

/** PostgreSQL's hstore_out: keys and values always quoted, `"` and `\` with a backslash before them. */
function hstoreText(pairs: ReadonlyArray<readonly [string, string | null]>): string {
  const quote = (text: string) => `"${text.replace(/["\\]/g, '\\$&')}"`;
  return pairs.map(([key, value]) => `${quote(key)}=>${value === null ? 'NULL' : quote(value)}`).join(', ');
}

describe('hstoreToJson', () => {
  it.each([
    ['', '{}'],
    ['"a"=>"1"', '{"a":"1"}'],
    ['"a"=>NULL, "b"=>"NULL", "c"=>""', '{"a":null,"b":"NULL","c":""}'],
    ['"a\\"b"=>"c\\\\d", "e, f"=>"g=>h"', '{"a\\"b":"c\\\\d","e, f":"g=>h"}'],
    ['"__proto__"=>"1", "constructor"=>"2"', '{"__proto__":"1","constructor":"2"}'],
    ['"line\nbreak"=>"\t"', '{"line\\nbreak":"\\t"}'],
  ])('%j is %s', (text, json) => {
    expect(hstoreToJson(text)).toBe(json);
  });

  it.each(['"a"', '"a"=>"1",', '"a"=>1', 'junk', '"a"=>"1" "b"=>"2"', '"a"=>null'])(
    'refuses %j instead of losing something of it (G9)',
    (text) => {
      expect(() => hstoreToJson(text)).toThrow(RangeError);
    },
  );

  it('keeps every key and value', () => {
    const text = fc.string({ unit: 'binary', maxLength: 8 }).map((raw) => raw.replaceAll('\0', ''));
    const pairs = fc.uniqueArray(fc.tuple(text, fc.option(text)), { selector: ([key]) => key, maxLength: 6 });
    fc.assert(
      fc.property(pairs, (list) => {
        const parsed = JSON.parse(hstoreToJson(hstoreText(list)));
        expect(new Map(Object.entries(parsed))).toEqual(new Map(list));
      }),
    );
  });

  it('takes a value of megabytes', () => {
    const value = 'x"\\'.repeat(3_000_000);
    expect(JSON.parse(hstoreToJson(hstoreText([['k', value]])))).toEqual({ k: value });
  });
});

describe('converterFor', () => {
  it('converts money and hstore only', () => {
    expect(converterFor('money')).toBe(moneyToDecimal);
    expect(converterFor('hstore')).toBe(hstoreToJson);
    for (const same of ['none', 'json', 'text'] as const) expect(converterFor(same)).toBeNull();
  });
});
