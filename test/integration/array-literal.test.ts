/** Array literals with the databases themselves as oracle: what goes in as a column comes out of unnest unchanged. */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { arrayLiteral } from '../../src/apply/array-literal.js';
import { TargetSession } from '../../src/apply/target-session.js';
import { createDatabasePair, type DatabasePair } from '../harness/cluster.js';
import { describeDialects } from '../harness/secondary-dialects.js';

type Column = readonly (string | null)[];

const HOSTILE: Column = [
  null,
  '',
  'NULL',
  'null',
  '"NULL"',
  ' ',
  ' leading and trailing ',
  '"',
  '""',
  '\\',
  '\\\\',
  '\\"',
  "'",
  "''",
  ',',
  '{',
  '}',
  '{}',
  '{a,b}',
  '{{"a"}}',
  '[1:2]={1,2}',
  '\n',
  '\r\n',
  '\t\v\f\b',
  '\u0001\u007f\u0085',
  '\u00a0\u2028\u2029\u3000',
  '$1',
  '%',
  '\\n',
  '\\x41',
  '\\u0041',
  'é',
  '日本語',
  '😀👩‍👩‍👧',
  '\u{10ffff}',
  '\ufffd\ufffe\uffff\ufeff',
  'e\u0301',
  'x'.repeat(100_000),
  '"\\'.repeat(1000),
];

const anyValue = fc.option(
  fc.oneof(
    fc.string({ unit: 'binary', maxLength: 12 }),
    fc.string({ unit: fc.constantFrom(...'"\\{},\' \nNULnul$😀é'), maxLength: 12 }),
  ),
);
const anyColumn = fc.array(
  anyValue.map((value) => value?.replaceAll('\0', '') ?? null),
  { maxLength: 40 },
);

describeDialects('array literals', (dialect) => {
  let pair: DatabasePair;
  let session: TargetSession;

  beforeAll(async () => {
    pair = await createDatabasePair('array', dialect);
    session = await TargetSession.connect({ connectionString: pair.secondary.url });
  });

  afterAll(async () => {
    await session?.close();
    await pair?.[Symbol.asyncDispose]();
  });

  /** The column as the database understood it, in order. */
  async function roundTrip(values: Column): Promise<Column> {
    const column = values.map((value) => [value]);
    const { rows } = await session.run({
      text: 'SELECT u.v FROM unnest($1::text[]) WITH ORDINALITY AS u(v, i) ORDER BY u.i',
      values: [arrayLiteral(column, 0, 'quoted')],
    });
    return rows.map((row) => row.v ?? null);
  }

  it('keep every text', async () => {
    expect(await roundTrip(HOSTILE)).toEqual(HOSTILE);
    expect(await roundTrip([])).toEqual([]);
    expect(await roundTrip(['NULL'])).toEqual(['NULL']);
    expect(await roundTrip([null])).toEqual([null]);
  });

  it('keep arbitrary text', async () => {
    await fc.assert(
      fc.asyncProperty(anyColumn, async (values) => {
        expect(await roundTrip(values)).toEqual(values);
      }),
      { numRuns: 60 },
    );
  });

  it('keep several columns apart, with undefined as NULL', async () => {
    const rows = [
      ['1', 'a,b', undefined],
      ['2', null, '{"x": "}"}'],
      ['3', '', 'null'],
    ];
    const { rows: found } = await session.run({
      text: 'SELECT u.a::text AS a, u.b AS b, u.c AS c FROM unnest($1::int4[], $2::text[], $3::text[]) AS u(a, b, c) ORDER BY 1',
      values: [arrayLiteral(rows, 0, 'raw'), arrayLiteral(rows, 1, 'quoted'), arrayLiteral(rows, 2, 'quoted')],
    });
    expect(found).toEqual(rows.map(([a, b, c]) => ({ a, b: b ?? null, c: c ?? null })));
  });

  /** The values of a typed array, each as text, and whether it is what the type's own input makes of the text. */
  async function typed(type: string, values: Column): Promise<{ v: string | null; same: string }[]> {
    const rows = values.map((value) => [value]);
    const encoding = type === 'bytea' || type === 'jsonb' ? 'quoted' : 'raw';
    const result = await session.run({
      text: `SELECT u.v::text AS v, (u.v IS NOT DISTINCT FROM u.t::${type})::text AS same FROM unnest($1::${type}[], $2::text[], $3::int8[]) AS u(v, t, i) ORDER BY u.i`,
      values: [
        arrayLiteral(rows, 0, encoding),
        arrayLiteral(rows, 0, 'quoted'),
        `{${rows.map((_, i) => i).join(',')}}`,
      ],
    });
    return result.rows as { v: string | null; same: string }[];
  }

  const common: Record<string, Column> = {
    int2: ['-32768', '32767', '0', null],
    int4: ['-2147483648', '2147483647', null],
    int8: ['-9223372036854775808', '9223372036854775807', null],
    oid: ['0', '4294967295', null],
    numeric: ['NaN', '0.00', '-1.50', '1'.repeat(1000), `0.${'0'.repeat(500)}1`, null],
    float4: ['NaN', 'Infinity', '-Infinity', '0.1', '1e-45', '3.4028235e+38', null],
    float8: ['NaN', 'Infinity', '-Infinity', '-0', '0.1', '5e-324', '1.7976931348623157e+308', null],
    bool: ['true', 'false', 't', 'f', null],
    uuid: ['01234567-89ab-cdef-0123-456789abcdef', null],
    date: ['2026-01-24', '0001-01-01', '4713-01-01 BC', 'infinity', '-infinity', null],
    time: ['00:00:00', '23:59:59.999999', '24:00:00', null],
    timetz: ['00:00:00+00', '24:00:00-15:59', '12:34:56.789+05:30', null],
    timestamp: ['2026-01-24 20:00:00', '2026-01-24 20:00:00.000001', '0044-03-15 12:00:00 BC', 'infinity', null],
    timestamptz: ['2026-01-24 20:00:00+00', '0044-03-15 12:00:00+00 BC', 'infinity', '-infinity', null],
    bytea: ['\\x', '\\x00ff', '\\x5c225c5c7b7d', null],
  };
  // CockroachDB has no arrays of jsonb, and no infinite numbers.
  const postgresOnly: Record<string, Column> = {
    numeric: ['Infinity', '-Infinity', `1${'0'.repeat(131_071)}`],
    date: ['5874897-12-31'],
    timestamp: ['294276-12-31 23:59:59.999999'],
    jsonb: ['{"a": "b\\\\c\\"}"}', 'null', '[]', '"x"', null],
  };
  const cases = [...Object.entries(common), ...(dialect === 'postgres' ? Object.entries(postgresOnly) : [])];

  it.each(cases)('of %s hold the values that the stream has', async (type, values) => {
    const found = await typed(type, values);
    expect(found.map(({ same }) => same)).toEqual(values.map(() => 'true'));
    // PostgreSQL prints as its walsender does.
    const printed = values.map((value) =>
      type === 'bool' && value ? (value.startsWith('t') ? 'true' : 'false') : value,
    );
    if (dialect === 'postgres') expect(found.map(({ v }) => v)).toEqual(printed);
  });
});
