/** Every type of SPEC section 5 with the values at its edges and a generator of others: texts that PostgreSQL reads. */
import fc from 'fast-check';
import { arrayText } from '../../../src/reconcile/array-form.js';

export interface TypedColumn {
  readonly name: string;
  /** As in CREATE TABLE. */
  readonly type: string;
  readonly edges: readonly string[];
  readonly values: fc.Arbitrary<string>;
}

export interface TypeGroup {
  readonly table: string;
  readonly columns: readonly TypedColumn[];
  /** Columns that nobody writes: serial, identity, generated. */
  readonly filled?: string;
}

export const TYPE_DDL = `
CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE EXTENSION ltree;
CREATE TYPE mood AS ENUM ('sad', 'it''s "ok"', 'a b', 'NULL', '', 'x,y\\z', 'ü😀');
CREATE TYPE pair AS (a int, b text, c numeric);
CREATE DOMAIN percent AS numeric(6,3) CHECK (VALUE BETWEEN 0 AND 100);
CREATE DOMAIN words AS text[];
CREATE TYPE floatrange AS RANGE (subtype = float8);
`;

const int = (bits: bigint) => fc.bigInt({ min: -(2n ** (bits - 1n)), max: 2n ** (bits - 1n) - 1n }).map(String);
/** Everything that a PostgreSQL text can hold, most of all what needs care somewhere. */
const anyText = fc
  .oneof(
    fc.string({ unit: 'binary', maxLength: 12 }),
    fc.string({ unit: fc.constantFrom(...`"'\\{}(),; \t\n\u00a0\u3000\u0085\u0001\bNULé😀`), maxLength: 10 }),
  )
  .map((text) => text.replaceAll('\0', ''));
const digits = (most: number) => fc.string({ unit: fc.constantFrom(...'0123456789'), minLength: 1, maxLength: most });
const sign = fc.constantFrom('', '-');
const decimal = (whole: number, fraction: number) =>
  fc.tuple(sign, digits(whole), digits(fraction)).map(([s, a, b]) => `${s}${a}.${b}`);
const two = (most: number) => fc.integer({ min: 0, max: most }).map((n) => String(n).padStart(2, '0'));
const clock = fc
  .tuple(two(23), two(59), two(59), fc.integer({ min: 0, max: 999_999 }))
  .map(([h, m, s, us]) => `${h}:${m}:${s}${us === 0 ? '' : `.${String(us).padStart(6, '0')}`}`);
const year = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 1900, max: 2100 }) },
  fc.integer({ min: 1, max: 294_275 }),
);
const day = (years: fc.Arbitrary<number>) =>
  fc
    .tuple(years, fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 28 }), fc.boolean())
    .map(([y, m, d, bc]) => {
      const ad = `${String(y).padStart(4, '0')}-${String(m).padStart(2, '0')}-${String(d).padStart(2, '0')}`;
      return bc && y < 4713 ? { date: ad, era: ' BC' } : { date: ad, era: '' };
    });
const moment = fc.tuple(day(year), clock).map(([{ date, era }, time]) => `${date} ${time}${era}`);
const offset = fc
  .tuple(fc.constantFrom('+', '-'), two(15), fc.constantFrom('', ':30', ':45', ':59'))
  .map(([s, h, m]) => `${s}${h}${m}`);
const floats = (width: 32 | 64) =>
  fc.oneof(
    width === 32 ? fc.float().map(String) : fc.double().map(String),
    // Near what is exactly half-way between two numbers, and where the forms of output change.
    fc
      .tuple(sign, fc.integer({ min: 1, max: 9999 }), fc.integer({ min: -30, max: 34 }))
      .map(([s, n, e]) => `${s}${n}e${e}`),
    fc.tuple(sign, fc.integer({ min: -100, max: 120 })).map(([s, e]) => `${s}${2 ** e}`),
  );
const octet = fc.integer({ min: 0, max: 255 });
const ipv4 = fc.tuple(octet, octet, octet, octet).map((parts) => parts.join('.'));
const ipv6 = fc
  .array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 65_535 })), { minLength: 8, maxLength: 8 })
  .map((words) => words.map((word) => word.toString(16)).join(':'));
const inet = fc.oneof(
  fc.tuple(ipv4, fc.integer({ min: 0, max: 32 })).map(([ip, n]) => `${ip}/${n}`),
  fc.tuple(ipv6, fc.integer({ min: 0, max: 128 })).map(([ip, n]) => `${ip}/${n}`),
  ipv4,
  ipv6,
);
const bits = (least: number, most: number) =>
  fc.string({ unit: fc.constantFrom('0', '1'), minLength: least, maxLength: most });
const interval = fc
  .tuple(
    fc.integer({ min: -200, max: 200 }),
    fc.integer({ min: -40, max: 40 }),
    fc.integer({ min: -9999, max: 9999 }),
    sign,
    fc.integer({ min: 0, max: 9999 }),
    fc.integer({ min: 0, max: 3_599_999_999 }),
  )
  .map(([y, mon, d, s, h, us]) => `${y} years ${mon} mons ${d} days ${s}${h} hours ${s}${us} microseconds`);
const jsonNumber = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
  decimal(20, 20).map((text) => text.replace(/^(-?)0+(?=\d)/, '$1')),
  fc.tuple(fc.integer(), fc.integer({ min: -40, max: 40 })).map(([n, e]) => `${n}e${e}`),
);
const jsonText = anyText.map((text) => JSON.stringify(text));
const { json } = fc.letrec<{ json: string }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.oneof(jsonNumber, jsonText, fc.constantFrom('null', 'true', 'false', '{}', '[]')),
    fc.array(tie('json'), { maxLength: 4 }).map((list) => `[${list.join(' , ')}]`),
    fc
      .array(fc.tuple(fc.oneof(jsonText, fc.constantFrom('"a"', '"b"', '"aa"', '"é"')), tie('json')), { maxLength: 5 })
      .map((list) => `{${list.map(([key, value]) => `${key}: ${value}`).join(',')}}`),
  ),
}));
const arrayOf = (element: fc.Arbitrary<string>) =>
  fc.array(fc.option(element, { freq: 6 }), { maxLength: 5 }).map(arrayText);
const hstoreQuoted = (text: string) => `"${text.replace(/["\\]/g, '\\$&')}"`;
const hstore = fc
  .uniqueArray(fc.tuple(anyText, fc.option(anyText)), { selector: ([key]) => key, maxLength: 5 })
  .map((list) =>
    list.map(([key, value]) => `${hstoreQuoted(key)}=>${value === null ? 'NULL' : hstoreQuoted(value)}`).join(','),
  );
const ascii = (unit: string, least: number, most: number) =>
  fc.string({ unit: fc.constantFrom(...unit), minLength: least, maxLength: most });
const small = fc.integer({ min: -999, max: 999 });
const point = fc.tuple(small, small).map(([x, y]) => `(${x},${y})`);
const everyByte = `\\x${Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0')).join('')}`;
const deepJson = `${'[{"b":'.repeat(200)}1e-9${',"aa":"\\b"}]'.repeat(200)}`;

const column = (name: string, type: string, edges: readonly string[], values: fc.Arbitrary<string>): TypedColumn => ({
  name,
  type,
  edges,
  values,
});

const NUMBERS = ['NaN', 'Infinity', '-Infinity', '0', '-0', '1e23', '5e22', '9007199254740993', '1e15', '1e16', '1e-5'];
const MOMENTS = [
  'infinity',
  '-infinity',
  '0044-03-15 12:00:00.5 BC',
  '0001-12-31 23:59:59.999999 BC',
  '0001-01-01 00:00:00',
];
const ERAS = [
  '9999-12-31 23:59:59.999999',
  '294276-12-31 23:59:59.999998',
  '4713-01-01 00:00:00 BC',
  '2024-02-29 12:00:00.1',
];
const ODD_WORDS = [
  '{}',
  '{NULL,"NULL","null",""}',
  '{"a\\"b","c\\\\d","{x}",",","\'","(","a b"}',
  '{\u00a0a,b\u3000,\u00a0NULL}',
];

export const TYPE_GROUPS: readonly TypeGroup[] = [
  {
    table: 'numbers',
    filled:
      's2 smallserial, s4 serial, s8 bigserial, ida int GENERATED ALWAYS AS IDENTITY, idd bigint GENERATED BY DEFAULT AS IDENTITY (START WITH 5000000000)',
    columns: [
      column('i2', 'smallint', ['-32768', '32767', '0'], int(16n)),
      column('i4', 'integer', ['-2147483648', '2147483647'], int(32n)),
      column('i8', 'bigint', ['-9223372036854775808', '9223372036854775807'], int(64n)),
      column(
        'n',
        'numeric',
        [
          'NaN',
          'Infinity',
          '-Infinity',
          '9'.repeat(1000),
          `0.${'1'.repeat(1000)}`,
          '-0.000',
          '1.0',
          '1.00',
          '1e-1000',
          '0.0000000',
          '1e40',
        ],
        fc.oneof(
          decimal(30, 30),
          fc.tuple(sign, digits(9), fc.integer({ min: -60, max: 60 })).map(([s, d, e]) => `${s}${d}e${e}`),
        ),
      ),
      column('np', 'numeric(12,4)', ['NaN', '99999999.9999', '-0.0001', '0'], decimal(8, 6)),
      column('nn', 'numeric(3,-2)', ['99900', '-12345', '0'], fc.integer({ min: -99_000, max: 99_000 }).map(String)),
      column(
        'ns',
        'numeric(3,8)',
        ['0.00000999', '0', '-0.00000001'],
        fc.integer({ min: -999, max: 999 }).map((n) => `${n}e-8`),
      ),
      column('f4', 'real', [...NUMBERS, '1.17549435e-38', '1e-45', '3.4028235e38', '16777217'], floats(32)),
      column(
        'f8',
        'double precision',
        [...NUMBERS, '5e-324', '1.7976931348623157e308', '0.1', '123456789012345678'],
        floats(64),
      ),
      column('m', 'money', ['-92233720368547758.08', '92233720368547758.07', '0', '-0.01'], decimal(12, 2)),
      column('o', 'oid', ['0', '4294967295'], fc.integer({ min: 0, max: 2 ** 32 - 1 }).map(String)),
      column('bo', 'boolean', ['t', 'f'], fc.boolean().map(String)),
      column(
        'pc',
        'percent',
        ['0', '100', '33.333'],
        fc.integer({ min: 0, max: 100_000 }).map((n) => `${n}e-3`),
      ),
    ],
  },
  {
    table: 'texts',
    columns: [
      column(
        't',
        'text',
        ['', 'NULL', 'null', '\\', "'", '"', '😀𝄞日本', '\u0001\b\f\n\r\t\u007f\u0085', 'a'.repeat(100_000)],
        anyText,
      ),
      column(
        'vc',
        'varchar(12)',
        ['', '  a  ', '日本日本日本日本日本日本'],
        anyText.map((text) => [...text].slice(0, 12).join('')),
      ),
      column(
        'ch',
        'char(12)',
        ['', 'a', '  a', '日本', '\t'],
        anyText.map((text) => [...text].slice(0, 12).join('')),
      ),
      column('bp', 'bpchar', ['', 'a  ', 'a'], anyText),
      column(
        'b',
        'bytea',
        ['\\x', everyByte, '\\x00'],
        fc.uint8Array({ maxLength: 40 }).map((bytes) => `\\x${Buffer.from(bytes).toString('hex')}`),
      ),
      column('u', 'uuid', ['00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff'], fc.uuid()),
      column(
        'mo',
        'mood',
        ['sad', 'it\'s "ok"', 'NULL', '', 'x,y\\z'],
        fc.constantFrom('a b', 'ü😀', '', 'NULL', 'sad'),
      ),
      column('ci', 'citext', ['', 'Abc', 'abc', 'ÄÖ'], anyText),
      column(
        'lt',
        'ltree',
        ['', 'Top', 'Top.Science_1.Astronomy'],
        fc.array(ascii('aZ_09', 1, 4), { maxLength: 5 }).map((path) => path.join('.')),
      ),
      column(
        'ts',
        'tsvector',
        ['', "'a':1A,2B 'fat':3 'it''s'", "'a b' '\\\\\\\\'"],
        fc
          .array(ascii("abc'1", 1, 4), { maxLength: 5 })
          .map((list) => list.map((word) => `'${word.replaceAll("'", "''")}'`).join(' ')),
      ),
      column('bi', 'bit(5)', ['00000', '11111'], bits(5, 5)),
      column('bl', 'bit(70)', ['1'.repeat(70)], bits(70, 70)),
      column('vb', 'varbit', ['', '0', '1'.repeat(130)], bits(0, 80)),
      column(
        'xm',
        'xml',
        [
          '<a/>',
          '<?xml version="1.0" encoding="UTF-8"?><a b="&lt;"> <!-- c --> </a>',
          'plain & simple'.replace('&', '&amp;'),
        ],
        fc.constantFrom('<a>1</a>', '<b x="😀"/>', 'text'),
      ),
    ],
  },
  {
    table: 'times',
    columns: [
      column(
        'd',
        'date',
        ['infinity', '-infinity', '4713-01-01 BC', '5874897-12-31', '0001-01-01', '0001-12-31 BC'],
        day(year).map(({ date, era }) => date + era),
      ),
      column('t', 'time', ['24:00', '00:00', '23:59:59.999999'], clock),
      column('t3', 'time(3)', ['24:00', '23:59:59.9999'], clock),
      column(
        'tz',
        'timetz',
        ['24:00+00', '00:00+15:59', '23:59:59.999999-15:59', '12:00:00+01:02:03'],
        fc.tuple(clock, offset).map((parts) => parts.join('')),
      ),
      column('ts', 'timestamp', [...MOMENTS, ...ERAS], moment),
      column('ts3', 'timestamp(3)', ['-infinity', '2024-02-29 23:59:59.9995', '0044-03-15 12:00:00.5 BC'], moment),
      column('tt', 'timestamptz', [...MOMENTS, ...ERAS, '2020-01-01 00:00:00+05:30'], moment),
      column('tt0', 'timestamptz(0)', ['-infinity', '2024-02-29 23:59:59.5+01'], moment),
      column(
        'i',
        'interval',
        [
          '0',
          '-1 year 2 days -03:04:05.6',
          '1 mon -1 day',
          '-00:00:00.000001',
          '1 mon -30 days 1 hour',
          '290 years',
          '-2562047:47:16.854775',
          '2562047:47:16.854775',
        ],
        interval,
      ),
      column('ids', 'interval day to second(2)', ['3 days 04:05:06.789'], interval),
      column('iym', 'interval year to month', ['-3 years 2 mons'], interval),
    ],
  },
  {
    table: 'documents',
    columns: [
      column(
        'j',
        'json',
        [
          '{"b": 1, "a": [1.50e1, 1E400, -0]}',
          ' [ 1 , "\\ud83d\\ude00\\\\ud83d" ] ',
          '{"a":1,"a":{"c":1,"a":2},"a":3}',
          'null',
          '"\\b\\f\\u0001"',
          '1e-20',
        ],
        json,
      ),
      column(
        'jb',
        'jsonb',
        [
          'null',
          '{}',
          '[]',
          '"\\b\\f\\\\b"',
          '{"bb":1,"a":{"zz":0.0000000,"y":[{"k":1e-7,"kk":-1.5e-9}]}}',
          '{"a":1,"a":2}',
          deepJson,
          '{"":"","é":"😀"}',
          '{"x":"{[0.0000001"}',
          '[[],{},[{}]]',
          '1e400',
        ],
        json,
      ),
      column('h', 'hstore', ['', 'a=>NULL,b=>"NULL",""=>""', '"a\\"b"=>"c\\\\d","aa"=>"=>"'], hstore),
      column(
        'c',
        'pair',
        ['(,,)', '(1,"a ""b"" \\\\ c",NaN)', '(,"",1.00)'],
        fc.tuple(int(32n), anyText, decimal(9, 9)).map(([a, b, c]) => `(${a},"${b.replace(/["\\]/g, '\\$&')}",${c})`),
      ),
    ],
  },
  {
    table: 'ranges',
    columns: [
      column(
        'r4',
        'int4range',
        ['empty', '[1,5)', '(,)', '(,5]'],
        fc.tuple(small, fc.nat(99)).map(([a, n]) => `[${a},${a + n}]`),
      ),
      column(
        'rn',
        'numrange',
        ['empty', '[1.0,1.10)', '[-Infinity,NaN]'],
        fc.tuple(fc.nat(99), fc.nat(99)).map(([a, n]) => `[${a}.5,${a + n}.75]`),
      ),
      column(
        'rt',
        'tstzrange',
        ['["2020-01-01 00:00:00+00",infinity)', '(,)'],
        moment.map((at) => `["${at}",)`),
      ),
      column(
        'rd',
        'daterange',
        ['[2020-01-01,2020-02-01)', '(-infinity,infinity)'],
        day(year).map(({ date, era }) => `["${date}${era}",)`),
      ),
      column(
        'rf',
        'floatrange',
        ['[0.1,1e23)'],
        fc.tuple(fc.float({ noNaN: true, min: -9, max: 9 }), fc.nat(9)).map(([a, n]) => `[${a},${a + n}]`),
      ),
      column(
        'mr',
        'int4multirange',
        ['{}', '{[1,2],[5,9)}'],
        fc.tuple(small, fc.nat(99)).map(([a, n]) => `{[${a},${a + n}],[5000,)}`),
      ),
      column(
        'ip',
        'inet',
        ['::', '::1', '::1.2.3.4', '::ffff:1.2.3.4', '1.2.3.4/24', '0.0.0.0/0', '::102:0/128', '1:0:0:2:0:0:0:3'],
        inet,
      ),
      column('ci', 'cidr', ['10.0.0.0/8', '::/0', '2001:db8::/32', '1.2.3.4'], ipv4),
      column(
        'ma',
        'macaddr',
        ['08:00:2b:01:02:03', 'ff:ff:ff:ff:ff:ff'],
        fc.constantFrom('00:00:00:00:00:00', '01:23:45:67:89:ab'),
      ),
      column(
        'm8',
        'macaddr8',
        ['08:00:2b:01:02:03:04:05'],
        fc.constantFrom('00:00:00:00:00:00:00:00', '01:23:45:67:89:ab:cd:ef'),
      ),
      column('pt', 'point', ['(NaN,Infinity)', '(-0,1e-300)'], point),
      column(
        'bx',
        'box',
        ['(1,2),(-3,0.1)'],
        fc.tuple(point, point).map((corners) => corners.join(',')),
      ),
      column(
        'li',
        'line',
        ['{1,-1,0}'],
        fc.tuple(small, small).map(([b, c]) => `{1,${b},${c}}`),
      ),
      column(
        'ls',
        'lseg',
        ['[(0,0),(1,1)]'],
        fc.tuple(point, point).map((ends) => `[${ends.join(',')}]`),
      ),
      column(
        'pa',
        'path',
        ['[(0,0)]', '((0,0),(1,1.5))'],
        fc.array(point, { minLength: 1, maxLength: 4 }).map((points) => `[${points.join(',')}]`),
      ),
      column(
        'po',
        'polygon',
        ['((0,0),(1,0),(0,1))'],
        fc.array(point, { minLength: 1, maxLength: 4 }).map((points) => `(${points.join(',')})`),
      ),
      column(
        'cr',
        'circle',
        ['<(0,0),1.5>'],
        fc.tuple(point, fc.nat(99)).map(([at, r]) => `<${at},${r}>`),
      ),
    ],
  },
  {
    table: 'arrays',
    columns: [
      column('t', 'text[]', ODD_WORDS, arrayOf(anyText)),
      column('w', 'words', ODD_WORDS, arrayOf(anyText)),
      column(
        'v',
        'varchar(12)[]',
        ['{NULL," a ",""}'],
        arrayOf(anyText.map((text) => [...text].slice(0, 12).join(''))),
      ),
      column('ch', 'char(4)[]', ['{a,"",NULL,abcd}'], arrayOf(ascii('ab c"\\', 0, 4))),
      column('i2', 'smallint[]', ['{}', '{-32768,NULL}'], arrayOf(int(16n))),
      column('i4', 'integer[]', ['{}', '{1,NULL,2147483647}'], arrayOf(int(32n))),
      column('i8', 'bigint[]', ['{-9223372036854775808}'], arrayOf(int(64n))),
      column('n', 'numeric[]', ['{NaN,Infinity,1.0,1.00,1e-9,0.0000000,NULL,-0}'], arrayOf(decimal(12, 12))),
      column('f4', 'real[]', [`{${NUMBERS.join(',')},NULL}`], arrayOf(floats(32))),
      column('f8', 'double precision[]', [`{${NUMBERS.join(',')},NULL}`, '{}'], arrayOf(floats(64))),
      column('bo', 'boolean[]', ['{t,f,NULL}'], arrayOf(fc.boolean().map(String))),
      column('u', 'uuid[]', ['{}'], arrayOf(fc.uuid())),
      column(
        'b',
        'bytea[]',
        [arrayText([everyByte, '\\x', null])],
        arrayOf(fc.uint8Array({ maxLength: 9 }).map((bytes) => `\\x${Buffer.from(bytes).toString('hex')}`)),
      ),
      column(
        'd',
        'date[]',
        ['{infinity,-infinity,"0044-03-15 BC",NULL}'],
        arrayOf(day(year).map(({ date, era }) => date + era)),
      ),
      column('ti', 'time[]', ['{24:00,00:00:00.5}'], arrayOf(clock)),
      column('tz', 'timetz[]', ['{24:00+00,NULL}'], arrayOf(fc.tuple(clock, offset).map((parts) => parts.join('')))),
      column('ts', 'timestamp[]', [arrayText([...MOMENTS, ...ERAS, null])], arrayOf(moment)),
      column('tt', 'timestamptz[]', [arrayText([...MOMENTS, ...ERAS, null])], arrayOf(moment)),
      column('i', 'interval[]', ['{"1 day","-00:00:01",NULL,"1 mon -1 day"}'], arrayOf(interval)),
      column('ip', 'inet[]', ['{1.2.3.4,::1/64,::1.2.3.4,NULL}'], arrayOf(inet)),
      column('bi', 'bit(3)[]', ['{101,000}'], arrayOf(bits(3, 3))),
      column('vb', 'varbit[]', ['{"",1,NULL}'], arrayOf(bits(0, 9))),
      column(
        'mo',
        'mood[]',
        ['{sad,NULL,"NULL","it\'s \\"ok\\"",""}'],
        arrayOf(fc.constantFrom('sad', 'a b', 'NULL', '', 'x,y\\z')),
      ),
      column('jb', 'jsonb[]', ['{"{\\"bb\\": 1, \\"a\\": 1e-9}",NULL,null}'], arrayOf(json)),
      column('m', 'money[]', ['{$1.00,-$2.50,NULL}'], arrayOf(decimal(9, 2))),
      column('md', 'integer[][]', ['{{1,2},{3,NULL}}', '[2:3][0:0]={{1},{2}}', '{}'], arrayOf(int(32n))),
      column('mt', 'text[][]', ['{{"a b","NULL"},{NULL,"\\""}}'], arrayOf(anyText)),
    ],
  },
  {
    table: 'derived',
    filled:
      'g4 int GENERATED ALWAYS AS (a * 2) STORED, gt text GENERATED ALWAYS AS (upper(b) || $x$!$x$) STORED, gn numeric GENERATED ALWAYS AS (c * 3) STORED, gp text GENERATED ALWAYS AS (lpad(b, 9, $x$*$x$)) STORED',
    columns: [
      column('a', 'integer', ['0', '-5'], small.map(String)),
      column('b', 'text', ['', 'ä'], ascii('abcXYZ', 0, 6)),
      column('c', 'numeric', ['1.10', '0'], decimal(9, 4)),
    ],
  },
];
