/** Texts of arrays, JSON and times on their way to CockroachDB and back. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { arrayElements, arrayText } from '../../src/reconcile/array-form.js';
import { jsonToHstore, timestampBack } from '../../src/reconcile/back.js';
import { cockroachForm } from '../../src/reconcile/cockroach-value.js';
import { jsonForJsonb, plainNumber } from '../../src/reconcile/json-form.js';
import { hstoreToJson } from '../../src/streamer/converters.js';

const text = fc.string({ unit: 'binary', maxLength: 8 });

describe('arrays', () => {
  it('takes apart what it put together', () => {
    fc.assert(
      fc.property(fc.array(fc.option(text)), (list) => {
        expect(arrayElements(arrayText(list))).toEqual(list);
      }),
    );
  });

  it.each([
    ['{}', []],
    ['{a,NULL,"NULL","",null}', ['a', null, 'NULL', '', 'null']],
    ['{"a\\"b\\\\",c d}', ['a"b\\', 'c d']],
    ['{{1},{2}}', null],
    ['[0:1]={a,b}', null],
  ])('%s', (literal, elements) => {
    expect(arrayElements(literal)).toEqual(elements);
  });

  it.each(['', 'a', '{"a}', '{"a"b}', '{a'])('refuses %j', (literal) => {
    expect(() => arrayElements(literal)).toThrow(RangeError);
  });
});

describe('JSON for a JSONB that keeps numbers as written', () => {
  it.each([
    ['1e2', '100'],
    ['1.50e1', '15.0'],
    ['-0', '0'],
    ['-0.00e1', '0.0'],
    ['-12.5e-4', '-0.00125'],
    ['0.05e1', '0.5'],
    ['0.10', '0.10'],
    ['1e99999', null],
  ])('%s is %s', (number, plain) => {
    expect(plainNumber(number)).toBe(plain);
  });

  it('leaves strings alone, whatever they look like', () => {
    expect(jsonForJsonb('{"1e5": "-0 \\" 1e5", "a": [1e5 ,-0]}')).toBe('{"1e5": "-0 \\" 1e5", "a": [100000 ,0]}');
  });

  it.each(['"\\u0000"', '["\\ud800"]', '{"\\udc00\\ud800": 1}', '[1e-20000]'])('refuses %s', (json) => {
    expect(jsonForJsonb(json)).toBeNull();
  });

  it.each(['"\\\\u0000"', '"\\ud83d\\ude00"', '"\\\\ud800"'])('takes %s', (json) => {
    expect(jsonForJsonb(json)).toBe(json);
  });
});

describe('what CockroachDB would store as something else', () => {
  it.each([
    ['timestamptz', 'TIMESTAMPTZ', '294276-12-31 23:59:59.999999+00'],
    ['timestamp', 'TIMESTAMP', '4714-11-24 00:00:00 BC'],
    ['timestamp', 'TIMESTAMP(3)', 'infinity'],
    ['interval', 'INTERVAL', '1 day -2562047:47:16.854776'],
    ['_interval', 'INTERVAL[]', '{"2562048:00:00"}'],
    ['_int4', 'INT4[]', '{{1},{2}}'],
  ])('%s as %s: %s is sent as a text that it refuses', (typeName, sqlType, value) => {
    expect(cockroachForm('none', typeName, sqlType)?.(value)).toMatch(/^refused: [^,{}"\\]+$/);
  });

  it.each([
    ['timestamptz', 'TIMESTAMPTZ', 'infinity'],
    ['timestamp', 'TIMESTAMP(6)', 'infinity'],
    ['interval', 'INTERVAL', '-2562047:47:16.854775'],
    ['_text', 'STRING[]', '{a,"b{",NULL}'],
  ])('%s as %s takes %s', (typeName, sqlType, value) => {
    const sent = cockroachForm('none', typeName, sqlType)?.(value) ?? '';
    expect(value.startsWith('{') ? arrayElements(sent) : sent).toEqual(
      value.startsWith('{') ? arrayElements(value) : value,
    );
  });

  it('quotes what it would trim', () => {
    expect(cockroachForm('none', '_text', 'STRING[]')?.('{\u00a0NULL,a}')).toBe('{"\u00a0NULL","a"}');
  });
});

describe('the way back', () => {
  it.each([
    ['-0043-03-15 12:00:00.5+00:00', '0044-03-15 12:00:00.5+00 BC'],
    ['0000-12-31 00:00:00', '0001-12-31 00:00:00 BC'],
    ['2020-01-01 00:00:00+00:00', '2020-01-01 00:00:00+00'],
    ['0044-03-15 12:00:00 BC', '0044-03-15 12:00:00 BC'],
    ['294276-12-31 23:59:59.999999+00:00', 'infinity'],
    ['-4713-11-24 00:00:00', '-infinity'],
    ['4714-11-24 00:00:00+00 BC', '-infinity'],
    ['infinity', 'infinity'],
  ])('%s is %s', (sent, back) => {
    expect(timestampBack(sent)).toBe(back);
  });

  it('gives hstore back what came from it', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.tuple(text, fc.option(text)), { selector: ([key]) => key }), (pairs) => {
        const json = JSON.stringify(Object.fromEntries(pairs));
        expect(JSON.parse(hstoreToJson(jsonToHstore(json)))).toEqual(JSON.parse(json));
      }),
    );
  });

  it.each(['[]', 'null', '{"a": 1}', '{"a": {}}'])('refuses %s as hstore', (json) => {
    expect(() => jsonToHstore(json)).toThrow(RangeError);
  });
});
