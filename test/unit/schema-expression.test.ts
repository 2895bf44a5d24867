import { describe, expect, it } from 'vitest';
import { inspectExpression, placeExpression } from '../../src/schema/expression.js';
import { type ExpressionScope, translateForCockroach } from '../../src/schema/expression-cockroach.js';
import { tokenize } from '../../src/schema/expression-tokens.js';
import { sameExpression, sameType } from '../../src/schema/same-sql.js';
import { catalog, cockroach, postgres } from './schema-builders.js';

const scope: ExpressionScope = {
  capabilities: cockroach(),
  columns: new Map([
    ['a', { same: true, arithmetic: false }],
    ['Se "lect', { same: true, arithmetic: false }],
    ['n', { same: true, arithmetic: true }],
    ['span', { same: false, arithmetic: false }],
  ]),
  unicodeCase: true,
  enums: [{ schema: 'Ap p', name: 'sta"tus' }],
  sequences: [
    { schema: 'public', name: 'order' },
    { schema: 'Sch.ema', name: 'q"1' },
  ],
  immutable: false,
};

function translated(expression: string, more: Partial<ExpressionScope> = {}): string {
  const result = translateForCockroach(expression, { ...scope, ...more });
  return result.ok ? result.sql : `refused: ${result.reason}`;
}

describe('expressions for CRDB', () => {
  it.each([
    ['7', '7'],
    ["'-1'::integer", "'-1'::INT4"],
    ["'it''s'::text", "'it''s'::STRING"],
    ["'x'::character varying(10)", "'x'::VARCHAR(10)"],
    ["E'a\\\\b''c'::text", "E'a\\\\b''c'::STRING"],
    ['true', 'true'],
    ['NULL::character varying', 'NULL::VARCHAR'],
    ["'{}'::jsonb", "'{}'::JSONB"],
    ["'{}'::text[]", "'{}'::STRING[]"],
    ['now()', 'now()'],
    ['CURRENT_TIMESTAMP', 'CURRENT_TIMESTAMP'],
    ["(now() + '30 days'::interval)", "(now() + '30 days'::INTERVAL)"],
    ["(now() AT TIME ZONE 'utc'::text)", "(now() AT TIME ZONE 'utc'::STRING)"],
    ['gen_random_uuid()', 'gen_random_uuid()'],
    ['public.uuid_generate_v4()', 'uuid_generate_v4()'],
    [`'open'::"Ap p"."sta""tus"`, `'open'::"Ap p"."sta""tus"`],
    [`nextval('public."order"'::regclass)`, `nextval('"public"."order"')`],
    [`nextval('"Sch.ema"."q""1"'::regclass)`, `nextval('"Sch.ema"."q""1"')`],
    ['(n > 0)', '("n" > 0)'],
    ['((n >= 0) AND (n <= 100))', '(("n" >= 0) AND ("n" <= 100))'],
    ['((a ~~ \'x%\'::text) OR ("Se ""lect" IS NULL))', '(("a" LIKE \'x%\'::STRING) OR ("Se ""lect" IS NULL))'],
    ["(a !~~* 'x'::text)", '("a" NOT ILIKE \'x\'::STRING)'],
    [
      "((a)::text = ANY ((ARRAY['p'::character varying, 'q'::character varying])::text[]))",
      "((\"a\")::STRING = ANY ((ARRAY['p'::VARCHAR, 'q'::VARCHAR])::STRING[]))",
    ],
    ["(a ~ '^[^@]+@[^@]+\\.[a-z]{2,}$'::text)", '("a" ~ \'^[^@]+@[^@]+\\.[a-z]{2,}$\'::STRING)'],
    ['((n * 2) + 1)', '(("n" * 2) + 1)'],
    ["COALESCE(a, ''::text)", 'COALESCE("a", \'\'::STRING)'],
    ["CASE WHEN (n > 1) THEN 'x'::text ELSE a END", 'CASE WHEN ("n" > 1) THEN \'x\'::STRING ELSE "a" END'],
    ['(lower(a) <> upper(a))', '(lower("a") <> upper("a"))'],
  ])('takes %s', (expression, expected) => {
    expect(translated(expression)).toBe(expected);
  });

  it.each([
    ['(n / 2)', 'operator /'],
    ['(n % 2)', 'operator %'],
    ["(a ~ '^\\d+$'::text)", 'regular expression'],
    ["(a ~ 'a.c'::text)", 'regular expression'],
    ["(a ~ '(?i)x'::text)", 'regular expression'],
    ["(a ~ '[[:alpha:]]'::text)", 'regular expression'],
    ['public.mine(n)', 'public.mine()'],
    ['unknown_function(a)', 'unknown_function()'],
    ['(span IS NULL)', 'column span'],
    ['(missing > 1)', 'missing'],
    ["('1'::money > a)", 'type money'],
    ["'x'::other.status", 'type other.status'],
    ["'{{1}}'::integer[][]", 'type integer[][]'],
    ["nextval('public.elsewhere'::regclass)", 'sequence public.elsewhere'],
    ["(a || 'x'::text) - 1", 'calculates with column a'],
    ['CURRENT_USER', 'CURRENT_USER'],
    ['B\'1\'::"bit"', "B'1'"],
    ['EXTRACT(epoch FROM now())', 'EXTRACT'],
  ])('refuses %s', (expression, reason) => {
    expect(translated(expression)).toMatch(/^refused: /);
    expect(translated(expression)).toContain(reason);
  });

  it('takes only what is immutable in computed columns and indexes', () => {
    for (const expression of ['now()', 'CURRENT_DATE', "'1 day'::interval", '(a)::date', 'gen_random_uuid()']) {
      expect(translated(expression, { immutable: true })).toMatch(/^refused/);
    }
    expect(translated('lower(a)', { immutable: true })).toBe('lower("a")');
  });

  it("does not fold case where the primary's locale does so for ASCII only", () => {
    for (const expression of ['lower(a)', "(a ~~* 'x'::text)"]) {
      expect(translated(expression, { unicodeCase: false })).toContain('folds letter case');
    }
  });

  it('puts the column in the place of VALUE', () => {
    expect(translated('(length((VALUE)::text) < 90)', { value: 'My "col' })).toBe(
      '(length(("My ""col")::STRING) < 90)',
    );
    expect(translated('(VALUE IS NULL)')).toContain('VALUE');
  });
});

describe('tokens', () => {
  it('join to the text that they came from, whatever it is', () => {
    for (const text of [
      `((a)::timestamp(3) without time zone > '2020-01-01 00:00:00'::timestamp without time zone)`,
      `"x ""y"".z"::"Ap p"."t""t"(1,2)[][] || E'\\\\''' -> U&'d'`,
      'ünï.code = $1 ; -- \u0000 % {}',
      '',
    ]) {
      const tokens = tokenize(text);
      expect(tokens.map((token) => token.text).join('')).toBe(text);
    }
  });
});

describe('expressions for PostgreSQL', () => {
  const fn = (name: string, more = {}) => ({
    schema: 'app',
    name,
    language: 'sql',
    extension: null,
    definition: `CREATE ${name}`,
    ...more,
  });
  const source = catalog([], {
    schemas: ['public', 'app'],
    functions: [
      fn('mine'),
      fn('uuid', { extension: 'ossp', definition: null }),
      fn('in_c', { language: 'c', definition: null }),
    ],
    extensions: [{ name: 'ossp', schema: 'app' }],
  });

  it('tells what an expression depends on', () => {
    expect(inspectExpression(`(lower(a) = app.mine("substring"(b, 1)) AND (c)::numeric(10,2) IN (1, 2))`)).toEqual({
      builtIns: ['lower', 'substring'],
      qualified: [{ schema: 'app', name: 'mine' }],
      unstable: false,
    });
    for (const text of ['now()', '(a > CURRENT_DATE)', 'random()', 'LOCALTIMESTAMP']) {
      expect(inspectExpression(text).unstable, text).toBe(true);
    }
  });

  it('places it', () => {
    const on = postgres({ ossp: null });
    expect(placeExpression('lower(a)', source, on)).toEqual({ when: 'now', extensions: [] });
    expect(placeExpression('app.mine(a)', source, on)).toEqual({
      when: 'later',
      functions: ['CREATE mine'],
      reason: 'it calls app.mine()',
    });
    expect(placeExpression('app.uuid()', source, on)).toEqual({ when: 'now', extensions: ['ossp'] });
    expect(placeExpression('app.uuid()', source, postgres())).toMatchObject({ when: 'never' });
    expect(placeExpression('app.uuid()', source, postgres({ ossp: 'elsewhere' }))).toMatchObject({ when: 'never' });
    expect(placeExpression('app.in_c(a)', source, on)).toMatchObject({ when: 'never' });
    expect(placeExpression('app.unheard()', source, on)).toMatchObject({ when: 'never' });
    expect(placeExpression('uuidv7()', source, on)).toMatchObject({
      when: 'never',
      reason: expect.stringContaining('uuidv7'),
    });
    expect(placeExpression('(at <= now())', source, on, true)).toMatchObject({ when: 'later', functions: [] });
    expect(placeExpression('now()', source, on)).toMatchObject({ when: 'now' });
  });
});

describe('sameType and sameExpression', () => {
  it('are blind to quoting that changes nothing, and to nothing else', () => {
    expect(sameType('public.status[]', '"public"."status"[]')).toBe(true);
    expect(sameType('"Ap p"."sta""tus"', '"Ap p"."sta""tus"')).toBe(true);
    expect(sameType('db."Ap p".st', '"Ap p"."st"')).toBe(true);
    expect(sameType('DECIMAL(19, 2)', 'decimal(19,2)')).toBe(true);
    expect(sameType('"Public"."status"', 'public.status')).toBe(false);
    expect(sameType('public.status', 'public.status[]')).toBe(false);
    expect(sameType('VARCHAR(10)', 'VARCHAR(20)')).toBe(false);
    expect(sameExpression('((a > 0))', '(a > 0)')).toBe(true);
    expect(sameExpression("'a b'::text", "'ab'::text")).toBe(false);
  });
});
