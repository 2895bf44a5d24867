import { describe, expect, it } from 'vitest';
import {
  alterStatements,
  type ColumnChange,
  classifyColumns,
  consequence,
  describeChange,
  type KnownColumn,
} from '../../src/schema/column-change.js';
import { isSafeRetype } from '../../src/schema/column-retype.js';
import type { ColumnModel } from '../../src/schema/model.js';
import { translate } from '../../src/schema/translate.js';
import { builtIn, catalog, cockroach, column, postgres, table } from './schema-builders.js';

const known = (attnum: number, name: string, type: string, more: Partial<KnownColumn> = {}): KnownColumn => ({
  ...{ attnum, name, type },
  ...more,
});
const current = (attnum: number, name: string, type: string, more: Partial<ColumnModel> = {}): ColumnModel =>
  column(name, type, { ...more, attnum });

describe('classifyColumns', () => {
  it('sees nothing where nothing has changed', () => {
    expect(classifyColumns([known(1, 'a', 'integer')], [current(1, 'a', 'int4')])).toEqual([]);
  });

  it('tells a rename from a drop and an addition by the number', () => {
    expect(classifyColumns([known(1, 'a', 'text')], [current(1, 'b', 'text')])).toEqual([
      { kind: 'renamed', from: 'a', to: 'b' },
    ]);
    expect(classifyColumns([known(1, 'a', 'text')], [current(2, 'a', 'text')]).map(({ kind }) => kind)).toEqual([
      'dropped',
      'added',
    ]);
  });

  it.each<[string, Partial<ColumnModel>, unknown]>([
    ['nothing', {}, { kind: 'null' }],
    ['a constant', { default: "'x'::text", missingValue: 'x' }, { kind: 'literal', text: 'x' }],
    ['an old constant under a new default', { missingValue: 'x' }, { kind: 'literal', text: 'x' }],
    ['a volatile default', { default: 'random()' }, { kind: 'unknown' }],
    ['identity', { identity: 'd' }, { kind: 'unknown' }],
    ['a generated value', { generated: { kind: 'stored', expression: '1' } }, { kind: 'computed' }],
  ])('knows what older rows hold: %s', (_name, more, olderRows) => {
    expect(classifyColumns([], [current(1, 'a', 'text', more)])).toMatchObject([{ kind: 'added', olderRows }]);
  });

  it('sees NULL allowed and forbidden only where it is tracked', () => {
    const now = [current(1, 'a', 'text', { nullable: false })];
    expect(classifyColumns([known(1, 'a', 'text', { nullable: true })], now)).toEqual([
      { kind: 'null-forbidden', name: 'a' },
    ]);
    expect(classifyColumns([known(1, 'a', 'text')], now)).toEqual([]);
  });

  it('compares keys by column, not by name', () => {
    const before = [known(1, 'a', 'integer'), known(2, 'b', 'integer')];
    const renamed = [current(1, 'x', 'int4'), current(2, 'b', 'int4')];
    const kinds = (from: string[] | null, to: string[] | null): string[] =>
      classifyColumns(before, renamed, { before: from, after: to }).map(({ kind }) => kind);
    expect(kinds(['a'], ['x'])).toEqual(['renamed']);
    // The secondary has been renamed already.
    expect(kinds(['x'], ['x'])).toEqual(['renamed']);
    expect(kinds(['a'], ['b'])).toEqual(['renamed', 'key-changed']);
    expect(kinds(['a', 'b'], ['b'])).toEqual(['renamed', 'key-changed']);
    // In another order rows are found by the same values.
    expect(kinds(['a', 'b'], ['b', 'x'])).toEqual(['renamed']);
    expect(kinds(['a'], null)).toEqual(['renamed', 'key-changed']);
    expect(kinds(null, null)).toEqual(['renamed']);
  });
});

describe('isSafeRetype', () => {
  it.each([
    ['character varying(10)', 'character varying(11)'],
    ['character varying(10)', 'character varying'],
    ['character varying(10)', 'text'],
    ['text', 'character varying'],
    ['smallint', 'integer'],
    ['smallint', 'bigint'],
    ['integer', 'bigint'],
    ['numeric(10,2)', 'numeric(12,2)'],
    ['numeric(10,2)', 'numeric(12,4)'],
    ['numeric(10,2)', 'numeric'],
    ['numeric(10,0)', 'numeric(10)'],
    ['timestamp(3) without time zone', 'timestamp without time zone'],
    ['timestamp(3) with time zone', 'timestamp(6) with time zone'],
    ['time(0) without time zone', 'time(1) without time zone'],
    ['bit varying(3)', 'bit varying(4)'],
  ])('%s to %s', (from, to) => {
    expect(isSafeRetype(from, to)).toBe(true);
    if (from !== 'text' && from !== 'numeric(10,0)') expect(isSafeRetype(to, from)).toBe(false);
  });

  it.each([
    ['text', 'integer'],
    ['integer', 'numeric'],
    ['integer', 'text'],
    ['real', 'double precision'],
    ['numeric(10,2)', 'numeric(10,4)'],
    ['numeric(10,2)', 'numeric(12,1)'],
    ['character(5)', 'character(6)'],
    ['character(5)', 'text'],
    ['bit(3)', 'bit(4)'],
    ['timestamp without time zone', 'timestamp with time zone'],
    ['timestamp(3) without time zone', 'timestamp(6) with time zone'],
    ['json', 'jsonb'],
    ['integer[]', 'bigint[]'],
    ['public.old_enum', 'public.new_enum'],
    ['character varying(10)', 'character varying(10)[]'],
    ['interval(3)', 'interval day to second(3)'],
  ])('not %s to %s', (from, to) => {
    expect(isSafeRetype(from, to)).toBe(false);
  });
});

describe('alterStatements', () => {
  const shape = table('t', [
    column('id', 'int8'),
    column('b', 'text'),
    column('a', 'text'),
    column('n', builtIn('numeric', 'numeric(8,2)'), { default: '7', missingValue: '5.5', nullable: false }),
    column('cash', 'money', { missingValue: '$1.00' }),
  ]);
  const changes: ColumnChange[] = [
    { kind: 'dropped', name: 'go"ne' },
    { kind: 'renamed', from: 'a', to: 'b' },
    { kind: 'renamed', from: 'b', to: 'a' },
    { kind: 'retyped-safe', name: 'id', from: 'integer', to: 'bigint' },
    { kind: 'null-allowed', name: 'a' },
    { kind: 'null-forbidden', name: 'b' },
    { kind: 'added', column: shape.columns[3] as ColumnModel, olderRows: { kind: 'literal', text: '5.5' } },
    { kind: 'key-changed', from: null, to: ['id'] },
  ];

  it.each([
    ['CRDB', cockroach(), ['INT8', 'DECIMAL(8,2)']],
    ['PostgreSQL', postgres(), ['bigint', 'numeric(8,2)']],
  ] as const)('writes an order in which each name is free: %s', (_name, capabilities, [integer, decimal]) => {
    const translation = translate(catalog([shape]), capabilities);
    const planned = translation.schema.tables[0];
    if (!planned) throw new Error('not planned');
    const at = 'ALTER TABLE "public"."t"';
    expect(alterStatements(planned, changes, translation).map(({ sql }) => sql)).toEqual([
      `${at} DROP COLUMN IF EXISTS "go""ne"`,
      `${at} RENAME COLUMN "a" TO "db_redundancy_rename_0"`,
      `${at} RENAME COLUMN "b" TO "db_redundancy_rename_1"`,
      `${at} RENAME COLUMN "db_redundancy_rename_0" TO "b"`,
      `${at} RENAME COLUMN "db_redundancy_rename_1" TO "a"`,
      `${at} ALTER COLUMN "id" TYPE ${integer}`,
      `${at} ALTER COLUMN "a" DROP NOT NULL`,
      `${at} ADD COLUMN IF NOT EXISTS "n" ${decimal} DEFAULT '5.5'::${decimal}`,
      `${at} ALTER COLUMN "n" SET DEFAULT 7`,
    ]);
  });

  it('says what follows from a change', () => {
    const planned = translate(catalog([shape]), cockroach()).schema.tables[0];
    if (!planned) throw new Error('not planned');
    expect(changes.map((change) => consequence(change, planned))).toEqual([...Array(7).fill('follow'), 'pause']);
    const cash: ColumnChange = {
      ...{ kind: 'added', column: shape.columns[4] as ColumnModel },
      olderRows: { kind: 'literal', text: '$1.00' },
    };
    // Its text has to be converted, which only a reload does.
    expect(consequence(cash, planned)).toBe('reload');
    expect(changes.map(describeChange)).toEqual([
      'column go"ne was dropped',
      'column a was renamed to b',
      'column b was renamed to a',
      'column id changed from integer to bigint',
      'column a may be NULL now',
      'column b is NOT NULL now',
      'column n numeric(8,2) was added',
      'the primary key changed from none to (id)',
    ]);
  });
});
